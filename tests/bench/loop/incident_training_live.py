"""An attack that nobody has judged, on Apache Kafka with a real worker and a real trainer.

Ten weeks make the first model, two go by, then an attack with 5 % of all events begins and stays for two months.
``flagged``: share of its events that the worker reports one by one, week by week. ``requests``: what JUDGE has asked by
itself, and at the end what an operator asks by hand for all ten weeks before, naming no incident; ``by_hand`` is what
came of that, and ``flagged_after`` the share in the two weeks behind it. ``kept``: never below 95 % without a person.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np

from schemas.incidents import Incident
from schemas.records import EventAnomaly
from stream_app.incident_lines import is_over
from stream_app.trainer.data.rows import joined
from tests.bench.loop import live
from tests.bench.loop.days import Days, first_model
from tests.bench.loop.worlds import day_of, ordinary, poisoned
from tests.integration.asking import Asking

HISTORY, BEGINS, MONTHS, AFTER, A_DAY = 70, 84, 56, 14, 240
KEPT = 0.95


def measure(args: Namespace) -> dict[str, Any]:
    """See above."""
    g, days = np.random.default_rng([args.seed, 11]), 28 if args.quick else MONTHS
    whole = ordinary(g, days + AFTER, A_DAY, BEGINS)
    attacked = poisoned(g, whole)
    is_attack = (attacked.numeric != whole.numeric).any(axis=1)
    with live.node() as (folder, bootstrap):
        table = joined(ordinary(g, BEGINS, A_DAY), attacked)
        marked = np.concatenate([np.zeros(len(table) - len(whole), dtype=bool), is_attack])
        with first_model(folder, bootstrap, table, HISTORY) as world:
            world.step(BEGINS)
            first = world.model().model_id
            for day in range(BEGINS + 7, BEGINS + days + 1, 7):
                world.step(day)
            asked = world.requests()
            asking = Asking(world.stream)
            asking.ask(world.request(HISTORY), 1)
            asking.close()
            world.settle()
            by_hand = [of for of in world.requests() if of not in asked]
            world.step(BEGINS + days + AFTER)
            weeks = [_flagged(world, marked, day) for day in range(BEGINS, BEGINS + days + AFTER, 7)]
            found = {
                "kept": min(weeks) >= KEPT,
                "flagged": weeks[: days // 7],
                "flagged_after": weeks[days // 7 :],
                "same_model": world.model().model_id == first,
                "requests": asked,
                "by_hand": by_hand,
                "incidents": [_told(messages[-1]) for messages in live.incidents(world.stream).values()],
            }
            traces = live.traces(world.stream)
    return {"incident_training_live": found, "traces": {"incident_training_live": traces}}


def _flagged(world: Days, marked: Any, first: int) -> float:
    """Share of the attack of a week that the worker has reported; the rows went round the partitions in turn."""
    n, day = world.stream.config.topics.partitions, day_of(world.table)
    told = {of.offset * n + of.partition for of in live.said(world.stream, EventAnomaly)}
    rows = np.flatnonzero(marked & (day >= first) & (day < first + 7))
    judged = rows[world.table.time_ms[rows] < int(world.stream.status()["judged_ms"])]
    return float(np.mean(np.isin(judged, list(told))))


def _told(incident: Incident) -> dict[str, Any]:
    return {"kind": incident.kind, "over": is_over(incident), "alarms": incident.share, "says": incident.summary[:300]}


def lines(found: dict[str, Any]) -> list[tuple[object, ...]]:
    """For people; the first line names the columns."""
    part = found["incident_training_live"]
    shares = [f"{share:.1%}" for share in [*part["flagged"], *part["flagged_after"]]]
    rows = [("attack flagged, by weeks", ", ".join(shares)), ("kept", part["kept"]), ("JUDGE asked", part["requests"])]
    return [("what", "is"), *rows, ("asked by hand", part["by_hand"])]
