"""State to bytes and back: plain values in MessagePack, behind it the arrays; compressed (zstd), with a checksum.
Nothing is unpickled.

Arrays are handed to the compressor piece by piece: a state of many slices takes hundreds of megabytes, of which no
second copy is made. Tables of whole numbers go in column by column, those of eight bytes in as few as a column needs:
that is a third of the work of compressing them as they are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import cramjam
import msgspec
import numpy as np
import numpy.typing as npt

from flowlib.table import Ints
from stream_app.errors import SnapshotError

_ARRAY = 1
_LEVEL = 1
_FORMAT = b"DFSA"
_PIECE = 1 << 20
"""Bytes of an array that are handed over at a time."""
_COLUMNS, _ROWS = 16, 512
"""Columns from which on a table goes in column by column, and rows of it that do so at a time."""
_WIDTHS = (1, 2, 4, 8)

REMEDY = (
    "restore it from a backup, or remove it to go on from the committed offsets with this partition's windows empty"
)
"""What to do about a snapshot that cannot be used."""

Array = npt.NDArray[Any]


class _Head(msgspec.Struct, array_like=True):
    """What is said of an array where it stands: ``widths`` of each column in bytes, none for one that lies as it is."""

    dtype: str
    shape: list[int]
    widths: bytes


@dataclass(slots=True)
class _Arrays:
    """The arrays of a state, in the order in which they stand there."""

    found: list[tuple[Array, bytes]] = field(default_factory=list)

    def note(self, value: Any) -> Any:
        """See msgspec's ``enc_hook``."""
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            widths = _widths(value)
            self.found.append((value, widths))
            head = _Head(value.dtype.str, list(value.shape), widths)
            return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode(head))
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"a snapshot cannot hold {type(value).__name__}")

    def pieces(self) -> Iterator[bytes]:
        """Their bytes."""
        for array, widths in self.found:
            yield from _by_column(array, widths) if widths else _as_it_lies(array)


def _widths(array: Array) -> bytes:
    if array.ndim != 2 or array.dtype.kind not in "iu" or array.shape[1] < _COLUMNS or not len(array):
        return b""
    if array.dtype != np.int64:
        return bytes([array.dtype.itemsize] * array.shape[1])
    low, high = array.min(axis=0), array.max(axis=0)
    fits = [(low >= -(1 << 8 * width - 1)) & (high < 1 << 8 * width - 1) for width in _WIDTHS[:-1]]
    return bytes(np.select(fits, _WIDTHS[:-1], _WIDTHS[-1]).tolist())


def _as_it_lies(array: Array) -> Iterator[bytes]:
    if array.nbytes <= _PIECE:
        yield array.tobytes()
        return
    rows = max(_PIECE * len(array) // array.nbytes, 1)
    for first in range(0, len(array), rows):
        yield array[first : first + rows].tobytes()


def _by_column(array: Array, widths: bytes) -> Iterator[bytes]:
    for first in range(0, len(array), _ROWS):
        part = array[first : first + _ROWS]
        for kind, columns in _groups(array.dtype, widths):
            yield part[:, columns].T.astype(kind, order="C").tobytes()


def _groups(dtype: np.dtype[Any], widths: bytes) -> list[tuple[np.dtype[Any], Ints]]:
    """The columns of each width, and what they are kept as."""
    of = np.frombuffer(widths, dtype=np.uint8)
    return [(np.dtype(f"<{dtype.kind}{w}"), np.flatnonzero(of == w)) for w in _WIDTHS if (of == w).any()]


def pack(state: Any) -> bytes:
    """Encode a state tree; the same state gives the same bytes."""
    arrays, out = _Arrays(), cramjam.zstd.Compressor(_LEVEL)
    tree = msgspec.msgpack.Encoder(enc_hook=arrays.note).encode(state)
    out.compress(len(tree).to_bytes(8, "little") + tree)
    for piece in arrays.pieces():
        out.compress(piece)
    body = bytes(out.finish())
    return _FORMAT + hashlib.sha256(body).digest() + body


@dataclass(slots=True)
class _Body:
    """Bytes that are read from the front."""

    data: bytes
    at: int = 0

    def take(self, n: int) -> memoryview:
        """The next bytes."""
        if not 0 <= n <= len(self.data) - self.at:
            raise SnapshotError("a snapshot holds less than it says")
        self.at += n
        return memoryview(self.data)[self.at - n : self.at]

    def array(self, code: int, head: memoryview) -> Array:
        """See msgspec's ``ext_hook``."""
        if code != _ARRAY:
            raise SnapshotError(f"unknown extension {code} in a snapshot")
        told = msgspec.msgpack.decode(head, type=_Head)
        dtype = np.dtype(told.dtype)
        if dtype.hasobject:
            raise SnapshotError("object arrays are not allowed in a snapshot")
        if any(size < 0 for size in told.shape):
            raise SnapshotError("an array of a snapshot has a negative size")
        if told.widths:
            return self._by_column(dtype, told)
        count = math.prod(told.shape)
        return np.frombuffer(self.take(count * dtype.itemsize), dtype=dtype).reshape(told.shape).copy()

    def _by_column(self, dtype: np.dtype[Any], told: _Head) -> Array:
        n, c = told.shape
        if len(told.widths) != c or not {*told.widths} <= {*_WIDTHS} or dtype.kind not in "iu":
            raise SnapshotError("the columns of an array of a snapshot make no sense")
        body = _Body(bytes(self.take(n * sum(told.widths))))
        array = np.empty((n, c), dtype=dtype)
        for first in range(0, n, _ROWS):
            part = array[first : first + _ROWS]
            for kind, columns in _groups(dtype, told.widths):
                values = np.frombuffer(body.take(len(part) * len(columns) * kind.itemsize), dtype=kind)
                part[:, columns] = values.reshape(len(columns), len(part)).T
        return array


def unpack(blob: bytes) -> Any:
    """Decode; raises SnapshotError when the bytes are none, truncated, altered or of another format."""
    head = len(_FORMAT)
    if blob[:3] == _FORMAT[:3] and blob[3:head].isdigit() and blob[:head] != _FORMAT:
        raise SnapshotError(f"it is of another version of driftflow ({blob[:head].decode()}); {REMEDY}")
    if blob[:head] != _FORMAT or hashlib.sha256(blob[head + 32 :]).digest() != blob[head : head + 32]:
        raise SnapshotError(f"it is {'truncated or altered' if blob else 'empty'}; {REMEDY}")
    try:
        body = _Body(bytes(cramjam.zstd.decompress(memoryview(blob)[head + 32 :])))
        tree = body.take(int.from_bytes(body.take(8), "little"))
        state = msgspec.msgpack.Decoder(ext_hook=body.array).decode(tree)
        if body.at != len(body.data):
            raise SnapshotError("a snapshot holds more than it says")
        return state
    except (ValueError, TypeError, cramjam.DecompressionError) as error:
        raise SnapshotError(f"it makes no sense ({error}); {REMEDY}") from None
