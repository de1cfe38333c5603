"""SCORE: one source partition's records in, pane blocks, anomalies and dead letters out.

Received = windowed + late + rejected + duplicate, at every row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowlib.density import Density
from flowlib.explain.blame import blame, excess
from flowlib.table import Ints, Table
from stream_app.config import Config
from stream_app.stages.batches import EventBatch, RawBatch, Reject, ScoredBatch
from stream_app.stages.score.panes import Pane
from stream_app.stages.score.screening import Timing

EXPLAINED_MAX = 50
"""Flagged events of a pane and source partition whose blame is worked out; beyond, it is read off the likelihood."""

COUNTERS = ("received", "windowed", "late", "rejected", "duplicate")


@dataclass(slots=True)
class SourceState:
    """Everything SCORE remembers of one source partition.

    Attributes:
        next_offset: rows below it are done with.
        panes: open panes, pane start to one Pane for each slicing.
        activations: ``(pane_start_ms, model_id)``, ascending; the decisions that apply here.
        engines: engine of each model here, by model id; decisions too.
        announced: how many of the activations have been announced as signals.
        explained: pane start to the number of its events that have been explained.
        counters: running totals by name (:data:`COUNTERS`).
    """

    next_offset: int = 0
    timing: Timing = field(default_factory=Timing)
    panes: dict[int, list[Pane]] = field(default_factory=dict)
    activations: list[tuple[int, str]] = field(default_factory=list)
    engines: dict[str, str] = field(default_factory=dict)
    announced: int = 0
    explained: dict[int, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))

    def next_free_pane(self, pane_ms: int) -> int:
        """Start of the first pane that no row has reached: where a new model may take over."""
        newest = self.timing.newest_ms
        return 0 if newest < 0 else newest // pane_ms * pane_ms + pane_ms

    def model_for(self, pane_start_ms: int) -> str:
        """The model of a pane: that of the last activation at or before it."""
        chosen = self.activations[0][1]
        for start, model_id in self.activations:
            if start <= pane_start_ms:
                chosen = model_id
        return chosen

    def activate(self, pane_start_ms: int, model_id: str) -> None:
        """Put a decision into the list; a later one for the same pane replaces the earlier."""
        self.activations = sorted({**dict(self.activations), pane_start_ms: model_id}.items())

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot (activations are decisions and are kept with them)."""
        return {
            "next_offset": self.next_offset,
            "timing": self.timing.to_state(),
            "panes": [[start, [pane.to_state() for pane in panes]] for start, panes in self.panes.items()],
            "announced": self.announced,
            "explained": list(self.explained.items()),
            "counters": self.counters,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> SourceState:
        """Inverse of :meth:`to_state`."""
        return cls(
            next_offset=state["next_offset"],
            timing=Timing(**state["timing"]),
            panes={start: [Pane.from_state(pane) for pane in panes] for start, panes in state["panes"]},
            announced=state["announced"],
            explained=dict(state["explained"]),
            counters=state["counters"],
        )


def skip_done(state: SourceState, raw: RawBatch) -> RawBatch:
    """Drop the rows that an earlier run has finished with (redelivered after a crash)."""
    if not len(raw) or raw.offsets[0] >= state.next_offset:
        return raw
    first = int(np.searchsorted(raw.offsets, state.next_offset))
    times = None if raw.record_time_ms is None else raw.record_time_ms[first:]
    return RawBatch(raw.topic, raw.partition, raw.offsets[first:], raw.values[first:], times)


def score_events(events: EventBatch, models: Mapping[str, Density], model: Any, alpha: float) -> ScoredBatch:
    """Score events, each by the model of its pane.

    Args:
        events: n events.
        models: verified models by id.
        model: ``(n,)`` object array of model ids.
        alpha: rows with a p-value at or below it get contributions: how much less likely than usual each column is.
    """
    (n, d), k = events.numeric.shape, events.categorical.shape[1]
    scored = ScoredBatch(
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
    whole = Table(events.numeric, events.categorical, events.slices[:, 0], events.event_time_ms)
    for model_id in dict.fromkeys(model.tolist()):
        rows = np.flatnonzero(model == model_id)
        density = models[model_id]
        part = density.score(whole.take(rows))
        scored.log_prob[rows], scored.p_value[rows], scored.pooled[rows] = part.log_prob, part.p_value, part.pooled
        scored.pit[rows], scored.scorable[rows] = part.pit, part.scorable
        strange = rows[part.scorable & (part.p_value <= alpha)]
        scored.contributions[strange] = excess(part, density)[np.searchsorted(rows, strange)]
    return scored


def explain(
    state: SourceState, scored: ScoredBatch, flagged: Ints, pane_ms: Ints, models: Mapping[str, Density]
) -> None:
    """Blame columns for flagged rows (indices, ascending), the first few of each pane: it costs hundreds of evaluations a
    row, and a drifted slice flags a large part of its events. The others keep the contributions of the scoring.
    """
    chosen: dict[str, list[int]] = {}
    for i in flagged.tolist():
        start = int(pane_ms[i])
        if state.explained.get(start, 0) < EXPLAINED_MAX:
            state.explained[start] = state.explained.get(start, 0) + 1
            chosen.setdefault(scored.model[i], []).append(i)
    events = scored.events
    whole = Table(events.numeric, events.categorical, events.slices[:, 0], events.event_time_ms)
    for model_id, rows in chosen.items():
        scored.contributions[rows] = blame(models[model_id], whole.take(np.array(rows)))


def unscorable(config: Config, scored: ScoredBatch, raw: RawBatch, rows: Ints) -> list[Reject]:
    """Rejects for the rows (indices into ``scored``) that cannot be scored, naming the field at fault.

    A finite value is never one of them, however large: it is scored as very unlikely.
    """
    rejects = []
    for i in rows:
        values = scored.events.numeric[i]
        bad = np.flatnonzero(np.isinf(values))
        name = config.event.numeric[bad[0]] if len(bad) else ""
        if len(bad):
            detail = f"{name} is infinite, or beyond 3.4e38, the most that a float32 holds: send it as missing (null)"
        elif np.isnan(values).all():
            detail = "every numeric field is missing: an event needs one number at least to be scored"
        else:
            detail = "the model gives no finite likelihood: its weights do not fit these values; retrain it"
        row = int(scored.events.rows[i])
        rejects.append(Reject(row, int(scored.events.offsets[i]), "unscorable", name, detail, raw.values[row]))
    return rejects
