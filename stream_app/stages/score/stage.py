"""One SCORE step over one batch: screen, score, cut at the rows that close panes, emit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from flowlib.density import Density
from flowlib.table import Bools, Ints
from schemas.pane_layout import Layout
from stream_app.config import Config
from stream_app.stages.batches import EventBatch, Outputs, RawBatch, Reject, ScoredBatch
from stream_app.stages.points import activation_point, anomaly_point, counters_point
from stream_app.stages.score import messages as emitting
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.panes import Pane, add_rows, count_rows
from stream_app.stages.score.screening import Screening, screen
from stream_app.stages.score.state import SourceState, explain, score_events, skip_done, unscorable


@dataclass(frozen=True, slots=True)
class _Judged:
    """A batch with everything known about each of its events (masks over the events)."""

    events: EventBatch
    timing: Screening
    scored: ScoredBatch
    windowed: Bools
    unscorable: Bools
    pane_ms: Ints
    rejects: list[Reject]
    received_before: int


class Scorer:
    """Runs SCORE for the source partitions of a stream. It holds no state of theirs, only the configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.layout = Layout(len(config.event.numeric))
        self._decoder = Decoder(config)

    def step(self, state: SourceState, raw: RawBatch, models: Mapping[str, Density]) -> Outputs:
        """Process a batch of consecutive records of one partition.

        Args:
            state: the partition's state; changed in place.
            raw: records, offsets ascending; those below ``state.next_offset`` are skipped.
            models: verified models by id, holding every model of ``state.activations``.
        """
        out = Outputs()
        raw = skip_done(state, raw)
        if not len(raw):
            return out
        events, rejects = self._decoder.decode(raw)
        judged = self._judge(state, raw, events, rejects, models)
        self._signals(state, raw, judged, out)
        for first, last in _segments(judged.timing, len(events)):
            self._segment(state, raw, judged, first, last, out)
        for reject in judged.rejects:
            out.messages.append(emitting.dead_letter(self.config, raw.topic, raw.partition, reject))
        _count_until(state, judged, len(raw))
        state.next_offset = int(raw.offsets[-1]) + 1
        return out

    def _judge(
        self,
        state: SourceState,
        raw: RawBatch,
        events: EventBatch,
        rejects: list[Reject],
        models: Mapping[str, Density],
    ) -> _Judged:
        pane = int(self.config.windows.pane)
        record_times = None if raw.record_time_ms is None else raw.record_time_ms[events.rows]
        timing = screen(state.timing, self.config.windows, events, record_times)
        wanted = ~(timing.future | timing.duplicate | timing.late)
        pane_ms = events.event_time_ms // pane * pane
        model = np.array([state.model_for(int(at)) for at in pane_ms], dtype=object)
        scored = _score_where(events, models, model, wanted, self.config.event_rule.alpha)
        bad = wanted & ~scored.scorable
        flagged = wanted & scored.scorable & (scored.p_value <= self.config.event_rule.alpha)
        explain(state, scored, np.flatnonzero(flagged), pane_ms, models)
        rejects = rejects + _future_rejects(raw, events, timing.future)
        rejects += unscorable(self.config, scored, raw, np.flatnonzero(bad))
        rejects.sort(key=lambda reject: reject.row)
        return _Judged(events, timing, scored, wanted & ~bad, bad, pane_ms, rejects, state.counters["received"])

    def _segment(self, state: SourceState, raw: RawBatch, judged: _Judged, first: int, last: int, out: Outputs) -> None:
        """Rows ``[first, last)``; the first of them may close panes, none of the others does."""
        closed = int(judged.timing.closed_after_ms[first])
        if closed > int(judged.timing.closed_before_ms[first]):
            _count_until(state, judged, int(judged.events.rows[first]))
            self._close(state, raw, closed, int(judged.events.offsets[first]), out)
        rows = np.arange(first, last)
        for start in np.unique(judged.pane_ms[rows[judged.windowed[rows]]]).tolist():
            inside = rows[judged.windowed[rows] & (judged.pane_ms[rows] == start)]
            for j, pane in enumerate(self._pane(state, start)):
                names = judged.events.slices[inside, j].tolist()
                add_rows(pane, self.layout, judged.scored, names, inside, self.config.windows.max_slices)
        late = rows[judged.timing.late[rows]]
        self._count(state, "late", late, judged.timing.closed_before_ms, judged)
        self._count(state, "unscorable", rows[judged.unscorable[rows]], judged.pane_ms, judged)

    def _count(self, state: SourceState, column: str, rows: Ints, pane_ms: Ints, judged: _Judged) -> None:
        """Rows without a score: late ones go to the oldest open pane, so that somebody hears of them."""
        for i in rows.tolist():
            for j, pane in enumerate(self._pane(state, int(pane_ms[i]))):
                count_rows(pane, self.layout, column, [judged.events.slices[i, j]], self.config.windows.max_slices)

    def _pane(self, state: SourceState, start: int) -> list[Pane]:
        if start not in state.panes:
            model = state.model_for(start)
            state.panes[start] = [Pane(model) for _ in self.config.event.slicings]
        return state.panes[start]

    def _close(self, state: SourceState, raw: RawBatch, closed_ms: int, offset: int, out: Outputs) -> None:
        pane_ms, source = int(self.config.windows.pane), (raw.topic, raw.partition)
        done = sorted(start for start in state.panes if start + pane_ms <= closed_ms)
        state.explained = {start: n for start, n in state.explained.items() if start + pane_ms > closed_ms}
        for start in done:
            panes = state.panes.pop(start)
            out.messages += emitting.pane_blocks(self.config, self.layout, source, start, panes)
            out.messages += emitting.markers(self.config, source, start + pane_ms, offset, state.counters)
        if not done or done[-1] + pane_ms < closed_ms:
            out.messages += emitting.markers(self.config, source, closed_ms, offset, state.counters)
        out.points.append(counters_point(self.config, raw.partition, closed_ms, state.counters))

    def _signals(self, state: SourceState, raw: RawBatch, judged: _Judged, out: Outputs) -> None:
        """Event anomalies in row order, each activation just before the first row it applies to."""
        flagged = judged.windowed & (judged.scored.p_value <= self.config.event_rule.alpha)
        rows = set(np.flatnonzero(flagged).tolist())
        for start, _ in state.activations[state.announced :]:
            rows.update(np.flatnonzero(judged.windowed & (judged.pane_ms >= start))[:1].tolist())
        for i in sorted(rows):
            while (
                state.announced < len(state.activations) and state.activations[state.announced][0] <= judged.pane_ms[i]
            ):
                start, model_id = state.activations[state.announced]
                out.messages.append(emitting.activation_message(self.config, raw.topic, raw.partition, start, model_id))
                out.points.append(activation_point(self.config, raw.partition, start, model_id))
                state.announced += 1
            if flagged[i]:
                record = emitting.anomaly(self.config, judged.scored, i)
                out.messages.append(emitting.anomaly_message(self.config, record))
                out.points.append(anomaly_point(record))


