"""Many Avro bodies read side by side: a value of each at a time, at a place of each.

A length that a body cannot hold, and whatever else is not plain, makes its row one that is not read; the places of such
rows mean nothing from then on. Places only grow, so that a body that was read beyond its end is known by that.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowlib.table import Bools, Coded, Floats, Ints
from stream_app.stages.batches import Bodies

Words = npt.NDArray[np.uint64]
Rows = slice | Ints
"""All rows, or some."""

TEXT_MAX = 256
"""Bytes of a longer text are the row decoder's."""

_WORD = 8
_STOPS, _SEVENS, _ONES = np.uint64(0x8080808080808080), np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(0x0101010101010101)
_FOLDS = (
    (np.uint64(0x007F007F007F007F), np.uint64(0x7F007F007F007F00), np.uint64(1)),
    (np.uint64(0x00003FFF00003FFF), np.uint64(0x3FFF00003FFF0000), np.uint64(2)),
    (np.uint64(0x000000000FFFFFFF), np.uint64(0x0FFFFFFF00000000), np.uint64(4)),
)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)


class Run:
    """One reading of n bodies.

    Args:
        bodies: which.
        header: bytes that are left out at the beginning of each.
        numbers, texts: how many of these fields there are.

    Attributes:
        ok: ``(n,)`` bool, rows that were read so far.
        time_ms: ``(n,)`` int64.
        numeric: ``(n, numbers)`` float64, NaN as long as nothing is there.
    """

    def __init__(self, bodies: Bodies, header: int, numbers: int, texts: int) -> None:
        n = len(bodies)
        self.ok: Bools = bodies.size >= header
        ends = bodies.first + bodies.size
        low, high = (int(bodies.first[self.ok].min()), int(ends[self.ok].max())) if self.ok.any() else (0, 0)
        self._last = high - low  # others may lie in the same buffer: only what is between is copied, and padded
        self._data = np.zeros(self._last + 2 * _WORD, np.uint8)
        self._data[: self._last] = np.frombuffer(bodies.buffer, np.uint8, self._last, low)
        self._words: Words = np.ndarray((self._last + _WORD,), dtype="<u8", buffer=self._data, strides=(1,))
        self.start: Ints = np.where(self.ok, bodies.first + header - low, 0)
        self._end: Ints = np.where(self.ok, ends - low, 0)
        self.time_ms, self._timed = np.zeros(n, np.int64), np.zeros(n, bool)
        self.numeric: Floats = np.full((n, numbers), np.nan)
        self._texts: list[list[tuple[Rows, Coded]]] = [[] for _ in range(texts)]

    def finish(self, place: Ints) -> None:
        """Every row that was read has a time, and was read to its end."""
        self.ok &= self._timed & (place == self._end)

    def fail(self, rows: Rows, bad: Bools) -> None:
        """Some of these rows are not read."""
        if bad.any():
            self.ok[rows] &= ~bad

    def word(self, place: Ints) -> Words:
        """The eight bytes from each place on, the first one lowest."""
        return self._words[np.minimum(place, self._last)]

    def varint(self, rows: Rows, place: Ints) -> tuple[Ints, Ints]:
        """A whole number at each place, and the place behind it."""
        word = self.word(place)
        if not (word & np.uint64(0x80)).any():
            short = (word & np.uint64(0x7F)).view(np.int64)
            return (short >> 1) ^ -(short & 1), place + 1
        stop = ~word & _STOPS
        below = (stop & (~stop + _ONE)) - _ONE  # all bits below the one that ends the number
        size = ((below & _ONES) * _ONES) >> np.uint64(56)
        value = word & below & _SEVENS
        for low, high, shift in _FOLDS:
            value = (value & low) | ((value & high) >> shift)
        if not stop.all():
            self._add_high(rows, place, stop == 0, value, size)
        # Halved without the sign: ten bytes hold 64 bits.
        whole, odd = (value >> _ONE).view(np.int64), (value & _ONE).view(np.int64)
        return whole ^ -odd, place + size.view(np.int64)

    def _add_high(self, rows: Rows, place: Ints, longer: Bools, value: Words, size: Words) -> None:
        """The ninth and tenth byte of numbers that have more than eight."""
        high = self.word(place + _WORD)
        ninth, tenth = high & np.uint64(0xFF), (high >> np.uint64(8)) & np.uint64(0xFF)
        ends = ninth < 128
        self.fail(rows, longer & ~ends & (tenth > 1))
        value |= np.where(longer, (ninth & np.uint64(0x7F)) << np.uint64(56), np.uint64(0))
        value |= np.where(longer & ~ends, tenth << np.uint64(63), np.uint64(0))
        size += np.where(longer, np.where(ends, _ONE, np.uint64(2)), np.uint64(0))

    def length(self, rows: Rows, place: Ints) -> tuple[Ints, Ints]:
        """The length of a text or of bytes at each place, 0 where it cannot be, and where they begin."""
        size, place = self.varint(rows, place)
        bad = (size < 0) | (size > self._end[rows] - place)
        if bad.any():
            self.fail(rows, bad)
            size = np.where(bad, 0, size)
        return size, place

    def take_time(self, rows: Rows, time_ms: Ints) -> None:
        """Event times."""
        self.time_ms[rows], self._timed[rows] = time_ms, True

    def take_number(self, column: int, rows: Rows, value: npt.ArrayLike) -> None:
        """Numbers of a column; a row whose number is infinite is not read."""
        self.fail(rows, np.isinf(value) if np.ndim(value) else np.zeros(1, bool))
        self.numeric[rows, column] = value

    def alike(self, rows: Rows, text: str) -> Coded:
        """One text for all of some rows."""
        return Coded.alike(len(self.ok[rows]), text)

    def take_text(self, field: int, rows: Rows, column: Coded) -> None:
        """Texts of a field."""
        self._texts[field].append((rows, column))

    def texts(self) -> list[Coded]:
        """The columns of all text fields."""
        return [self._column(pieces) for pieces in self._texts]

    def _column(self, pieces: list[tuple[Rows, Coded]]) -> Coded:
        if len(pieces) == 1 and isinstance(pieces[0][0], slice):
            return pieces[0][1]
        codes, names = np.zeros(len(self.ok), np.int64), [None]
        for rows, column in pieces:
            codes[rows] = column.codes + len(names)
            names += column.names
        return Coded(codes, names)

    def coded(self, rows: Rows, first: Ints, size: Ints) -> Coded:
        """Texts of UTF-8; a row whose text is none, or a long one, is not read."""
        self.fail(rows, size > TEXT_MAX)
        most = int(min(size.max(initial=0), TEXT_MAX))
        words = [self._masked(first + at, size - at) for at in range(0, most, _WORD)]
        mixed = size.view(np.uint64) * _MIX
        for word in words:
            mixed = (mixed ^ word) * _MIX
            mixed ^= mixed >> np.uint64(29)
        _, found, codes = np.unique(mixed, return_index=True, return_inverse=True)
        for part in (size, *words):  # texts that are different and mixed alike are told apart elsewhere
            self.fail(rows, part != part[found][codes])
        return Coded(codes, self._decoded(rows, first[found], size[found], codes))

    def _masked(self, place: Ints, left: Ints) -> Words:
        """Eight bytes from each place on, of which so many count."""
        bits = (np.clip(left, 0, _WORD) * 8).view(np.uint64)
        mask = np.where(bits == 64, ~np.uint64(0), (_ONE << (bits & np.uint64(63))) - _ONE)
        return self.word(np.maximum(place, 0)) & mask

    def _decoded(self, rows: Rows, first: Ints, size: Ints, codes: Ints) -> list[str]:
        names, whole = [], self._data
        for code, (at, length) in enumerate(zip(first.tolist(), size.tolist(), strict=True)):
            try:
                names.append(whole[at : at + min(length, TEXT_MAX)].tobytes().decode())
            except UnicodeDecodeError:
                names.append("")
                self.fail(rows, codes == code)
        return names
