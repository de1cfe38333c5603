"""Panes that are final, gone through one after the other: what does not depend on the panes before is made of many at a
time.

    blocks ─► merged ─► rolling windows ─► points
                 └────► evidence ─► pane by pane: rules ─► verdicts ─► policy ─► alerts, retrain requests

As long as no slice is new and none has another model, panes wait for each other; what comes out does not depend on how
many did.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.pane_layout import OTHER, PaneLayout
from schemas.records import PaneBlock
from stream_app.config import Config, RuleConfig
from stream_app.stages.judge.policy import TOGETHER
from stream_app.stages.judge.retraining import OffsetMarks, thin
from stream_app.stages.merging import SlicingPanes, kept_names, merge_blocks
from stream_app.stages.outputs import Outputs, Point
from stream_app.stages.points import alert_points, retrain_point
from stream_app.stages.watch import messages
from stream_app.stages.watch.judging import References, RuleState, verdicts
from stream_app.stages.watch.state import WatchState

TOGETHER_MAX = 200_000
"""Numbers in the rows of panes that wait for each other: what evidence is made of at a time stays in the cache."""

Marks = dict[int, list[tuple[int, int]]]
"""Source partition to the ``(pane_end_ms, offset_end)`` of its markers."""

Blocks = dict[str, list[PaneBlock]]
"""Blocks of a pane by slicing."""


@dataclass(frozen=True, slots=True)
class _Final:
    """A final pane that waits: its blocks, and the markers that came before it was final."""

    start_ms: int
    blocks: Blocks
    marks: Marks


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule that goes through panes of one slicing."""

    name: str
    config: RuleConfig
    state: RuleState
    panes: Iterator[bool]


@dataclass(frozen=True, slots=True)
class _Run:
    """Panes of one slicing, merged: what is to be said of each."""

    panes: SlicingPanes
    points: list[list[Point]]
    rules: list[_Rule]


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
        self._waiting: list[_Final] = []
        self._model, self._rows = "", 0
        self._left = math.inf if slice_panes_max is None else slice_panes_max

    @property
    def full(self) -> bool:
        """Whether as many panes of a slice were taken in as may be."""
        return self._left <= 0

    def add(self, start_ms: int, blocks: list[PaneBlock], marks: Marks) -> None:
        """Take the next final pane in, with the markers that came since the one before."""
        models = {block.model_id for block in blocks}
        if self._waiting and not self._fits(blocks, models):
            self.finish()
        of_slicing: Blocks = {name: [] for name in self._state.windows}
        for block in blocks:
            of_slicing[block.slicing].append(block)
        if not self._waiting and len(models) == 1:
            self._admit(of_slicing, *models)
        self._waiting.append(_Final(start_ms, of_slicing, marks))
        self._model = self._model or min(models, default="")
        known = sum([len(windows.index) for windows in self._state.windows.values()])
        self._left -= max(known, 1)
        self._rows += known
        if len(models) > 1 or self._rows * self._layout.width >= TOGETHER_MAX:
            self.finish()

    def _fits(self, blocks: list[PaneBlock], models: set[str]) -> bool:
        """Whether a pane may wait with those that do: all of one model, no slice new or of another model before."""
        windows, model = self._state.windows, self._model or min(models, default="")
        return models <= {model} and all(windows[block.slicing].has_room(block.slices, model) for block in blocks)

    def _admit(self, blocks: Blocks, model_id: str) -> None:
        for slicing, own in blocks.items():
            windows = self._state.windows[slicing]
            kept = kept_names(own, windows.index, self._config.windows.max_slices)
            names = {name if name in kept else OTHER for block in own for name in block.slices}
            windows.admit(dict.fromkeys(sorted(names), model_id))

    def finish(self) -> None:
        """Go through the panes that wait."""
        waiting, self._waiting, self._model, self._rows = self._waiting, [], "", 0
        if not waiting:
            return
        runs = [self._run(slicing, waiting) for slicing in self._state.windows]
        for k, pane in enumerate(waiting):
            add_marks(self._state, pane.marks)
            for run in runs:
                if run is not None:
                    self._go_on(run, k)
            end_ms = pane.start_ms + int(self._config.windows.pane)
            self._ask(end_ms)
            self._state.policy.forget(end_ms)
            thin(self._state.offset_marks.values(), end_ms)

    def _run(self, slicing: str, waiting: list[_Final]) -> _Run | None:
        """Panes of a slicing, entered into its windows, and its rules on their way; None where it has no slices."""
        config, state, layout, references = self._config, self._state, self._layout, self._references
        windows, known = state.windows[slicing], state.known[slicing]
        of_panes = [(pane.start_ms, pane.blocks[slicing]) for pane in waiting]
        if not (windows.index or of_panes[0][1]):
            return None
        # Where a pane is of several models, only its merged rows tell whose each slice is.
        kept = windows.index.keys() | kept_names(of_panes[0][1], windows.index, config.windows.max_slices)
        panes = merge_blocks(layout, slicing, of_panes, kept)
        windows.admit(dict(zip(panes.names, panes.models, strict=True)))
        numbers, rows = windows.enter(panes, layout)
        notices = known.notices(config, panes, numbers, windows, references)
        points = messages.windows(config, panes, windows.of_span, rows, notices)
        parts, everywhere = known.parts(layout, panes, numbers, windows, references)
        slices = len(windows.index)
        rules = [
            _Rule(name, rule, of_rule, of_rule.update(parts, everywhere, slices, rule.together and slices > 1))
            for (name, of), of_rule in state.rules.items()
            if of == slicing
            for rule in [config.rules[name]]
        ]
        return _Run(panes, points, rules)

    def _go_on(self, run: _Run, k: int) -> None:
        """Let every rule of a slicing look at the next pane."""
        config, state, slicing = self._config, self._state, run.panes.slicing
        start_ms, end_ms = (start := run.panes.starts_ms[k]), start + int(config.windows.pane)
        models = run.panes.models[run.panes.edges[k] : run.panes.edges[k + 1]]
        if models:
            state.service = min(set(models), key=lambda model: (-models.count(model), model))
        self._out.points += run.points[k]
        for rule in run.rules:
            speaks = next(rule.panes)
            pending = state.policy.pending(rule.name, slicing, end_ms)
            if not speaks and not pending:
                continue
            said = verdicts(
                rule.name, rule.config, rule.state, slicing, (start_ms, end_ms), state.windows[slicing], pending
            )
            alerts = state.policy.judge(said)
            if alerts:
                self._out.messages += messages.alerts(config, self._partition, alerts)
                self._out.points += alert_points(alerts)

    def _ask(self, end_ms: int) -> None:
        state, start_ms = self._state, end_ms - int(self._config.windows.pane)
        if not state.retraining.is_due(end_ms):
            return
        alerts = state.policy.open_alerts(
            state.retraining.rules,
            state.retraining.faults,
            lambda slicing, slice_: slice_ == TOGETHER or state.windows[slicing].has_events(slice_, start_ms),
        )
        request = state.retraining.ask(end_ms, alerts, state.service, state.marks_at(end_ms)) if alerts else None
        if request is not None:
            self._out.messages += messages.request(self._config, self._partition, request)
            self._out.points.append(retrain_point(request, self._partition))


def add_marks(state: WatchState, marks: Marks) -> None:
    """Move the marks of markers into the state."""
    for source, ends in marks.items():
        state.offset_marks.setdefault(source, OffsetMarks()).add(ends)
