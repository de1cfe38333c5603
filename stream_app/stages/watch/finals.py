"""Panes that are final, gone through one after the other: what does not depend on the panes before is made of many at a
time.

    blocks ─► merged ─► rolling windows ─► points
                 └────► evidence ─► pane by pane: rules ─► what they have found, sums of the ordinary slices ─► evidence

As long as no slice is new and none has another model, panes wait for each other; what comes out does not depend on how
many did.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from flowlib.table import Ints
from schemas.evidence import ModelPane
from schemas.pane_layout import PaneLayout
from schemas.records import PaneBlock, PaneClosed
from stream_app.config import Config
from stream_app.stages.detection.causes import Found
from stream_app.stages.detection.detectors import GroupSums
from stream_app.stages.merging import SlicingPanes, kept_names, merge_blocks
from stream_app.stages.outputs import Outputs, Points
from stream_app.stages.watch import messages
from stream_app.stages.watch.judging import References, RuleState
from stream_app.stages.watch.sending import PaneMessages
from stream_app.stages.watch.state import WatchState
from stream_app.stages.watch.totals import model_panes, scored_and_alarms

TOGETHER_MAX = 200_000
"""Numbers in the rows of panes that wait for each other: what evidence is made of at a time stays in the cache."""

Blocks = dict[str, list[PaneBlock]]
"""Blocks of a pane by slicing."""


class _Final(msgspec.Struct, frozen=True):
    """A final pane that waits: its blocks, and the markers of the source partitions that are sent on with it."""

    start_ms: int
    blocks: Blocks
    markers: list[PaneClosed]


class _Looked(msgspec.Struct, frozen=True):
    """What a rule has found in a pane, if anything, and by model the sums over its ordinary slices."""

    found: Found | None
    groups: list[tuple[str, GroupSums]]


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a rule has found in panes of one slicing."""

    name: str
    state: RuleState
    looked: list[_Looked]


@dataclass(frozen=True, slots=True)
class _Run:
    """Panes of one slicing, merged: the events of each and what is to be said of it; what slices are called, the number
    of the slice of each cell, and how many of its events were scored and are alarms.
    """

    panes: SlicingPanes
    numbers: Ints
    counts: Ints
    events: list[int]
    names: list[str]
    points: list[Points]
    rules: list[_Rule]

    def counts_of(self, k: int, slices: Ints) -> Ints:
        """``(m, 2)`` of slices in a pane; 0 where they have no events."""
        cells, found = slice(*self.panes.edges[k : k + 2]), np.zeros((len(self.names), 2), dtype=np.int64)
        found[self.numbers[cells]] = self.counts[cells]
        return found[slices]


