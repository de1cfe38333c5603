"""A true and lasting drift: how long until a model that knows it is in service, and what it alarms at then.

The first number of all events moves by so many standard deviations and stays there. A model is asked for every week,
for the ten weeks before it; a candidate that passes its gates is compared with the model in service on the events that
come next, hour by hour, as the shadow does. ``recovered_panes``: hours from the drift to the promotion, at the worst
of the drifts that need no person; ``alarm_share_after``: share of p ≤ .01 of what comes afterwards, there. ``rows``:
each drift; ``verdict`` is ``wait`` where the first candidate that is not refused needs a person's word, ``says`` is
what that person reads, ``alarm_share_before`` what they live with meanwhile. With a worker and a trainer as processes:
:mod:`tests.bench.loop.true_drift_live`.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from flowlib.evaluation import ALARM_ALPHA
from stream_app.trainer.data.rows import joined
from stream_app.trainer.data.spans import HOUR_MS
from stream_app.trainer.shadow.deciding import ShadowTest
from stream_app.trainer.shadow.panes import OpenPanes
from tests.bench.loop.worlds import Loop, day_of, ordinary, stream_in

MOVED, WEEKS, A_DAY = (0.5, 1.0, 1.5, 2.0, 3.0), 16, 240
BEGINS = 140
DAY_HOURS = 24


def measure(args: Namespace) -> dict[str, Any]:
    """See above."""
    rows = list[dict[str, Any]]()
    for moved in MOVED[:2] if args.quick else MOVED:
        rows.append(_played(moved, args.seed))
        args.keep(_found(rows))
    return _found(rows)


def _found(rows: list[dict[str, Any]]) -> dict[str, Any]:
    alone = [row for row in rows if row["verdict"] == "promoted"]
    worst: dict[str, Any] = max(alone, key=lambda row: row["panes"], default={})
    figures = {"recovered_panes": worst.get("panes"), "alarm_share_after": worst.get("alarm_share_after")}
    return {"true_drift": {**figures, "rows": rows}}


def _played(moved: float, seed: int) -> dict[str, Any]:
    g = np.random.default_rng([seed, 9])
    row: dict[str, Any] = {"moved": moved, "verdict": "refused"}
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(stream_in(Path(folder)))
        service = loop.begin(ordinary(g, 70, A_DAY))
        new = ordinary(g, 7 * WEEKS + 60, A_DAY, BEGINS, moved=moved)
        whole = joined(ordinary(g, 70, A_DAY, 70), new)
        row["alarm_share_before"] = float(np.mean(service.score(new).p_value <= ALARM_ALPHA))
        for week in range(1, WEEKS + 1):
            end = BEGINS + 7 * week
            outcome = loop.ask(whole.take((day_of(whole) >= end - 70) & (day_of(whole) < end)))
            if outcome.model is None:
                continue
            model = loop.load(outcome.model)
            row |= {"days": 7 * week, "kind": model.manifest.get("kind", "model"), "says": outcome.notice.reason}
            row["alarm_share_after"] = float(np.mean(model.score(new).p_value <= ALARM_ALPHA))
            if outcome.verdict == "wait":
                row["verdict"] = "wait"
                break
            settings = loop.config.trainer
            test = ShadowTest.of(row["kind"], settings.min_gain_nats, settings.max_alarm_ratio)
            live = new.take(day_of(new) >= end)
            panes = OpenPanes(HOUR_MS)
            panes.add(0, live.time_ms, model.score(live), service.score(live))
            for pane in panes.take(()):
                test.take(pane)
                if test.verdict:
                    break
            row |= {"shadow": test.verdict, "shadow_panes": test.panes}
            if test.verdict == "promote":
                row |= {"verdict": "promoted", "panes": 7 * week * DAY_HOURS + test.panes}
                break
    print(f"  {row}", flush=True)
    return row


def lines(found: dict[str, Any]) -> list[tuple[object, ...]]:
    """For people; the first line names the columns."""
    rows = [
        (
            f"{row['moved']:g} sd",
            row["verdict"],
            row.get("kind", ""),
            row.get("days", ""),
            row.get("panes", ""),
            f"{row['alarm_share_before']:.2%} → {row.get('alarm_share_after', float('nan')):.2%}",
        )
        for row in found["true_drift"]["rows"]
    ]
    return [("drift", "verdict", "what", "days", "panes", "alarms"), *rows]