def _score_where(
    events: EventBatch, models: Mapping[str, Density], model: npt.NDArray[np.object_], wanted: Bools, alpha: float
) -> ScoredBatch:
    """Score the wanted events; the others keep neutral values and count as not scorable."""
    part = score_events(events.take(wanted), models, model[wanted], alpha)
    if wanted.all():
        return part
    (n, d), k = events.numeric.shape, events.categorical.shape[1]
    full = ScoredBatch(
        events,
        np.zeros(n),
        np.ones(n),
        np.zeros(n, bool),
        np.full((n, d), 0.5, np.float32),
        np.isnan(events.numeric),
        np.zeros((n, d + k)),
        np.zeros(n, bool),
        model,
    )
    for name in ("log_prob", "p_value", "pooled", "pit", "missing", "contributions", "scorable"):
        getattr(full, name)[wanted] = getattr(part, name)
    return full


def _future_rejects(raw: RawBatch, events: EventBatch, future: Bools) -> list[Reject]:
    rejects = []
    for i in np.flatnonzero(future):
        row = int(events.rows[i])
        detail = f"event time {int(events.event_time_ms[i])} ms is further ahead than windows.max_future allows"
        rejects.append(Reject(row, int(events.offsets[i]), "far_future", "", detail, raw.values[row]))
    return rejects


def _segments(timing: Screening, n: int) -> list[tuple[int, int]]:
    """Cut ``range(n)`` before every row that closes panes."""
    if not n:
        return []
    cuts = np.flatnonzero(timing.closed_after_ms > timing.closed_before_ms).tolist()
    edges = sorted({0, *cuts, n})
    return list(pairwise(edges))


def _count_until(state: SourceState, judged: _Judged, row: int) -> None:
    """Bring the running totals up to (not including) a row of the raw batch."""
    events, counters = judged.events, state.counters
    done = counters["received"] - judged.received_before
    inside = (events.rows >= done) & (events.rows < row)
    counters["windowed"] += int((judged.windowed & inside).sum())
    counters["late"] += int((judged.timing.late & inside).sum())
    counters["duplicate"] += int((judged.timing.duplicate & inside).sum())
    counters["rejected"] += sum(done <= reject.row < row for reject in judged.rejects)
    counters["received"] += row - done
