"""How many events of each slice were strange, counted off the windows of a run as they come."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from flowlib.table import DAY_MS, Floats, Ints
from schemas.pane_layout import ALPHAS
from stream_app.stages.outputs import Points
from stream_app.stages.point_blocks import WindowBlock
from stream_app.stages.summary import COLUMNS, WIDTH

ALARM = COLUMNS["p_le"].start + ALPHAS.index(0.01)
_SCORED = COLUMNS["scored"].start
_PANE = "pane"


@dataclass
class Rates:
    """Counts of a run.

    Attributes:
        since_ms: end of the model's training, 0 where nobody knows: events before it are not counted by slice.
        slices: of each slicing and slice ``(16,)``, columns as :mod:`stream_app.stages.summary` says.
        days: of each day, in the first slicing, events that were scored and those with p ≤ 0.01.
    """

    since_ms: int
    slices: dict[tuple[str, str], Ints] = field(default_factory=dict)
    days: dict[int, Ints] = field(default_factory=dict)
    _first: str = ""

    def take(self, points: Points) -> None:
        """Points of a run, in any order."""
        for part in points.parts:
            if isinstance(part, WindowBlock) and _PANE in part.spans:
                self._count(part)

    def _count(self, block: WindowBlock) -> None:
        windows = block.windows()
        rows, end_ms = windows.rows[windows.spans.index(_PANE)], block.first_end_ms
        self._first = self._first or windows.slicing
        if windows.slicing == self._first:
            day = self.days.setdefault((end_ms - 1) // DAY_MS, np.zeros(2, dtype=np.int64))
            day += rows[:, [_SCORED, ALARM]].sum(axis=0)
        if end_ms > self.since_ms:
            for name, row in zip(windows.names, rows, strict=True):
                self.slices.setdefault((windows.slicing, name), np.zeros(WIDTH, dtype=np.int64))[:] += row

    @property
    def total(self) -> Ints:
        """``(16,)`` of all slices of the first slicing."""
        own = [row for (slicing, _), row in self.slices.items() if slicing == self._first]
        return np.sum(own, axis=0) if own else np.zeros(WIDTH, dtype=np.int64)


def scored_alarms(row: Ints) -> tuple[int, int]:
    """Events that were scored, and those with p ≤ 0.01."""
    return int(row[_SCORED]), int(row[ALARM])


def shares(row: Ints) -> Floats:
    """Share of the scored events at or below each of :data:`~schemas.pane_layout.ALPHAS`."""
    return np.asarray(row[COLUMNS["p_le"]] / max(int(row[_SCORED]), 1))
