"""Kafka's record batches, format v2, read in Python: the same as ``stream_app.native._records``, where that was not
built. Both are held to each other by ``tests/kafka/test_record_batches.py``.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator

from aiokafka.record.util import calc_crc32c

from flowlib.table import Ints

_LOG = struct.Struct(">qi")
_REST = struct.Struct(">ibIhiqqqhii")
_ATTRIBUTES_AT, _MAGIC_AT, _HEADER = 21, 16, 61
_OFFSET_MAX, _INT64 = 1 << 62, 1 << 63
_APPEND_TIME, _RECORD_MIN = 0x08, 7
_COLUMNS = 11

Record = tuple[int, int, int, int]
"""Offset, time, where the value begins, its size."""


def scan(data: bytes, check: bool) -> bytes:
    """The heads of the whole batches of a fetch, int64, see :class:`~stream_app.kafka.record_batches.Head`.

    Args:
        check: look at the checksums.
    """
    table, start = array("q"), 0
    while len(data) - start >= _LOG.size:
        base, length = _LOG.unpack_from(data, start)
        size = _LOG.size + length
        if size > len(data) - start:
            break
        row = _head(data, start, size, base, check)
        table.extend(row)
        if row[2] != 2:
            break
        start += size
    return table.tobytes()


def _head(data: bytes, start: int, size: int, base: int, check: bool) -> list[int]:
    magic = struct.unpack_from(">b", data, start + _MAGIC_AT)[0] if size > _MAGIC_AT else -1
    not_for_us = [0, 0, -1 if magic == 2 else magic, *[0] * (_COLUMNS - 3)]
    if magic != 2 or size < _HEADER:
        return not_for_us
    fields = _REST.unpack_from(data, start + _LOG.size)
    _, _, crc, attributes, last, base_time, max_time, producer, _, _, count = fields
    if not 0 <= base <= _OFFSET_MAX or last < 0 or count < 0:
        return not_for_us
    sound = not check or calc_crc32c(data[start + _ATTRIBUTES_AT : start + size]) == crc
    place = (start + _HEADER, start + size)
    return [*place, 2, sound, base, base + last + 1, attributes & 0xFFFF, producer, base_time, max_time, count]


def unpack(
    data: bytes, heads: Ints, next: int, offsets: Ints, times: Ints, firsts: Ints, sizes: Ints
) -> tuple[int, int]:
    """Write the records at or above an offset into the columns; how many there are, and where to read on.

    Args:
        data: where the payloads lie, without compression.
        heads: ``(n, 11)`` of the batches.
        next: the offset.
        offsets, times, firsts, sizes: columns with places enough.

    Raises:
        ValueError: a batch cannot be read; what was written counts for nothing.
    """
    rows = list[Record]()
    for head in heads.tolist():
        for row in _records(data, head):
            if row[0] < next:
                continue
            if len(rows) == len(offsets):
                raise ValueError("it has more records than there is room for")
            next = row[0] + 1
            rows.append(row)
        next = max(next, head[5])
    for column, values in zip((offsets, times, firsts, sizes), zip(*rows, strict=True), strict=False):
        column[: len(rows)] = values
    return len(rows), next


def first_key(data: bytes, at: int, end: int) -> bytes:
    """The key of the first record of a batch; none is empty.

    Raises:
        ValueError: there is no record.
    """
    length, at = _varint(data, at, end)
    end = _skip(at, length, end) if length >= 0 else -1
    at = _skip(at, 1, end)
    for _ in ("time", "offset"):
        _, at = _varint(data, at, end)
    size, at = _varint(data, at, end)
    return data[at : _skip(at, size, end)]


def _records(data: bytes, head: list[int]) -> Iterator[Record]:
    at, end, _, _, base, after, attributes, _, base_time, max_time, count = head
    if not 0 <= at <= end <= len(data):
        raise ValueError("its bounds are not within the bytes")
    if count > (end - at) // _RECORD_MIN:
        raise ValueError("it has fewer records than it says")
    least = base
    for _ in range(count):
        try:
            at, time_delta, offset_delta, first, size = _record(data, at, end)
        except (ValueError, IndexError):
            raise ValueError("a record in it does not fit its length") from None
        offset = base + offset_delta
        if not least <= offset < after:  # it would pass over records of others, or be lost
            raise ValueError("a record in it has an offset that is not its own")
        least = offset + 1
        time = max_time if attributes & _APPEND_TIME else base_time + time_delta
        if not -_INT64 <= time < _INT64:
            raise ValueError("a record in it has no time")
        yield offset, time, first, size
    if at != end:
        raise ValueError("bytes are left behind its last record")


def _record(data: bytes, at: int, end: int) -> tuple[int, int, int, int, int]:
    length, at = _varint(data, at, end)
    end = _skip(at, length, end) if length >= 0 else -1
    at = _skip(at, 1, end)  # attributes: none are in use
    time_delta, at = _varint(data, at, end)
    offset_delta, at = _varint(data, at, end)
    size, at = _varint(data, at, end)
    size, first = _varint(data, _skip(at, size, end), end)
    if _skip_headers(data, _skip(first, size, end), end) != end:
        raise ValueError
    return end, time_delta, offset_delta, first if size >= 0 else 0, max(size, -1)


def _skip_headers(data: bytes, at: int, end: int) -> int:
    count, at = _varint(data, at, end)
    if count < 0:
        raise ValueError
    for _ in range(count):
        name, at = _varint(data, at, end)
        if name < 0:
            raise ValueError
        size, at = _varint(data, _skip(at, name, end), end)
        at = _skip(at, size, end)
    return at


def _skip(at: int, size: int, end: int) -> int:
    if at + size > end:
        raise ValueError
    return at + max(size, 0)


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    if at < end and (byte := data[at]) < 0x80:  # most are
        return (byte >> 1) ^ -(byte & 1), at + 1
    value = 0
    for shift in range(0, 64, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        if shift == 63 and byte > 1:
            break
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), at
    raise ValueError
