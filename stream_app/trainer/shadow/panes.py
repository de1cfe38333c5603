"""Events of several partitions, as they come, put together into panes that are over one after the other.

A pane is over once every partition that has more to read is past it, and a little later. What comes for a pane that is
over counts in the oldest that is not: nothing is lost, and nothing counts twice.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import numpy as np

from flowlib.density import Scores
from flowlib.evaluation import ALARM_ALPHA
from flowlib.table import Ints
from stream_app.trainer.shadow.deciding import CLIP_NATS, PaneSums

CLOCK = 16
"""The clock of a partition is the lower median of so many events: a few wrong dates move nothing."""
LAG = 2
"""Panes that stay open behind the latest clock."""
OPEN_MAX = 256
"""Open panes at most; beyond, the oldest is over."""

_STEPS = 2.0**20
"""Gains are whole numbers of such parts of a nat: their sums are exact, however reading was cut into pieces."""


class OpenPanes(msgspec.Struct):
    """Panes that are not over.

    Attributes:
        pane_ms: length of a pane.
        open: number of a pane to its sums.
        clocks: partition to the times of the last events, at most :data:`CLOCK`.
        over: panes with a smaller number are over.
    """

    pane_ms: int
    open: dict[int, PaneSums] = msgspec.field(default_factory=dict)
    clocks: dict[int, list[int]] = msgspec.field(default_factory=dict)
    over: int = -(2**62)

    @property
    def now_ms(self) -> int | None:
        """The latest clock; None before the first event."""
        return max(map(_median, self.clocks.values()), default=None)

    def add(self, partition: int, times: Ints, new: Scores, old: Scores) -> None:
        """Take in events of a partition, in order of their offsets.

        Args:
            partition: of the events topic.
            times: ``(n,)`` event times.
            new, old: scores of the candidate and of the champion.
        """
        numbers = np.maximum(times // self.pane_ms, self.over)
        gain = np.where(new.scorable, np.clip(new.log_prob - old.log_prob, -CLIP_NATS, CLIP_NATS), -CLIP_NATS)
        gain = np.rint(gain * _STEPS) / _STEPS
        alarms = new.scorable & (new.p_value <= ALARM_ALPHA)
        old_alarms = old.scorable & (old.p_value <= ALARM_ALPHA)
        for number in np.unique(numbers).tolist():
            at = numbers == number
            both = at & old.scorable
            sums = PaneSums(
                int(at.sum()),
                int(both.sum()),
                float(gain[both].sum()),
                int((at & new.scorable).sum()),
                int((at & alarms).sum()),
                int((at & old_alarms).sum()),
            )
            self.open.setdefault(number, PaneSums()).add(sums)
        self.clocks[partition] = [*self.clocks.get(partition, []), *times.tolist()][-CLOCK:]

    def take(self, behind: Collection[int]) -> list[PaneSums]:
        """The panes that have come to their end, oldest first.

        Args:
            behind: partitions that have more to read: their panes wait for them.
        """
        now_ms = self.now_ms
        if now_ms is None:
            return []
        clocks = [_median(self.clocks[partition]) for partition in behind if partition in self.clocks]
        reached = min([now_ms // self.pane_ms - LAG, *(clock // self.pane_ms for clock in clocks)])
        if any(partition not in self.clocks for partition in behind):  # nobody knows where it is
            reached = self.over
        self.over = max(self.over, reached)
        done = [number for number in sorted(self.open) if number < self.over]
        done += sorted(self.open.keys() - set(done))[: max(len(self.open) - len(done) - OPEN_MAX, 0)]
        return [msgspec.structs.replace(self.open.pop(number), number=number) for number in done]


def _median(times: list[int]) -> int:
    return sorted(times)[(len(times) - 1) // 2]
