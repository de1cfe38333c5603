"""What SCORE remembers of one source partition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowlib.table import Coded, Ints
from stream_app.stages.score.adaptive import Adaptive
from stream_app.stages.score.histograms import DayHistograms
from stream_app.stages.score.panes import Pane
from stream_app.stages.score.places import Places
from stream_app.stages.score.telling import Telling
from stream_app.stages.score.timing import Timing
from stream_app.stages.score.top import Tops
from stream_app.stages.score.totals import Totals

COUNTERS = ("received", "windowed", "late", "rejected", "duplicate", "held")
"""Running totals, and how many events are held now. Received = windowed + late + rejected + duplicate + held, at every
row."""


@dataclass(slots=True)
class ScoreState:
    """State of one source partition.

    Attributes:
        next_offset: records below it are done with.
        timing: event-time state: how far panes are closed.
        panes: open panes, pane start to one Pane for each slicing.
        places: which slices have one.
        activations: ``(pane_start_ms, model_id)``, ascending; the decisions that apply here.
        engines: engine of each model here, by model id; decisions too.
        announced: how many of the activations have been announced as signals.
        blamed: pane start to the number of its events whose blame has been worked out.
        anomalies: pane start, slice and milliseconds after the start to how many anomalies there were.
        top: the strangest flagged events of the open panes.
        counters: totals by name (:data:`COUNTERS`).
        adaptive: levels of the slices that follow their events.
        histograms: PIT values of the day, all slices together.
        closed_early: panes that ``windows.max_open_panes`` closed before their time.
        totals: when the counters were reported.
        telling: the evidence on what becomes of events.
    """

    next_offset: int = 0
    timing: Timing = field(default_factory=Timing)
    panes: dict[int, list[Pane]] = field(default_factory=dict)
    places: Places = field(default_factory=Places)
    activations: list[tuple[int, str]] = field(default_factory=list)
    engines: dict[str, str] = field(default_factory=dict)
    announced: int = 0
    blamed: dict[int, int] = field(default_factory=dict)
    anomalies: dict[int, dict[str, dict[int, int]]] = field(default_factory=dict)
    top: Tops = field(default_factory=Tops)
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))
    adaptive: Adaptive = field(default_factory=Adaptive)
    histograms: DayHistograms = field(default_factory=DayHistograms)
    closed_early: int = 0
    totals: Totals = field(default_factory=Totals)
    telling: Telling = field(default_factory=Telling)

    def next_free_pane(self, pane_ms: int) -> int:
        """Start of the first pane that no row has reached: where a new model may take over."""
        newest = self.timing.newest_ms
        return 0 if newest < 0 else newest // pane_ms * pane_ms + pane_ms

    def models_for(self, pane_start_ms: Ints) -> Coded:
        """The model id of each pane ``(n,)``: that of the last activation at or before it, the first before all of
        them.
        """
        starts = np.array([start for start, _ in self.activations])
        models = Coded.of(model_id for _, model_id in self.activations)
        return models.take(np.maximum(np.searchsorted(starts, pane_start_ms, side="right") - 1, 0))

    def activate(self, pane_start_ms: int, model_id: str) -> None:
        """Put a decision into the list; a later one for the same pane replaces the earlier."""
        self.activations = sorted({**dict(self.activations), pane_start_ms: model_id}.items())

    def ordinals(self, anomalies: Iterable[tuple[int, str, int]]) -> list[int]:
        """Count anomalies, each a pane start, slice and event time; how many each one has had before it in the same
        slice and millisecond.
        """
        ordinals = []
        for pane_start_ms, slice_, time_ms in anomalies:
            counts = self.anomalies.setdefault(pane_start_ms, {}).setdefault(slice_, {})
            n = counts.get(time_ms - pane_start_ms, 0)
            counts[time_ms - pane_start_ms] = n + 1
            ordinals.append(n)
        return ordinals

    def forget_closed(self, pane_ms: int) -> None:
        """Drop what is kept of the events of panes that are closed."""
        closed = self.timing.closed_ms
        self.blamed = {start: n for start, n in self.blamed.items() if start + pane_ms > closed}
        self.anomalies = {start: counts for start, counts in self.anomalies.items() if start + pane_ms > closed}
        self.top.forget_closed(pane_ms, closed)

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot (activations are decisions and are kept with them)."""
        return {
            "next_offset": self.next_offset,
            "timing": self.timing.to_state(),
            "panes": [[start, [pane.to_state() for pane in panes]] for start, panes in sorted(self.panes.items())],
            "places": self.places.to_state(),
            "announced": self.announced,
            "blamed": list(self.blamed.items()),
            "anomalies": self.anomalies,
            "top": self.top.to_state(),
            "counters": self.counters,
            "adaptive": self.adaptive.to_state(),
            "histograms": self.histograms.to_state(),
            "closed_early": self.closed_early,
            "totals": [self.totals.said_ms, self.totals.said],
            "telling": self.telling.to_state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> ScoreState:
        """Inverse of :meth:`to_state`."""
        return cls(
            next_offset=state["next_offset"],
            timing=Timing.from_state(state["timing"]),
            panes={start: [Pane.from_state(pane) for pane in panes] for start, panes in state["panes"]},
            places=Places.from_state(state["places"]),
            announced=state["announced"],
            blamed=dict(state["blamed"]),
            anomalies=state["anomalies"],
            top=Tops.from_state(state["top"]),
            counters=state["counters"],
            adaptive=Adaptive.from_state(state["adaptive"]),
            histograms=DayHistograms.from_state(state["histograms"]),
            closed_early=state["closed_early"],
            totals=Totals(*state["totals"]),
            telling=Telling.from_state(state["telling"]),
        )
