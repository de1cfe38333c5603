"""Rows of numbers, little-endian and without gaps: a whole batch becomes columns in a few copies.

A body is ``struct.pack("<q2f1i", time_ms, 9.0, -0.5, 7)``, or a row of a NumPy array of the type ``[("t", "<i8"),
("x", "<f4", 2), ("c", "<i4", 1)]``: the time, then the fields of ``event.layout``. All bodies have one length; others
are rejected.
"""

from __future__ import annotations

import secrets
import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlib.table import Coded, Floats
from stream_app.config import EventConfig
from stream_app.config.formats import with_layout
from stream_app.stages.batches import Bodies
from stream_app.stages.score.columns import Columns
from stream_app.stages.score.event_time import TIME_MAX_MS
from stream_app.stages.score.formats.fields import Fields
from stream_app.stages.score.rejects import Undecodable

try:
    from stream_app.native import _rows
except ImportError:  # no compiler when driftflow was installed
    _rows = None  # type: ignore[assignment]

MISSING = -(2**31)
"""The int32 that says that there is no text."""

_TIME = 8
"""Bytes of the time. Every other field has four."""


class _Layout:
    """Where each field of a stream lies.

    Attributes:
        fields: of the stream.
        packed: the whole body.
        places: of each field, the time's first, its place in the body.
    """

    def __init__(self, event: EventConfig, texts: list[str]) -> None:
        names, numeric = with_layout(event).layout, set(event.numeric)
        self.fields, self._numbers = Fields(event, texts), sum(name in numeric for name in names)
        self.packed = struct.Struct("<q" + "".join("f" if name in numeric else "i" for name in names))
        self.places = [[event.time_field, *names].index(name) for name in self.fields.names]
        self.is_text = [False, *(name not in numeric for name in names)]

    def refuse(self, size: int) -> Undecodable:
        others = len(self.is_text) - 1 - self._numbers
        detail = (
            f"{size} bytes where {self.packed.size} are expected, {_TIME} of the time and 4 for each of "
            f"{self._numbers} numbers and {others} other fields: see event.layout"
        )
        return Undecodable("wrong_length", "", detail)


def float32_decoder(event: EventConfig, texts: list[str]) -> Callable[[bytes], Any]:
    """See :data:`~stream_app.stages.score.decoding.DECODERS`."""
    layout = _Layout(event, texts)
    places = [(place, layout.is_text[place]) for place in layout.places]

    def decode(raw: bytes) -> Any:
        if len(raw) != layout.packed.size:
            raise layout.refuse(len(raw))
        cells = layout.packed.unpack(raw)
        values = (None if text and cells[place] == MISSING else cells[place] for place, text in places)
        return layout.fields.made_of(values)

    return decode


class Float32Columns:
    """See :class:`~stream_app.stages.score.columns.ColumnReader`."""

    def __init__(self, event: EventConfig, texts: list[str]) -> None:
        layout, d = _Layout(event, texts), len(event.numeric)
        self._size = layout.packed.size if layout.packed.size <= event.max_bytes else -2
        words = [place + 1 for place in layout.places]  # of four bytes; the time takes two
        self._numbers, self._numeric = np.array(words[1 : d + 1], dtype=np.int64), _part(words[1 : d + 1])
        self._texts, self._id = words[d + 1 : d + 1 + len(texts)], words[d + 1 + len(texts) :]
        self._seed = secrets.randbits(64)

    def read(self, bodies: Bodies) -> Columns:
        """Read a batch."""
        return self._read(bodies) if _rows is None or sys.byteorder == "big" else self._read_at_once(bodies)

    def _read_at_once(self, bodies: Bodies) -> Columns:
        n, d, texts = len(bodies), len(self._numbers), [*self._texts, *self._id]
        read, time_ms, numeric = np.empty(n, bool), np.empty(n, np.int64), np.empty((n, d))
        codes, first, size = (
            np.empty((len(texts), n), np.int64),
            *map(np.ascontiguousarray, (bodies.first, bodies.size)),
        )
        places = self._numbers, np.array(texts, dtype=np.int64)
        given = bodies.buffer, first, size, self._size, *places, TIME_MAX_MS, self._seed
        different = _rows.read_fixed(*given, read, time_ms, numeric, codes)
        coded = [Coded(*of_one) for of_one in zip(codes, map(_names, map(_whole, different)), strict=True)]
        ids = coded[-1].objects().tolist() if self._id and read.any() else [None] * n if self._id else None
        return Columns(read, time_ms, numeric, coded[: len(self._texts)], ids)

    def _read(self, bodies: Bodies) -> Columns:
        """The same."""
        fits = bodies.size == self._size
        words = self._words(bodies, fits)
        time_ms = np.ascontiguousarray(words[:, :2]).view("<i8")[:, 0].astype(np.int64)
        with np.errstate(invalid="ignore"):  # a signalling NaN is one all the same
            numeric: Floats = words.view("<f4")[:, self._numeric].astype(np.float64)
        infinite = np.isinf(numeric)
        read = fits & (time_ms >= 0) & (time_ms < TIME_MAX_MS)
        if infinite.any():  # the row decoder says whether event.policy takes them
            read &= ~infinite.any(axis=1)
        texts = tuple(_coded(words[:, place]) for place in self._texts)
        ids = [_coded(words[:, place]).objects().tolist() for place in self._id]
        return Columns(read, time_ms, numeric, texts, ids[0] if ids else None)

    def _words(self, bodies: Bodies, fits: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
        """``(n, size / 4)`` the bodies as words of four bytes; of one that does not fit it is anything."""
        size = self._size
        if not fits.any():
            return np.zeros((len(fits), max(size, _TIME) // 4), dtype="<i4")
        # Every place of the buffer where a body could begin, without a copy: the places taken are copied whole.
        every = np.ndarray((len(bodies.buffer) - size + 1,), dtype=f"V{size}", buffer=bodies.buffer, strides=(1,))
        return every[np.where(fits, bodies.first, 0)].view("<i4").reshape(len(fits), size // 4)


def _part(places: list[int]) -> slice | list[int]:
    """Places that follow each other as a slice, which takes no copy."""
    first, last = places[0], places[-1]
    return slice(first, last + 1) if places == list(range(first, last + 1)) else places


def _coded(numbers: npt.NDArray[np.int32]) -> Coded:
    """Numbers as the texts of their digits."""
    different, codes = np.unique(numbers, return_inverse=True)
    return Coded(codes.astype(np.int64), _names(different.tolist()))


def _names(numbers: list[int]) -> list[str | None]:
    return [None if number == MISSING else str(number) for number in numbers]


def _whole(data: bytes) -> list[int]:
    numbers: list[int] = np.frombuffer(data, dtype="<i4").tolist()
    return numbers
