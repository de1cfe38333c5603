"""Record batches as bytes: any attributes, gaps and headers, which no client's own builder writes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import codec
from aiokafka.record.util import calc_crc32c

CODECS: Mapping[int, Callable[[bytes], bytes]] = {
    0: lambda data: data,
    1: codec.gzip_encode,
    2: codec.snappy_encode,
    3: codec.lz4_encode,
    4: codec.zstd_encode,
}
PLAIN_SNAPPY, APPEND_TIME, TRANSACTIONAL, CONTROL = 2, 0x08, 0x10, 0x20
ABORT, COMMIT = struct.pack(">hh", 0, 0), struct.pack(">hh", 0, 1)


def varint(value: int) -> bytes:
    """Zigzag, seven bits a byte."""
    rest, out = (value << 1) ^ (value >> 63), bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


def field_of(value: bytes | None) -> bytes:
    """A length and so many bytes."""
    return varint(-1) if value is None else varint(len(value)) + value


@dataclass
class Record:
    """One record; ``delta`` is its offset within the batch."""

    delta: int
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[bytes, bytes | None]] = ()
    time_delta: int = 0

    def packed(self) -> bytes:
        """As it stands in a batch."""
        headers = b"".join(field_of(name) + field_of(value) for name, value in self.headers)
        body = b"\0" + varint(self.time_delta) + varint(self.delta) + field_of(self.key) + field_of(self.value)
        body += varint(len(self.headers)) + headers
        return varint(len(body)) + body


@dataclass
class Batch:
    """One batch; compaction may have left out records and its last offset."""

    base: int
    records: Sequence[Record]
    attributes: int = 0
    producer: int = -1
    last_delta: int | None = None
    times: tuple[int, int] = (1_000, 2_000)
    payload: bytes | None = field(default=None, repr=False)
    count: int | None = None

    @property
    def next(self) -> int:
        """The offset behind it."""
        last = self.last_delta if self.last_delta is not None else max((r.delta for r in self.records), default=0)
        return self.base + last + 1

    def packed(self) -> bytes:
        """As a broker sends it."""
        payload = self.payload
        if payload is None:
            payload = CODECS[self.attributes & 7](b"".join(record.packed() for record in self.records))
        count = len(self.records) if self.count is None else self.count
        told = (self.attributes, self.next - self.base - 1, *self.times, self.producer, 0, 0, count)
        rest = struct.pack(">hiqqqhii", *told) + payload
        return struct.pack(">qiibI", self.base, len(rest) + 9, 0, 2, calc_crc32c(rest)) + rest
