"""Simulated panes as partials: what SCORE would send of a :class:`World`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from flowlib.reference.reference import Reference
from flowlib.table import Ints
from schemas.codecs import Partial, decode_evidence, encode_partials
from schemas.evidence import EvidenceClosed, EvidenceColumns, PaneEvidence
from schemas.records import PaneBlock, PaneClosed
from stream_app.config import Config, RuleConfig
from stream_app.config.alerts import MONTH_MS
from stream_app.config.registries import DETECTOR_KINDS, DetectorName
from stream_app.stages.batches import PartialMessage
from stream_app.stages.detection.detectors.simulated import PANE_MS, START_MS, Change, World
from stream_app.stages.outputs import Outgoing, Outputs
from stream_app.stages.watch.checking import Known
from stream_app.stages.watch.stage import WatchStage
from stream_app.stages.watch.state import WatchState

DRIFT: list[DetectorName] = ["location", "scale", "dependence", "likelihood", "categories", "variation"]
FAULT: list[DetectorName] = ["missing", "stuck", "silence", "volume"]


def promising(config: Config, floor: float) -> Config:
    """A stream whose rules speak of a slice from so much evidence on."""
    each = MONTH_MS / int(config.windows.pane) * len(config.rules) / floor
    return msgspec.structs.replace(
        config, alerts=msgspec.structs.replace(config.alerts, false_incidents_per_month=each)
    )


def config_of(world: World, floor: float = 10_000.0) -> Config:
    """Its stream with both default rules, which speak from so much evidence on."""
    rules = {"drift": RuleConfig(detectors=DRIFT, retrain=True), "fault": RuleConfig(detectors=FAULT)}
    return promising(msgspec.structs.replace(world.config, rules=rules), floor)


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


@dataclass(frozen=True)
class Word:
    """What a rule says of a slice in a pane."""

    pane: int
    rule: str
    slice_: str
    model: str
    at: int
    columns: EvidenceColumns

    @property
    def statistic(self) -> float:
        """Its evidence."""
        return float(self.columns.statistic[self.at])

    @property
    def remaining(self) -> float:
        """What remains of it."""
        return float(self.columns.remaining[self.at])

    @property
    def detectors(self) -> list[str]:
        """Those of its causes, the one to name first before the others."""
        return [list(DETECTOR_KINDS)[i] for i in self.columns.detector[self.at].tolist() if i >= 0]


def words_of(messages: Iterable[Outgoing]) -> tuple[list[Word], list[EvidenceClosed]]:
    """What messages for JUDGE say, slice by slice, and their markers."""
    words, closed = list[Word](), list[EvidenceClosed]()
    for message in messages:
        if message.role != "evidence":
            continue
        record = decode_evidence(message.value, dict(message.headers))
        if isinstance(record, EvidenceClosed):
            closed.append(record)
            continue
        assert isinstance(record, PaneEvidence)
        pane, columns = (
            (record.pane_start_ms - START_MS) // PANE_MS,
            EvidenceColumns.decode(record.columns, len(record.slices)),
        )
        pairs = zip(record.slices, record.models, strict=True)
        words += [Word(pane, record.rule, name, model, i, columns) for i, (name, model) in enumerate(pairs)]
    return words, closed


class Watching:
    """WATCH on one partials partition, message by message.

    Attributes:
        words: all, in order.
        closed: the markers, in order.
        slice_panes_max: of each step.
        steps: how many there were.
    """

    def __init__(self, config: Config, references: dict[str, Reference], sources: int = 1) -> None:
        self.stage, self.state = WatchStage(config), WatchState.empty(config, sources)
        self.known = Known({model_id: [reference] for model_id, reference in references.items()})
        self.words: list[Word] = []
        self.closed: list[EvidenceClosed] = []
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
        words, closed = words_of(all_.messages)
        self.words += words
        self.closed += closed
        return all_

    def told(self) -> Sequence[tuple[int, str, str, str]]:
        """Pane, ``found`` or ``over``, slice and detector of each slice that comes to the floor, or is over."""
        followed, out = set[tuple[str, str]](), list[tuple[int, str, str, str]]()
        for word in self.words:
            key, over = (word.rule, word.slice_), word.remaining < self.stage.config.rules[word.rule].resolve
            if over or key not in followed:
                out.append((word.pane, "over" if over else "found", word.slice_, word.detectors[0]))
            followed = followed - {key} if over else followed | {key}
        return out