class FinalPanes:
    """Takes final panes of a partials partition in; the results go into ``out``.

    Args:
        config: the stream.
        layout: columns of pane rows.
        state: the partition's; changed in place.
        partition: its number.
        references: what is normal under each model.
        out: takes the messages and points.
        slice_panes_max: how many panes of a slice are taken in at most, about; None for any number.
    """

    def __init__(
        self,
        config: Config,
        layout: PaneLayout,
        state: WatchState,
        partition: int,
        references: References,
        out: Outputs,
        slice_panes_max: int | None = None,
    ) -> None:
        self._config, self._layout, self._state = config, layout, state
        self._partition, self._references, self._out = partition, references, out
        self._fields = dict(zip(state.windows, config.event.slicings, strict=True))  # without any, of one slice at most
        self._first = next(iter(state.windows))
        self._waiting: list[_Final] = []
        self._model, self._rows = "", 0
        self._bucket_ms = max(next(iter(state.windows.values())).of_span.items())[1]
        self._left = math.inf if slice_panes_max is None else slice_panes_max

    @property
    def full(self) -> bool:
        """Whether as many panes of a slice were taken in as may be."""
        return self._left <= 0

    def add(self, start_ms: int, blocks: list[PaneBlock], markers: list[PaneClosed]) -> None:
        """Take the next final pane in, with the markers that are sent on with it."""
        self._give_back(start_ms)
        models = {block.model_id for block in blocks}
        if self._waiting and not self._fits(blocks, models):
            self.finish()
        of_slicing: Blocks = {name: [] for name in self._state.windows}
        for block in blocks:
            of_slicing[block.slicing].append(block)
        if not self._waiting and len(models) == 1:
            self._admit(of_slicing, *models)
        self._waiting.append(_Final(start_ms, of_slicing, markers))
        self._model = self._model or min(models, default="")
        known = sum(self._slices().values())
        self._left -= max(known, 1)
        self._rows += known
        if len(models) > 1 or self._rows * self._layout.width >= TOGETHER_MAX:
            self.finish()

    def skip(self, start_ms: int, markers: list[PaneClosed]) -> None:
        """The next final pane held nothing, and is not gone through."""
        self.finish()
        pane = PaneMessages(self._config, self._partition, start_ms)
        self._out.messages += pane.close(self._slices(), 0, [], (), markers)

    def _slices(self) -> dict[str, int]:
        return {slicing: len(windows.index) for slicing, windows in self._state.windows.items()}

    def _give_back(self, start_ms: int) -> None:
        """Take the places of slices that have had no events for as long as anything looks back, and of which nothing is
        being found; once in each bucket of the longest span.
        """
        state, bucket = self._state, start_ms // self._bucket_ms
        if bucket == state.bucket:
            return
        state.bucket = bucket
        if any(len(windows.idle(start_ms)) for windows in state.windows.values()):
            self.finish()  # panes that wait may hold events of theirs
            for slicing in state.windows:
                self._give_back_of(slicing, start_ms)

    def _give_back_of(self, slicing: str, start_ms: int) -> None:
        state, windows = self._state, self._state.windows[slicing]
        rules = [rule for (_, of), rule in state.rules.items() if of == slicing]
        goes = np.setdiff1d(windows.idle(start_ms), np.concatenate([[-1], *(rule.followed for rule in rules)]))
        if not len(goes):
            return
        stay = np.setdiff1d(np.arange(len(windows.index)), goes)
        windows.keep(stay)
        state.known[slicing].forget()
        for rule in rules:
            rule.keep(stay)

    def _fits(self, blocks: list[PaneBlock], models: set[str]) -> bool:
        """Whether a pane may wait with those that do: all of one model, no slice new or of another model before."""
        windows, model = self._state.windows, self._model or min(models, default="")
        most = self._config.windows.max_slices
        return models <= {model} and all(windows[block.slicing].has_room(block.slices, model, most) for block in blocks)

    def _admit(self, blocks: Blocks, model_id: str) -> None:
        for slicing, own in blocks.items():
            windows = self._state.windows[slicing]
            kept = self._kept(slicing, own)
            ordered = kept if kept <= windows.index.keys() else sorted(kept)
            self._restart(slicing, windows.admit(dict.fromkeys(ordered, model_id)))

    def _kept(self, slicing: str, blocks: list[PaneBlock]) -> set[str]:
        """Names that keep windows of their own; those that the model knows before those that it does not."""
        windows, most, usual = self._state.windows[slicing], self._config.windows.max_slices, set[str]()
        if len(windows.index) + sum(len(block.slices) for block in blocks) > most:  # there may not be room for all
            number = self._config.slicing_names.index(slicing)
            for model_id in {block.model_id for block in blocks}:
                usual.update(self._references[model_id][number].slices)
        return kept_names(blocks, windows.index, most, usual)

    def _restart(self, slicing: str, numbers: Ints) -> None:
        """Slices that another model scores now."""
        for (_, of), rule in self._state.rules.items():
            if of == slicing and len(numbers):
                rule.restart(numbers)

    def finish(self) -> None:
        """Go through the panes that wait."""
        waiting, self._waiting, self._model, self._rows = self._waiting, [], "", 0
        if not waiting:
            return
        runs = [run for slicing in self._state.windows if (run := self._run(slicing, waiting))]
        slices, first = self._slices(), [run for run in runs if run.panes.slicing == self._first]
        totals = model_panes(self._layout, first[0].panes) if first else [list[ModelPane]() for _ in waiting]
        for k, pane in enumerate(waiting):
            self._send(k, pane, runs, slices, totals[k])
        for rule in (rule for run in runs for rule in run.rules):
            rule.state.release()

    def _run(self, slicing: str, waiting: list[_Final]) -> _Run | None:
        """Panes of a slicing, entered into its windows, and its rules on their way; None where it has no slices."""
        config, state, layout, references = self._config, self._state, self._layout, self._references
        windows, known = state.windows[slicing], state.known[slicing]
        of_panes = [(pane.start_ms, pane.blocks[slicing]) for pane in waiting]
        if not (windows.index or any(blocks for _, blocks in of_panes)):
            return None
        # Where a pane is of several models, only its merged rows tell whose each slice is.
        names = self._kept(slicing, of_panes[0][1])
        kept = windows.index.keys() if names <= windows.index.keys() else windows.index.keys() | names
        panes = merge_blocks(layout, slicing, of_panes, kept)
        self._restart(slicing, windows.admit(dict(zip(panes.names, panes.models, strict=True))))
        if not windows.index:
            none = np.zeros(0, dtype=np.int64)
            return _Run(panes, none, none, self._events(panes), [], [Points() for _ in waiting], [])
        numbers, rows = windows.enter(panes, layout)
        notices = known.notices(config, panes, numbers, windows, references)
        points = messages.windows(config, panes, windows.of_span, rows, notices)
        own = {name: rule for (name, of), rule in state.rules.items() if of == slicing}
        silent = any(rule.everywhere for rule in own.values())
        parts, everywhere = known.parts(layout, panes, numbers, windows, references, silent)
        n = len(waiting)
        rules = [
            _Rule(name, rule, self._look(name, rule, panes, rule.update(parts, everywhere, len(windows.index), n)))
            for name, rule in own.items()
        ]
        counts = scored_and_alarms(layout, panes)
        return _Run(panes, numbers, counts, self._events(panes), list(windows.index), points, rules)

    def _events(self, panes: SlicingPanes) -> list[int]:
        """Of each pane, those without a slice of their own too."""
        until = np.concatenate([[0], np.cumsum(self._layout.get(panes.rows, "seen"))])
        others = [sum(int(self._layout.get(row, "seen")) for _, row in of_pane) for of_pane in panes.others]
        return [own + more for own, more in zip(np.diff(until[panes.edges]).tolist(), others, strict=True)]

    def _look(self, name: str, rule: RuleState, panes: SlicingPanes, steps: Iterator[bool]) -> list[_Looked]:
        """Let a rule look at each pane."""
        grouped = self._config.rules[name].together and rule.groups and self._fields[panes.slicing] != []
        looked = []
        for speaks in steps:
            of_parts = zip(panes.parts, rule.group_sums(), strict=True) if grouped else ()
            groups = [(part.model_id, sums) for part, sums in of_parts if sums is not None]
            looked.append(_Looked(rule.settle() if speaks else None, groups))
        return looked

    def _send(self, k: int, pane: _Final, runs: list[_Run], slices: dict[str, int], totals: list[ModelPane]) -> None:
        """Send what every rule has found in a pane."""
        send = PaneMessages(self._config, self._partition, pane.start_ms)
        events, models = 0, list[str]()
        for run in runs:
            panes, a, b = run.panes, run.panes.edges[k], run.panes.edges[k + 1]
            self._out.points += run.points[k]
            models += panes.models[a:b]
            if panes.slicing == self._first:
                events = run.events[k]
            for model_id, row in panes.others[k]:
                send.other(panes.slicing, model_id, row)
            for rule in run.rules:
                self._tell(rule.name, rule.looked[k], run, k, send)
        blocks = [block for own in pane.blocks.values() for block in own]
        self._out.messages += send.close(slices, events, models, blocks, pane.markers, totals)

    def _tell(self, rule: str, looked: _Looked, run: _Run, k: int, send: PaneMessages) -> None:
        slicing, found = run.panes.slicing, looked.found
        for model_id, sums in looked.groups:
            send.group(rule, slicing, model_id, sums)
        if found is not None and len(found.numbers):
            counts = run.counts_of(k, found.numbers)
            send.found(rule, slicing, found, run.names, self._state.windows[slicing].model, counts)
