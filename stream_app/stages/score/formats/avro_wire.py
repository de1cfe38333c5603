"""Values of Avro as they lie in bytes. No length or count of them is believed.

Readers are functions ``(bytes, place) → (value, place behind it)``; they raise :class:`Malformed`, or IndexError where
a body ends too early.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from stream_app.errors import DriftflowError
from stream_app.stages.score.event_time import Millis
from stream_app.stages.score.formats.avro_schema import Type

_DECIMAL_MAX = 256
"""Bytes of a decimal: numbers of twice as many digits as a float64 has places for."""

Read = Callable[[bytes, int], tuple[Any, int]]
Skip = Callable[[bytes, int], int]

_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")
_EPOCH, _EPOCH_DAY = datetime(1970, 1, 1), date(1970, 1, 1).toordinal()
PER_MILLI = {"millis": 1, "micros": 1_000, "nanos": 1_000_000}
"""Unit of a timestamp to how many of it a millisecond has."""


class Malformed(DriftflowError):
    """Bytes that are not of the schema."""


def scalar(kind: Type) -> Read:
    """A reader of a type without parts."""
    raw = _PLAIN.get(kind.kind) or (_fixed(kind.size) if kind.kind == "fixed" else _enum(kind.symbols))
    convert = _conversion(kind)
    if convert is None:
        return raw

    def read(data: bytes, at: int) -> tuple[Any, int]:
        value, at = raw(data, at)
        try:
            return convert(value), at
        except (OverflowError, ValueError):
            raise Malformed(f"a {kind.logical} of it is out of range") from None

    return read


def _conversion(kind: Type) -> Callable[[Any], Any] | None:
    logical, _, unit = kind.logical.rpartition("-")
    if logical == "timestamp":
        return lambda value: Millis(value // PER_MILLI[unit])
    if logical == "local-timestamp":
        return lambda value: (_EPOCH + timedelta(milliseconds=value // PER_MILLI[unit])).isoformat()
    if kind.logical == "date":
        return lambda value: date.fromordinal(_EPOCH_DAY + value).isoformat()
    if kind.logical == "decimal":
        return lambda value: _decimal(value, kind.scale)
    return (lambda value: str(UUID(bytes=value))) if (kind.logical, kind.kind) == ("uuid", "fixed") else None


def _decimal(raw: bytes, scale: int) -> float | int:
    """The nearest float64, by a division of whole numbers, which rounds once."""
    if len(raw) > _DECIMAL_MAX:
        raise ValueError(len(raw))
    unscaled = int.from_bytes(raw, "big", signed=True)
    return unscaled if scale == 0 else unscaled / 10**scale


def long(data: bytes, at: int) -> tuple[int, int]:
    """A whole number, in ten bytes at most."""
    byte = data[at]
    at += 1
    value, shift = byte & 0x7F, 7
    while byte > 0x7F:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > 70 or value >> 64:
            raise Malformed("a whole number of it is beyond 64 bits")
    return (value >> 1) ^ -(value & 1), at


def _length(data: bytes, at: int) -> tuple[int, int]:
    size, at = long(data, at)
    if not 0 <= size <= len(data) - at:
        raise Malformed(f"a text or bytes of {size} bytes where {len(data) - at} are left")
    return at + size, at


def _bytes(data: bytes, at: int) -> tuple[Any, int]:
    end, at = _length(data, at)
    return data[at:end], end


def string(data: bytes, at: int) -> tuple[Any, int]:
    end, at = _length(data, at)
    return data[at:end].decode("utf-8", "surrogateescape"), end


def _boolean(data: bytes, at: int) -> tuple[Any, int]:
    return checked(data[at], 2, "boolean") == 1, at + 1


def _float(data: bytes, at: int) -> tuple[Any, int]:
    return _FLOAT.unpack_from(data, at)[0], at + 4


def _double(data: bytes, at: int) -> tuple[Any, int]:
    return _DOUBLE.unpack_from(data, at)[0], at + 8


def _fixed(size: int) -> Read:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        if size > len(data) - at:
            raise IndexError
        return data[at : at + size], at + size

    return read


def _enum(symbols: list[str]) -> Read:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        number, at = long(data, at)
        return symbols[checked(number, len(symbols), "symbol of an enum")], at

    return read


_PLAIN: dict[str, Read] = {
    "null": lambda _, at: (None, at),
    "boolean": _boolean,
    "int": long,
    "long": long,
    "float": _float,
    "double": _double,
    "bytes": _bytes,
    "string": string,
}


def checked(number: int, most: int, what: str) -> int:
    if not 0 <= number < most:
        raise Malformed(f"{what} {number} of {most}")
    return number


def block(data: bytes, at: int, least: float) -> tuple[int, int, int]:
    """How many elements follow, where the first is, and the bytes that they take where that is said, else −1."""
    count, at = long(data, at)
    size = -1
    if count < 0:
        size, at = long(data, at)
        count = -count
        if not 0 <= size <= len(data) - at:
            raise Malformed(f"a block of {size} bytes where {len(data) - at} are left")
    if count * least > len(data) - at:
        raise Malformed(f"a block of {count} elements where {len(data) - at} bytes are left")
    return count, at, size


class Skips:
    """What steps over values of types, made once for each type."""

    def __init__(self) -> None:
        self._known: dict[Type, Skip] = {}

    def of(self, kind: Type) -> Skip:
        """A function ``(bytes, place) → place behind the value``; one that holds itself is met again on the way."""
        if kind not in self._known:
            cell: list[Skip] = []
            self._known[kind] = lambda data, at: cell[0](data, at)
            cell.append(self._make(kind))
            self._known[kind] = cell[0]
        return self._known[kind]

    def _make(self, kind: Type) -> Skip:
        if kind.kind in ("float", "double", "boolean", "fixed", "null"):
            width = int(kind.least)
            return lambda data, at: at + width
        if kind.kind in ("bytes", "string"):
            return lambda data, at: _length(data, at)[0]
        if kind.kind == "union":
            return self._union([self.of(branch) for branch in kind.inner])
        if kind.kind == "record":
            return self._record([self.of(one.type) for one in kind.fields if one.type.least])
        if kind.kind in ("array", "map"):
            return self._blocks(kind)
        return lambda data, at: long(data, at)[1]

    def _union(self, branches: list[Skip]) -> Skip:
        def skip(data: bytes, at: int) -> int:
            number, at = long(data, at)
            return branches[checked(number, len(branches), "branch of a union")](data, at)

        return skip

    def _record(self, fields: list[Skip]) -> Skip:
        def skip(data: bytes, at: int) -> int:
            for one in fields:
                at = one(data, at)
            return at

        return skip

    def _blocks(self, kind: Type) -> Skip:
        inner, of_key = kind.inner[0], int(kind.kind == "map")
        item, least = self.of(inner), inner.least + of_key

        def skip(data: bytes, at: int) -> int:
            count, at, size = block(data, at, least)
            while count:
                if size >= 0:
                    at += size
                elif least:
                    for _ in range(count):
                        at = item(data, _length(data, at)[0] if of_key else at)
                count, at, size = block(data, at, least)
            return at

        return skip
