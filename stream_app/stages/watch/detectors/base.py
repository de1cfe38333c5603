"""What a detector is: per-slice state, fed one closed pane at a time, vectorised over slices.

A detector is one file here and one line in ``DETECTORS``; the generic checks then test it at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from flowlib.table import Bools, Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Duration, RuleConfig


@dataclass(frozen=True, slots=True)
class Reference:
    """What a model says is normal.

    Attributes:
        pit: ``(d, bins)`` int64 counts on its calibration rows.
        missing: ``(d,)`` share of missing values per feature.
        log_prob_mean, log_prob_sd: nats, on its calibration rows.
    """

    pit: Ints
    missing: Floats
    log_prob_mean: float
    log_prob_sd: float


@dataclass(frozen=True, slots=True)
class PaneView:
    """A finalised pane of one slicing, as detectors see it.

    Attributes:
        slices: ``(m,)`` indices of the slices in this pane; ascending, distinct.
        rows: ``(m, w)`` the pane's own statistics.
        window: ``(m, w)`` the rule's rolling span, this pane included.
        fresh: ``(m,)`` True where the slice has just changed model: what was learnt of the old one is void.
        references: the reference of each slice's model, m of them.
    """

    start_ms: int
    end_ms: int
    slices: Ints
    rows: Ints
    window: Ints
    fresh: Bools
    references: list[Reference]


class Detector(Protocol):
    """Per-rule instance: holds its own state over slices."""

    options: frozenset[str]
    """Names that ``rules.*.options`` may hold."""

    evidence: str
    """What the statistic is, in words for an alert."""

    def __init__(self, layout: PaneLayout, rule: RuleConfig, pane: Duration) -> None: ...

    def update(self, view: PaneView) -> Floats:
        """Take a pane in and return the statistic ``(m,)``; larger is worse. Never NaN."""

    def to_state(self) -> Any:
        """Plain values and arrays for a snapshot."""

    def restore(self, state: Any) -> None:
        """Take a state of :meth:`to_state` back."""


class SliceArrays:
    """Float arrays over slices that grow on demand: the state of a vectorised detector."""

    def __init__(self, **widths: int) -> None:
        self._widths = widths
        self.arrays: dict[str, Floats] = {name: np.zeros((0, width)) for name, width in widths.items()}

    def grow(self, m: int) -> None:
        """Make room for m slices, zero-filled."""
        for name, array in self.arrays.items():
            if m > len(array):
                self.arrays[name] = np.pad(array, ((0, max(m, 2 * len(array)) - len(array)), (0, 0)))

    def __getitem__(self, name: str) -> Floats:
        return self.arrays[name]

    def to_state(self) -> dict[str, Floats]:
        """The arrays by name."""
        return self.arrays

    def restore(self, state: dict[str, Floats]) -> None:
        """Take arrays back."""
        self.arrays = {name: np.array(state[name]) for name in self._widths}
