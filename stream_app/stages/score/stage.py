"""SCORE: one step over one batch of a source partition.

raw ─ decode ─► events ─ screen ─► in time? ─ score ─► log_prob, p_value, pit ─► panes ─► blocks and markers
        │                  │                  │                          └─► event anomalies
        └─ rejects ────────┴──────────────────┴─► dead letters
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from flowlib.density import Density
from flowlib.table import Bools, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config
from stream_app.stages.batches import EventBatch, RawBatch, ScoredBatch
from stream_app.stages.outputs import Outputs
from stream_app.stages.points import activation_point, anomaly_point, counters_point
from stream_app.stages.score import messages
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.panes import Pane, add_rows, count_rows
from stream_app.stages.score.rejects import Reject, far_future, unscorable
from stream_app.stages.score.scoring import blame_flagged, score_events
from stream_app.stages.score.screening import Screening, screen
from stream_app.stages.score.state import ScoreState


@dataclass(frozen=True, slots=True)
class _Step:
    """A batch with everything known about each of its events, and what the step sends."""

    raw: RawBatch
    events: EventBatch
    timing: Screening
    scored: ScoredBatch
    rejects: list[Reject]
    out: Outputs
    received_before: int

    @property
    def windowed(self) -> Bools:
        """``(n,)`` events that enter the windows."""
        return self.scored.scorable

    @property
    def unscorable(self) -> Bools:
        """``(n,)`` events in time that the model gives no finite likelihood."""
        return self.timing.wanted & ~self.scored.scorable


class ScoreStage:
    """Runs SCORE for the source partitions of a stream. It holds the configuration; states are handed in."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._layout = PaneLayout(len(config.event.numeric))
        self._decoder = Decoder(config)

    def step(self, state: ScoreState, raw: RawBatch, models: Mapping[str, Density]) -> Outputs:
        """Process a batch of consecutive records of one source partition.

        Args:
            state: the partition's state; changed in place.
            raw: records, offsets ascending; those below ``state.next_offset`` are skipped.
            models: verified models by id, every one of ``state.activations`` among them.
        """
        raw = raw.since(state.next_offset)
        if not len(raw):
            return Outputs()
        step = self._score(state, raw, models)
        self._announce(state, step)
        for first, last in _segments(step.timing):
            self._fill_panes(state, step, first, last)
        for reject in step.rejects:
            step.out.messages.append(messages.dead_letter(self.config, raw.topic, raw.partition, reject))
        _count_until(state, step, len(raw))
        state.next_offset = int(raw.offsets[-1]) + 1
        return step.out

    def _score(self, state: ScoreState, raw: RawBatch, models: Mapping[str, Density]) -> _Step:
        events, rejects = self._decoder.decode(raw)
        record_times = None if raw.record_time_ms is None else raw.record_time_ms[events.rows]
        timing = screen(state.timing, self.config.windows, events, record_times)
        model = state.models_for(timing.pane_start_ms)
        scored = score_events(events, models, model, timing.wanted, self.config.event_rule.alpha)
        blame_flagged(scored, models, timing.pane_start_ms, state.blamed)
        rejects += far_future(raw, events, timing.future)
        rejects += unscorable(self.config, raw, scored, np.flatnonzero(timing.wanted & ~scored.scorable))
        rejects.sort(key=lambda reject: reject.row)
        return _Step(raw, events, timing, scored, rejects, Outputs(), state.counters["received"])

    def _announce(self, state: ScoreState, step: _Step) -> None:
        """Event anomalies in row order, each activation just before the first row it applies to."""
        raw, starts = step.raw, step.timing.pane_start_ms
        rows = set(np.flatnonzero(step.scored.flagged).tolist())
        for start, _ in state.activations[state.announced :]:
            rows.update(np.flatnonzero(step.windowed & (starts >= start))[:1].tolist())
        for row in sorted(rows):
            for start, model_id in state.activations[state.announced :]:
                if start > starts[row]:
                    break
                message = messages.activation_message(self.config, raw.topic, raw.partition, start, model_id)
                step.out.messages.append(message)
                step.out.points.append(activation_point(self.config, raw.partition, start, model_id))
                state.announced += 1
            if step.scored.flagged[row]:
                record = messages.anomaly(self.config, step.scored, row)
                step.out.messages.append(messages.anomaly_message(self.config, record))
                step.out.points.append(anomaly_point(record))

    def _fill_panes(self, state: ScoreState, step: _Step, first: int, last: int) -> None:
        """Rows ``[first, last)``; the first of them may close panes, none of the others does."""
        timing, rows = step.timing, np.arange(first, last)
        if timing.closed_after_ms[first] > timing.closed_before_ms[first]:
            _count_until(state, step, int(step.events.rows[first]))
            self._close_panes(state, step, first)
        windowed = rows[step.windowed[rows]]
        for start, inside in _by_pane(windowed, timing.pane_start_ms):
            for j, pane in enumerate(self._open(state, start)):
                names = step.events.slices[inside, j].tolist()
                add_rows(pane, self._layout, step.scored, names, inside, self.config.windows.max_slices)
        # Late rows go to the oldest open pane, so that somebody hears of them.
        self._count_rows(state, step, "late", rows[timing.late[rows]], timing.closed_after_ms)
        self._count_rows(state, step, "unscorable", rows[step.unscorable[rows]], timing.pane_start_ms)

    def _count_rows(self, state: ScoreState, step: _Step, column: str, rows: Ints, pane_start_ms: Ints) -> None:
        for start, inside in _by_pane(rows, pane_start_ms):
            for j, pane in enumerate(self._open(state, start)):
                names = step.events.slices[inside, j].tolist()
                count_rows(pane, self._layout, column, names, self.config.windows.max_slices)

    def _open(self, state: ScoreState, start: int) -> list[Pane]:
        if start not in state.panes:
            model_id = state.models_for(np.array([start]))[0]
            state.panes[start] = [Pane(model_id) for _ in self.config.event.slicings]
        return state.panes[start]

    def _close_panes(self, state: ScoreState, step: _Step, row: int) -> None:
        """Send the panes that a row closes, oldest first, each followed by its markers."""
        pane_ms, partition, offset = int(self.config.windows.pane), step.raw.partition, int(step.events.offsets[row])
        closed, due = int(step.timing.closed_after_ms[row]), int(step.timing.due_ms[row])
        done = sorted(start for start in state.panes if start + pane_ms <= closed)
        state.blamed = {start: n for start, n in state.blamed.items() if start + pane_ms > closed}
        state.closed_early += sum(start + pane_ms > due for start in done)
        for start in done:
            panes = state.panes.pop(start)
            step.out.messages += messages.pane_blocks(self.config, self._layout, partition, start, panes)
            step.out.messages += messages.markers(self.config, partition, start + pane_ms, offset)
        if not done or done[-1] + pane_ms < closed:
            step.out.messages += messages.markers(self.config, partition, closed, offset)
        step.out.points.append(counters_point(self.config, partition, closed, state.counters, state.closed_early))


def _segments(timing: Screening) -> list[tuple[int, int]]:
    """Cut the rows before every one that closes panes."""
    n = len(timing.late)
    if not n:
        return []
    cuts = np.flatnonzero(timing.closed_after_ms > timing.closed_before_ms).tolist()
    return list(pairwise(sorted({0, *cuts, n})))


def _by_pane(rows: Ints, pane_start_ms: Ints) -> list[tuple[int, Ints]]:
    """Rows by the pane that they go to, oldest pane first, each pane's rows in order."""
    starts = pane_start_ms[rows]
    return [(start, rows[starts == start]) for start in np.unique(starts).tolist()]


def _count_until(state: ScoreState, step: _Step, row: int) -> None:
    """Bring the running totals up to (not including) a row of the raw batch."""
    rows, counters = step.events.rows, state.counters
    done = counters["received"] - step.received_before
    inside = (rows >= done) & (rows < row)
    counters["windowed"] += int((step.windowed & inside).sum())
    counters["late"] += int((step.timing.late & inside).sum())
    counters["duplicate"] += int((step.timing.duplicate & inside).sum())
    counters["rejected"] += sum(done <= reject.row < row for reject in step.rejects)
    counters["received"] += row - done
