"""What a burst of strange events that nobody has judged does to the next models.

An attack with 5 % of all events begins and stays, and a model is asked for twice, a month and two months later.
``judged`` is what the requests say of it: ``unjudged``, JUDGE's incident is open and nobody has judged it: its span is
listed; ``unseen``, no incident was opened; ``accepted``, a person has called it the new normal. ``flagged``: share of
the attack that the model in service flags before, after the first and after the second request. ``left_out``: rows that
were counted as unjudged, ``attack_rows``: those of the attack that were in one of the parts. ``kept``: never below 95 %
without a person.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from flowlib.table import Table
from schemas.records import IncidentSpan
from stream_app.trainer.data.admit import prepare
from stream_app.trainer.data.rows import Rows
from stream_app.trainer.data.spans import Folds
from tests.bench.loop.worlds import Loop, attack, burst, day_of, failed, flagged, ordinary, poisoned, stream_in

DAYS, A_DAY, BEGINS, MONTH = 70, 240, 112, 28
KEPT = 0.95
WAYS = ("unjudged", "unseen", "accepted")
Listed = tuple[list[IncidentSpan], list[IncidentSpan]]
"""Spans of incidents that nobody has judged, and of those that a person has accepted."""


def measure(args: Namespace) -> dict[str, Any]:
    """``{incident_training: {kept, rows}}``."""
    rows = [_played(way, args.seed, 120 if args.quick else A_DAY) for way in WAYS]
    kept = all(min(row["flagged"]) >= KEPT for row in rows if row["judged"] != "accepted")
    return {"incident_training": {"kept": kept, "rows": rows}}


def _played(way: str, seed: int, a_day: int) -> dict[str, Any]:
    g, found = np.random.default_rng([seed, 8]), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(stream_in(Path(folder)))
        loop.begin(ordinary(g, DAYS, a_day))
        shares = [_share(loop)]
        whole = ordinary(g, 140, a_day, DAYS)
        attacked = poisoned(g, whole)
        late = day_of(whole) >= BEGINS
        numeric = np.where(late[:, None], attacked.numeric, whole.numeric)
        is_attack = late & (attacked.numeric != whole.numeric).any(axis=1)
        for month in (1, 2):
            end = BEGINS + month * MONTH
            window = (day_of(whole) >= end - DAYS) & (day_of(whole) < end)
            table = whole.with_numeric(numeric).take(window)
            spans = [burst("i1", BEGINS, end)]
            listed: Listed = spans if way == "unjudged" else [], spans if way == "accepted" else []
            outcome = loop.ask(table, *listed)
            loop.take(outcome)
            shares.append(_share(loop))
            counted = {"left_out": outcome.notice.provenance.get("left_out", {})}
            parts = _attack_rows(loop, table, is_attack[window], listed)
            found.append({"verdict": outcome.verdict, "failed": failed(outcome), "attack_rows": parts, **counted})
    row = {"judged": way, "flagged": shares, "requests": found}
    print(f"  {row}", flush=True)
    return row


def _share(loop: Loop) -> float:
    assert loop.service is not None
    return flagged(loop.service, attack(np.random.default_rng(7), 2_000), loop.config.event_rule.alpha)


def _attack_rows(loop: Loop, table: Table, is_attack: Any, listed: Listed) -> int:
    """Rows of the attack in any of the parts."""
    made = prepare(loop.config, loop.request(table, *listed), Rows.of(table), loop.service, Folds(b"k" * 32, "r"))
    times = np.concatenate([part.time_ms for part in made.split.parts().values()])
    return int(np.isin(table.time_ms[is_attack], times).sum())


def lines(found: dict[str, Any]) -> list[tuple[object, ...]]:
    """For people; the first line names the columns."""
    rows = [
        (row["judged"], " → ".join(f"{share:.1%}" for share in row["flagged"]), row["requests"][-1]["attack_rows"])
        for row in found["incident_training"]["rows"]
    ]
    return [("judged", "attack flagged", "attack rows used"), *rows]
