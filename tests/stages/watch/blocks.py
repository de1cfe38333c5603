"""Simulated panes as partials: what SCORE would send of a :class:`World`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from flowlib.reference.reference import Reference
from flowlib.table import Ints
from schemas.codecs import Partial, decode_event, encode_partials
from schemas.records import Alert, PaneBlock, PaneClosed, RetrainRequest
from stream_app.config import Config, Duration, RuleConfig
from stream_app.stages.batches import PartialMessage
from stream_app.stages.detection.detectors.simulated import PANE_MS, START_MS, Change, World
from stream_app.stages.outputs import Outputs
from stream_app.stages.watch.checking import Known
from stream_app.stages.watch.stage import WatchStage
from stream_app.stages.watch.state import WatchState

DRIFT = ["location", "scale", "dependence", "likelihood", "categories", "variation"]
FAULT = ["missing", "stuck", "silence", "volume"]


def config_of(world: World, open_: float = 10_000.0, cooldown_ms: int = 0) -> Config:
    """Its stream with both default rules, opening at a level."""
    rules = {
        "drift": RuleConfig(detectors=DRIFT, open=open_, retrain=True, cooldown=Duration(cooldown_ms)),
        "fault": RuleConfig(detectors=FAULT, open=open_, cooldown=Duration(cooldown_ms)),
    }
    return msgspec.structs.replace(world.config, rules=rules)


def block(world: World, number: int, rows: Ints, model: str = "m", partition: int = 0) -> PaneBlock:
    """The slices of a pane ``(slices, w)`` that have events."""
    at = [i for i, seen in enumerate(world.layout.get(rows, "seen")) if seen]
    start = START_MS + number * PANE_MS
    return PaneBlock(
        stream="s",
        partition=partition,
        pane_start_ms=start,
        pane_end_ms=start + PANE_MS,
        model_id=model,
        slicing="slice",
        index=0,
        slices=[world.names[i] for i in at],
        columns=world.layout.encode(rows[at]),
    )


def marker(number: int, partition: int = 0) -> PaneClosed:
    """A source partition has closed a pane, and those before it."""
    start = START_MS + number * PANE_MS
    return PaneClosed(
        stream="s", partition=partition, pane_start_ms=start, pane_end_ms=start + PANE_MS, offset_end=number
    )


def panes(
    world: World, count: int, seed: int, changes: dict[int, Change] | None = None, first: int = 0, model: str = "m"
) -> list[Partial]:
    """Blocks and markers of a number of panes."""
    out: list[Partial] = []
    for number, rows in enumerate(world.rows(world.events(count, seed, changes), count), first):
        made = block(world, number, rows, model)
        out += [made, marker(number)] if made.slices else [marker(number)]
    return out


class Watching:
    """WATCH on one partials partition, message by message.

    Attributes:
        alerts: all, in order, each with the number of its pane.
        requests: for a model.
        slice_panes_max: of each step.
        steps: how many there were.
    """

    def __init__(self, config: Config, references: dict[str, Reference], sources: int = 1) -> None:
        self.stage, self.state = WatchStage(config), WatchState.empty(config, sources)
        self.known = Known({model_id: [reference] for model_id, reference in references.items()})
        self.alerts: list[tuple[int, Alert]] = []
        self.requests: list[RetrainRequest] = []
        self._offset = 0
        self.slice_panes_max: int | None = None
        self.steps = 0

    def feed(self, partials: Iterable[Partial], size: int = 1) -> Outputs:
        """Take messages in, ``size`` at a time."""
        encoded, all_ = encode_partials(list(partials)), Outputs()
        for at in range(0, len(encoded), size):
            messages = [
                PartialMessage(self._offset + i, message.value, message.headers)
                for i, message in enumerate(encoded[at : at + size])
            ]
            self._offset += len(messages)
            going = True
            while going:
                out = self.stage.step(self.state, 0, messages, self.known, self.slice_panes_max)
                assert not out.refused
                all_.messages += out.messages
                all_.points += out.points
                self.steps, going = self.steps + 1, out.unfinished
        for message in all_.messages:
            record = decode_event(message.value, message.headers)
            if isinstance(record, Alert):
                self.alerts.append(((record.pane_start_ms - START_MS) // PANE_MS, record))
            elif isinstance(record, RetrainRequest):
                self.requests.append(record)
        return all_

    def told(self) -> Sequence[tuple[int, str, str, str]]:
        """Pane, state, slice and detector of each alert."""
        return [(pane, alert.state, alert.slice, alert.detector) for pane, alert in self.alerts]
