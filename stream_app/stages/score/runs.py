"""Rows ahead of the clock, with none between them that is not: is the stream there now, or are they wrong?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from stream_app.stages.score.timing import Ahead

HELD_MAX = 1_024
HELD_BYTES_MAX = 4 * 1024 * 1024
"""Events that a source partition holds at most, half of them where none are in a run: beyond that those furthest ahead
are given up."""
RUN_MIN = 16
RUN_REPEATED = 8
"""Rows of a run that are not the first of their slices."""
RUN_ORDERED = 64
RUN_MAX = HELD_MAX // 2


class Run:
    """Rows ahead, with what can be worked out from them at any time.

    Args:
        rows: changed in place.
    """

    def __init__(self, rows: list[Ahead]) -> None:
        self._rows, self._bytes = rows, sum(one.held for one in rows)
        self._slices = {one.slice for one in rows}
        self._marks = {one.mark for one in rows}

    def clear(self) -> None:
        """It ends."""
        self._rows.clear()
        self._slices.clear()
        self._marks.clear()
        self._bytes = 0

    def join(self, time_ms: int, slice_: str, key: str, body: bytes, held: bool) -> None:
        """A row. One event that is sent again and again speaks once."""
        mark = key or hashlib.blake2b(body, digest_size=8).hexdigest()
        if mark not in self._marks:
            self._rows.append(Ahead(time_ms, slice_, mark, len(body) if held else 0))
            self._marks.add(mark)
            self._slices.add(slice_)
            self._bytes += self._rows[-1].held

    def believed(self, slack_ms: int) -> list[int]:
        """Times of the rows that it is believed for, in order of offset; none where it is not.

        Args:
            slack_ms: rows that are no further apart than this are together.
        """
        run = self._rows
        times = [one.time_ms for one in run]
        if len(run) >= RUN_MAX or self._bytes > HELD_BYTES_MAX // 2:
            return times
        if len(run) < RUN_MIN:
            return []
        is_repeated = len(run) - len(self._slices) >= RUN_REPEATED
        ordered = sorted(times)
        median = ordered[(len(times) - 1) // 2]
        together = [time_ms for time_ms in times if abs(time_ms - median) <= slack_ms]
        if is_repeated and 2 * len(together) > len(times):
            return together
        goes_on = is_repeated or ordered[-1] - ordered[0] > slack_ms
        return times if goes_on and len(run) >= RUN_ORDERED and _in_order(times, slack_ms) else []


def _in_order(times: Iterable[int], slack_ms: int) -> bool:
    """Whether no time lies further back than the slack from the newest before it."""
    newest = 0
    for time_ms in times:
        if time_ms < newest - slack_ms:
            return False
        newest = max(newest, time_ms)
    return True
