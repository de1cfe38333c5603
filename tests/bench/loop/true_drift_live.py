"""A true and lasting drift on Apache Kafka, with a real worker, a real trainer and a person who waits.

Ten weeks make the first model, two go by, then the first number of all events moves by so many standard deviations and
stays there. JUDGE opens an incident, and asks for a model by itself, or not before a person has accepted the incident
where alarms have become a burst: this one waits ``ACCEPTS_DAYS`` for that, in vain else, and approves at once what
waits for a person. ``recovered_panes``: hours from the drift to the pane from which on the new model scores every
source partition, at the worst drift that harms the model; ``alarm_share_after``: of the two weeks after that, under
the model in service. ``verdict``: ``no harm`` where JUDGE asks for none though the drift is accepted: the alarms
are within half and twice what they should be, and the likelihood is what it was.
``rows`` of each drift: ``told_panes``, until people were told; ``person_panes``, what it waited for a person;
``requests``, what was asked and decided; ``incident``, what the person reads who accepts it.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from flowlib.evaluation import ALARM_ALPHA
from flowlib.table import DAY_MS
from schemas.incidents import Incident
from stream_app.trainer.data.rows import joined
from tests.bench.loop import live
from tests.bench.loop.days import HOUR_MS, Days, first_model
from tests.bench.loop.worlds import START_DAY, day_of, ordinary

MOVED, HISTORY, BEGINS, LONGEST, AFTER, A_DAY = (2.0, 1.0, 0.5), 70, 84, 70, 14, 240
ACCEPTS_DAYS = 21
_BEGINS_MS = (START_DAY + BEGINS) * DAY_MS


def measure(args: Namespace) -> dict[str, Any]:
    """See above."""
    rows, traces = list[dict[str, Any]](), dict[str, Any]()
    with live.node() as (folder, bootstrap):
        for moved in MOVED[:1] if args.quick else MOVED:
            row, traces[f"true_drift_live {moved:g}"] = _played(folder / f"{moved:g}", bootstrap, moved, args.seed)
            print(f"  {row}", flush=True)
            rows.append(row)
            args.keep(_found(rows, traces))
    return _found(rows, traces)


def _found(rows: list[dict[str, Any]], traces: dict[str, Any]) -> dict[str, Any]:
    harmful = [row for row in rows if row["verdict"] != "no harm"]
    has_all = all(row["verdict"] == "recovered" for row in harmful) and harmful
    worst = max(harmful, key=lambda row: row["recovered_panes"]) if has_all else {}
    figures = {name: worst.get(name) for name in ("recovered_panes", "alarm_share_after")}
    return {"true_drift_live": {**figures, "rows": rows}, "traces": traces}


def _played(folder: Path, bootstrap: str, moved: float, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    g = np.random.default_rng([seed, 10, int(moved * 10)])
    calm, days = ordinary(g, BEGINS, A_DAY), LONGEST + AFTER
    table = joined(calm, ordinary(g, days, A_DAY, BEGINS, moved=moved))
    with first_model(folder, bootstrap, table, HISTORY) as world:
        world.step(BEGINS)
        first = world.model()
        row: dict[str, Any] = {"moved": moved, "alarm_share_before": _alarms(world, first, BEGINS, BEGINS + AFTER)}
        row |= _until_recovered(world, first.model_id)
        if row["verdict"] == "recovered":
            began = row["recovered_panes"] // 24 + BEGINS + 1
            world.step(began + AFTER)
            row["alarm_share_after"] = _alarms(world, world.model(), began, began + AFTER)
            row["stayed"] = world.model().model_id != first.model_id
        row["requests"] = world.requests()
        return row, live.traces(world.stream)


def _alarms(world: Days, model: Any, first: int, end: int) -> float:
    day = day_of(world.table)
    return float(np.mean(model.score(world.table.take((day >= first) & (day < end))).p_value <= ALARM_ALPHA))


def _until_recovered(world: Days, first: str) -> dict[str, Any]:
    """Days come until another model scores; a person accepts and approves."""
    row: dict[str, Any] = {"told_panes": None, "accepted": [], "approved": [], "recovered_panes": None}
    row["verdict"] = "not recovered"
    for day in range(BEGINS + 1, BEGINS + LONGEST + 1):
        world.step(day)
        if row["told_panes"] is None and (open_ := world.open()):
            row["told_panes"] = (open_[0].opened_pane_ms - _BEGINS_MS) // HOUR_MS
            row["incident"] = _read(open_[0])
        if world.model().model_id != first:
            row |= {"verdict": "recovered", "recovered_panes": _scores_from(world)}
            break
        if row["accepted"] and day - BEGINS >= row["accepted"][0] + AFTER and not world.requests():
            row["verdict"] = "no harm"
            break
        _say(world, day - BEGINS, row)
    row["person_panes"] = 24 * row["accepted"][0] - (row["told_panes"] or 0) if row["accepted"] else 0
    return row


def _say(world: Days, days: int, row: dict[str, Any]) -> None:
    """What a person says, day after day: a week after a word in vain they say it once more."""
    candidate = world.candidate()
    if candidate is not None and candidate.phase == "waiting":
        world.stream.command("models", "approve", candidate.model_id, "--by", "ann", "--why", "it is the new normal")
        row["approved"].append({"days": days, "says": candidate.notice.reason[:400]})
        live.wait(world.stream, lambda: not _waits(world), "the trainer to hear of it")
    elif days >= ACCEPTS_DAYS and (days - ACCEPTS_DAYS) % 7 == 0 and candidate is None:
        for incident in world.open():
            if incident.kind == "drift":
                row["incident"] = _read(incident)
                world.stream.command("accept", incident.id, "--by", "ann", "--why", "it has lasted")
                row["accepted"].append(days)
    world.settle()


def _read(incident: Incident) -> dict[str, str]:
    return {"summary": incident.summary, "next": incident.next}


def _waits(world: Days) -> bool:
    candidate = world.candidate()
    return candidate is not None and candidate.phase == "waiting" and not candidate.approved


def _scores_from(world: Days) -> int:
    """Panes from the drift to the one from which on the model in service scores every source partition."""
    model_id = world.model().model_id
    live.wait(world.stream, lambda: live.scores_everywhere(world.stream, model_id), "it to score everywhere")
    starts = [of.pane_start_ms for of in live.activated(world.stream) if of.model_id == model_id]
    return int(max(starts) - _BEGINS_MS) // HOUR_MS


def lines(found: dict[str, Any]) -> list[tuple[object, ...]]:
    """For people; the first line names the columns."""
    rows = [
        (
            f"{row['moved']:g} sd, {row['verdict']}",
            row["told_panes"],
            row["person_panes"],
            row["recovered_panes"],
            f"{row['alarm_share_before']:.2%} → {row.get('alarm_share_after', float('nan')):.2%}",
            "; ".join(f"day {of['day'] - BEGINS:.0f}: {of['status']}" for of in row["requests"]),
        )
        for row in found["true_drift_live"]["rows"]
    ]
    return [("drift", "told", "person", "recovered (panes)", "alarms", "requests"), *rows]
