"""PIT histograms of a source partition, a day at a time: what people look at to see how a column has moved.

They are of all slices together: kept for every slice they would be most of the state. A day's histogram stands at the
day's end, however early its last pane was: whoever asks for a day's length of them finds one day, gap or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flowlib.table import DAY_MS, Ints
from stream_app.config import Config
from stream_app.stages.outputs import Point
from stream_app.stages.points import pit_points
from stream_app.stages.score.panes import Closing


@dataclass(slots=True)
class DayHistograms:
    """The day that is being filled.

    Attributes:
        day: its number since the epoch; −1 before the first.
        end_ms: end of its last pane.
        model_id: the model that scored it: another one begins anew.
        counts: ``(d, 20)`` int64.
    """

    day: int = -1
    end_ms: int = 0
    model_id: str = ""
    counts: Ints | None = None

    def take(self, config: Config, partition: int, closings: list[Closing]) -> list[Point]:
        """Take the histograms of closed panes in; points of the days that are over with that."""
        points: list[Point] = []
        for closing in closings:
            for start, panes in closing.panes:
                day, model_id = start // DAY_MS, panes[0].model_id
                if (day, model_id) != (self.day, self.model_id):
                    # What another model goes on with has its own end: two points of one time would be one.
                    at_ms = self.end_ms if day == self.day else (self.day + 1) * DAY_MS
                    points += self._points(config, partition, at_ms)
                    self.day, self.model_id, self.counts = day, model_id, np.zeros_like(panes[0].pit)
                assert self.counts is not None
                self.counts += panes[0].pit
                self.end_ms = start + int(config.windows.pane)
        return points

    def _points(self, config: Config, partition: int, at_ms: int) -> list[Point]:
        if self.counts is None or not self.counts.any():
            return []
        return pit_points(config, partition, at_ms, self.model_id, self.counts)

    def to_state(self) -> list[Any]:
        """Plain values and arrays for a snapshot."""
        return [self.day, self.end_ms, self.model_id, self.counts]

    @classmethod
    def from_state(cls, state: list[Any]) -> DayHistograms:
        """Inverse of :meth:`to_state`."""
        day, end_ms, model_id, counts = state
        return cls(day, end_ms, model_id, None if counts is None else np.array(counts))
