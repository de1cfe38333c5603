"""When the next base of a partition is due: the bytes that are written stay in proportion to what was taken in."""

from __future__ import annotations

from dataclasses import dataclass

EVENT_BYTES = 16
"""Bytes of bases that SCORE writes an event, once the first one is written, so that with heads it is less than 20."""

SHARE = 8
"""WATCH and JUDGE write a byte for so many that they take in: to read these again costs less than to write as many."""

EVERY_S = 2.0
"""Bases of a partition are at least so far apart: a head costs less, and to read two seconds again costs little."""

LATEST_S = 900.0
"""And no further, where anything was taken in: the broker keeps the input for a time only."""

SMALL_BYTES = 4_000_000
"""A base that is not larger is written where a partition is given away, due or not: the next owner reads nothing
again."""


@dataclass(slots=True)
class Budget:
    """What may be written of a partition.

    Attributes:
        owed: bytes of bases that were written and not earned yet.
        size: bytes of the last base; None before the first.
        since_s: when it was written, a monotonic time.
        forced: the next base is due whatever it costs.
    """

    owed: int = 0
    size: int | None = None
    since_s: float = 0.0
    forced: bool = False

    def earn(self, n_bytes: int) -> None:
        """Something was taken in that pays for so many bytes."""
        self.owed = max(self.owed - n_bytes, 0)

    def spend(self, size: int, now_s: float) -> None:
        """A base was written."""
        self.owed, self.size, self.since_s, self.forced = self.owed + size, size, now_s, False

    def is_due(self, now_s: float, last: bool = False) -> bool:
        """Whether a base is to be written now that something has changed since the last one.

        Args:
            now_s: a monotonic time.
            last: the partition is given away after this.
        """
        if self.size is None or self.forced or (last and self.size <= SMALL_BYTES):
            return True
        age_s = now_s - self.since_s
        return age_s >= LATEST_S or (self.owed == 0 and age_s >= EVERY_S)
