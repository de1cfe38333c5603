"""One cause, one incident: the same change comes to 40 of 60 slices, which are looked after on 8 partitions.

A planted stream (60 slices, eight correlated columns, six events a pane and slice) with the planted density, from JSON
bodies through SCORE of 8 source partitions, WATCH of 8 partials partitions, and JUDGE. Ten days after monitoring has
begun 40 slices change, and a week is watched. ``incidents`` that there were in all must be 1: of each change in
``rows``, and the largest of them. ``members`` are the slices that it has at the end, ``delay_panes`` those until it
opened, the pane of the change included.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from typing import Any

from schemas.incidents import Incident, SilencedIncident
from schemas.pane_layout import TOGETHER
from stream_app.models.loading import scored_by
from stream_app.offline.replay import LocalRun, batches
from tests.bench.detect import product
from tests.bench.detect.pool import each
from tests.bench.detect.streams import HOUR_MS, START_MS, Change, Planted

CHANGES = (
    Change("shift_1", (2,)),
    Change("shift_2", (2,)),
    Change("shift_0.5", (2,)),
    Change("scale_1.5", (2,)),
    Change("missing_20", (2,)),
    Change("volume_20"),
    Change("silent"),
)


@dataclass(frozen=True)
class Case:
    """A change, and the stream that it comes to."""

    change: Change
    slices: int = 60
    changed: int = 40
    partitions: int = 8
    before: int = 240
    after: int = 168
    seed: int = 61

    @property
    def planted(self) -> Planted:
        """The stream."""
        return Planted(
            slices=self.slices,
            monitored=self.before + self.after,
            change_pane=240 + self.before,
            changes=dict.fromkeys(range(self.changed), self.change),
            seed=self.seed,
        )


def measure(args: Namespace) -> dict[str, Any]:
    """``{incidents, rows}``."""
    cases = [Case(change) for change in CHANGES]
    if args.quick:
        cases = [Case(change, slices=15, changed=10, before=24, after=48) for change in CHANGES[:2]]
    rows = each(measured, cases, args.jobs)
    return {"incidents": max(row["incidents"] for row in rows), "rows": rows}


def measured(case: Case) -> dict[str, Any]:
    """A row."""
    planted = case.planted
    events = planted.events()
    config = product.planted_config(planted, topics={"events": "events", "partitions": case.partitions})
    density = product.trained(planted, events, plant=True)
    run = LocalRun(config)
    run.pipeline.models.add(scored_by(config, density))
    run.start(density.model_id)
    for raw in batches(config, product.keyed(events.span(planted.reference, planted.panes))):
        run.feed(raw)
    told = [r for r in product.signals(run) if isinstance(r, Incident) and not isinstance(r, SilencedIncident)]
    last = {incident.id: incident for incident in told}
    state = run.pipeline.judge_state
    assert state is not None
    change_ms = START_MS + planted.change_pane * HOUR_MS
    return {
        "change": " ".join([case.change.kind, *(planted.features[f] for f in case.change.features)]),
        "slices": case.slices,
        "changed": case.changed,
        "partitions": case.partitions,
        "incidents": len(last),
        "messages": len(told),
        "members": sum(name != TOGETHER for _, name in state.incidents.slices),
        "delay_panes": (told[0].pane_end_ms - change_ms) // HOUR_MS if told else None,
        "summary": told[-1].summary if told else "",
        "seed": case.seed,
    }


def table(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """For people; the first line names the columns."""
    lines: list[tuple[str, ...]] = [("change", "incidents", "messages", "members", "delay", "must be")]
    for row in found["rows"]:
        names = ("change", "incidents", "messages", "members", "delay_panes")
        lines.append((*(str(row[name]) for name in names), "1"))
    return lines
