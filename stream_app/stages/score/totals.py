"""Running totals of a source partition, and when they are reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flowlib.table import Bools, Ints
from stream_app.stages.score.panes import Closing
from stream_app.stages.score.screening import Screening
from stream_app.stages.score.timing import NOTHING

UNSAID_MAX = 1_000
"""Rows in no window after which totals are reported, if no pane closes: none may ever close."""

Report = tuple[int, dict[str, int], Closing | None]
"""Event time, totals, and what closes after them."""


@dataclass(slots=True)
class Totals:
    """Brings the totals of a source partition up to date.

    Attributes:
        said_ms: time of the last report; −1 before. Those of a partition are at times of their own.
        said: rows in no window by then.
    """

    said_ms: int = NOTHING
    said: int = 0

    def take(
        self,
        counters: dict[str, int],
        n: int,
        rows: Ints,
        scorable: Bools,
        timing: Screening,
        refused: Ints,
        closings: Sequence[Closing],
    ) -> list[Report]:
        """Take a batch in.

        Args:
            counters: totals by name, brought up to date.
            n: its records.
            rows: ``(m,)`` the record at which each of its events was judged, ascending.
            scorable, timing: ``(m,)`` what became of them.
            refused: records at which rejects were made, ascending.
            closings: in order.

        Returns:
            The totals as they stood before each row that closed panes, and where they had to be said without.
        """
        received, before = counters["received"], np.zeros(n + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows[scorable], minlength=n), out=before[1:])
        unsaid = received - counters["windowed"] + np.arange(n + 1) - before
        marks = list(self._marks(unsaid, [(int(rows[closing.row]), closing) for closing in closings]))
        ends = np.array([*(end for end, _ in marks), n], dtype=np.int64)
        had = {
            "received": ends,
            "windowed": np.searchsorted(rows[scorable], ends),
            "late": np.searchsorted(rows[timing.late], ends),
            "rejected": np.searchsorted(refused, ends),
            "duplicate": np.searchsorted(rows[timing.duplicate], ends),
        }
        totals = [{name: counters[name] + int(m[i]) for name, m in had.items()} for i in range(len(ends))]
        for total in totals:
            total["held"] = 2 * total["received"] - sum(total.values())
        counters.update(totals[-1])
        clocks = np.concatenate(([NOTHING], timing.clock_ms))[np.searchsorted(rows, ends)].tolist()
        return [self._report(*one) for one in zip(marks, totals, clocks, strict=False)]

    def _marks(self, unsaid: Ints, closings: list[tuple[int, Closing]]) -> Iterator[tuple[int, Closing | None]]:
        """How many records come before each report, and what closes then. ``unsaid`` is that of each such number."""
        at = 0
        for end, closing in [*closings, (len(unsaid) - 1, None)]:
            while (beyond := unsaid[at : end + 1] >= self.said + UNSAID_MAX).any():
                at += int(beyond.argmax())
                self.said = int(unsaid[at])
                yield at, None
            if closing is not None:
                at, self.said = end, int(unsaid[end])
                yield end, closing

    def _report(self, mark: tuple[int, Closing | None], totals: dict[str, int], clock_ms: int) -> Report:
        closing = mark[1]
        due_ms = closing.closed_ms if closing else max(clock_ms, 0) if self.said_ms < 0 else 0
        self.said_ms = max(self.said_ms + 1, due_ms)
        return self.said_ms, totals, closing
