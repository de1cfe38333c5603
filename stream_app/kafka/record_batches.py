"""What one fetch brought of a partition, as columns: offset, time and bounds of the body of each record, and no object
for any of them.

Read are Kafka's record batches, format v2 (KIP-98): checksum, codec, records below the offset that was asked for, gaps
that compaction left, control batches, batches of aborted transactions, and the part of a batch at the end of a fetch.
Whatever else arrives is for the client's own reader (:meth:`Fetch.of` gives None).

A batch whose checksum is right and that cannot be read all the same was written so, and would be so at each try: it
counts as one record with an empty body, which no decoder takes, so that it has a dead letter and does not stop what
comes behind it. A checksum that is wrong may be right at the next fetch, so it is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple, overload

import numpy as np

from flowlib.table import Bools, Ints
from schemas.intake import RawHeaders
from stream_app.errors import DriftflowError
from stream_app.kafka import plain_batches
from stream_app.kafka.types import ConsumerRecord, TopicPartition
from stream_app.kafka.unpacking import unpacked
from stream_app.stages.batches import Bodies

try:
    from stream_app.native import _records as _form
except ImportError:  # no compiler when driftflow was installed
    _form = plain_batches  # type: ignore[misc]

_CODEC, _TRANSACTIONAL, _CONTROL = 0x07, 0x10, 0x20
_CODEC_MAX = 4
_RECORD_MIN = 7
"""Bytes of the smallest record: bounds how many a batch can have, before room is made for them."""

_GROUP_BYTES = 8 * 1024 * 1024
"""Once that much has been unpacked, what is left waits for the next block."""


class Head(IntEnum):
    """Columns of the table of a fetch's batches, int64."""

    FIRST, END, MAGIC, SOUND, BASE, NEXT, ATTRIBUTES, PRODUCER, BASE_TIME, MAX_TIME, COUNT = range(11)


class ChecksumError(DriftflowError):
    """A batch has arrived damaged."""


class Row(NamedTuple):
    """A record of a block, for those who want one as an object: its key and headers were passed over."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    timestamp_type: int = 0
    headers: RawHeaders = ()


class Block(Sequence[Row]):
    """Consecutive records of one partition as columns; one becomes an object only where somebody asks for it.

    Attributes:
        tp: the partition.
        offsets: ``(n,)`` int64, ascending.
        times: ``(n,)`` int64, milliseconds since the epoch, the producer's or the broker's as the topic has it.
        bodies: n values; None is a tombstone.
    """

    __slots__ = ("bodies", "offsets", "times", "tp")

    def __init__(self, tp: TopicPartition, offsets: Ints, times: Ints, bodies: Bodies) -> None:
        self.tp, self.offsets, self.times, self.bodies = tp, offsets, times, bodies

    @classmethod
    def of(cls, tp: TopicPartition, records: Sequence[ConsumerRecord]) -> Block:
        """Records that are objects already."""
        offsets = np.array([record.offset for record in records], dtype=np.int64)
        times = np.array([record.timestamp or 0 for record in records], dtype=np.int64)
        return cls(tp, offsets, times, Bodies.of([record.value for record in records]))

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> Block: ...

    def __getitem__(self, index: int | slice) -> Row | Block:
        offsets, times, bodies = self.offsets[index], self.times[index], self.bodies[index]
        if isinstance(bodies, Bodies):
            return Block(self.tp, offsets, times, bodies)
        return Row(self.tp.topic, self.tp.partition, int(offsets), int(times), bodies)


class Aborted(NamedTuple):
    """A transaction that was aborted: whose it was, and its first offset on the partition."""

    producer: int
    first_offset: int


class Fetch:
    """Hands out the records of a fetch, block by block.

    Attributes:
        next: the offset to read on from: above it nothing was handed out, and below it nothing is left.
        unread: batches that could not be read, each with its first offset, the one after its last, and why.
    """

    def __init__(
        self, tp: TopicPartition, data: bytes, heads: Ints, start: int, aborted: Iterable[Aborted] = ()
    ) -> None:
        self._tp, self._data, self.next, self.unread = tp, data, start, list[tuple[int, int, str]]()
        damaged = np.flatnonzero(heads[:, Head.SOUND] == 0)
        self._damaged = int(heads[damaged[0], Head.BASE]) if len(damaged) else None
        whole = heads[: damaged[0]] if len(damaged) else heads
        self._end = int(whole[-1, Head.NEXT]) if len(whole) else start
        self._heads = whole[self._wanted(whole, list(aborted))]
        self._upto = np.cumsum(self._heads[:, Head.COUNT])
        self._at, self._left = 0, Block.of(tp, [])

    @classmethod
    def of(
        cls, tp: TopicPartition, data: bytes, start: int, aborted: Iterable[Aborted] = (), check: bool = True
    ) -> Fetch | None:
        """The fetch in these bytes; None where they are for the client's own reader.

        Args:
            tp: the partition.
            data: as the broker sent them.
            start: the offset that was asked for; a batch may begin below it.
            aborted: transactions whose records are none.
            check: look at the checksums.
        """
        heads = np.frombuffer(_form.scan(data, check), dtype=np.int64).reshape(-1, len(Head))
        codecs = heads[:, Head.ATTRIBUTES] & _CODEC
        packed = (codecs > 0) & (codecs <= _CODEC_MAX)
        ours = (heads[:, Head.MAGIC] == 2) & ~(_are_markers(heads) & packed)
        return cls(tp, data, heads, start, aborted) if ours.all() else None

    @property
    def done(self) -> bool:
        """Whether nothing is left to hand out or to move on over, and no error either."""
        read = not len(self._left) and self._at == len(self._heads)
        return read and self.next >= self._end and self._damaged is None

    def take(self, most: int) -> Block:
        """The next records, at most so many; none where no more are left.

        Raises:
            ChecksumError: the next batch has arrived damaged. Nothing else comes of this fetch.
        """
        while not len(self._left) and self._at < len(self._heads):
            upto = int(np.searchsorted(self._upto, (self._upto[self._at - 1] if self._at else 0) + most, "right"))
            self._left = self._read(self._at, max(upto, self._at + 1))
        block, self._left = self._left[:most], self._left[most:]
        if len(self._left):
            self.next = int(block.offsets[-1]) + 1
        elif self._at < len(self._heads):
            self.next = max(self.next, int(self._heads[self._at - 1, Head.NEXT]))
        elif len(block) or self._damaged is None:
            self.next = max(self.next, self._end)
        else:
            raise ChecksumError(f"the batch at offset {self._damaged} has arrived damaged: its checksum is wrong")
        return block

    def _wanted(self, heads: Ints, aborted: list[Aborted]) -> Bools:
        attributes, wanted = heads[:, Head.ATTRIBUTES], ~_are_markers(heads)
        if aborted:
            wanted &= ~((attributes & _TRANSACTIONAL != 0) & self._are_aborted(heads, sorted(aborted, key=_first)))
        return wanted

    def _are_aborted(self, heads: Ints, aborted: list[Aborted]) -> Bools:
        """Whether each batch is of a producer whose transaction was aborted later; its marker ends that."""
        now, found = set[int](), []
        for head, is_marker in zip(heads.tolist(), _are_markers(heads).tolist(), strict=True):
            while aborted and aborted[0].first_offset <= head[Head.BASE]:
                now.add(aborted.pop(0).producer)
            if is_marker and self._aborts(head):
                now.discard(head[Head.PRODUCER])
            found.append(head[Head.PRODUCER] in now)
        return np.asarray(found, dtype=np.bool_)

    def _aborts(self, head: list[int]) -> bool:
        """Whether a control batch ends a transaction as aborted: its record's key is two int16, version and 0."""
        try:
            return plain_batches.first_key(self._data, head[Head.FIRST], head[Head.END])[:4] == bytes(4)
        except ValueError:
            return False

    def _read(self, first: int, upto: int) -> Block:
        """Records of the batches from one to another, or of some of them where there is one that cannot be read."""
        try:
            data, heads = self._unpacked(first, upto)
        except ValueError as error:
            return self._unreadable(self._heads[first], error)
        try:
            block = self._columns(data, heads)
        except ValueError as error:
            if upto - first > 1:
                return self._read(first, (first + upto) // 2)
            return self._unreadable(self._heads[first], error)
        self._at = first + len(heads)
        return block

    def _unpacked(self, first: int, upto: int) -> tuple[bytes, Ints]:
        """Bytes without compression, and the heads of the batches that lie there, up to one that cannot be unpacked.

        Raises:
            ValueError: that is the first one. No other was unpacked: one may take long.
        """
        heads = self._heads[first:upto]
        codecs = heads[:, Head.ATTRIBUTES] & _CODEC
        if not codecs.any():
            return self._data, heads
        parts, ends, data = list[bytes | memoryview](), [0], memoryview(self._data)
        for head, codec in zip(heads.tolist(), codecs.tolist(), strict=True):
            part = data[head[Head.FIRST] : head[Head.END]]
            try:
                parts.append(unpacked(codec, part) if codec else part)
            except ValueError:
                if not parts:
                    raise
                break
            ends.append(ends[-1] + len(parts[-1]))
            if ends[-1] >= _GROUP_BYTES:
                break
        heads = heads[: len(parts)].copy()
        heads[:, Head.FIRST], heads[:, Head.END] = ends[:-1], ends[1:]
        return b"".join(parts), heads

    def _columns(self, data: bytes, heads: Ints) -> Block:
        if (heads[:, Head.COUNT] > (heads[:, Head.END] - heads[:, Head.FIRST]) // _RECORD_MIN).any():
            raise ValueError("it has fewer records than it says")
        columns = np.empty((4, int(heads[:, Head.COUNT].sum())), dtype=np.int64)
        n, _ = _form.unpack(data, np.ascontiguousarray(heads), self.next, *columns)
        offsets, times, first, size = columns[:, :n]
        return Block(self._tp, offsets, times, Bodies(data, first, size))

    def _unreadable(self, head: Ints, error: ValueError) -> Block:
        self._at += 1
        base, after = max(int(head[Head.BASE]), self.next), int(head[Head.NEXT])
        if after <= self.next:
            return self._left
        self.unread.append((base, after, str(error)))
        return Block(self._tp, np.array([base]), head[Head.MAX_TIME : Head.MAX_TIME + 1], Bodies.of([b""]))


def _are_markers(heads: Ints) -> Bools:
    """Whether each is a control batch. One that says so and names a codec that there is not is none: nobody can tell
    what it is, so that it counts as one that cannot be read.
    """
    attributes = heads[:, Head.ATTRIBUTES]
    found: Bools = (attributes & _CONTROL != 0) & (attributes & _CODEC <= _CODEC_MAX)
    return found


def readable_from(data: bytes, start: int, end: int) -> int:
    """Where to read on behind a batch that cannot be taken apart: at the first whole batch behind it in a fetch, else
    where that says that it ends, which may be wrong too, and else at the next offset.

    Args:
        data: as the broker sent them.
        start: the offset that was to be read.
        end: the one after the last record of the log.
    """
    heads = np.frombuffer(_form.scan(data, True), dtype=np.int64).reshape(-1, len(Head))
    heads = heads[heads[:, Head.MAGIC] == 2]
    behind = heads[(heads[:, Head.SOUND] != 0) & (heads[:, Head.BASE] > start)]
    if len(behind):
        return int(behind[0, Head.BASE])
    told = [int(after) for base, after in heads[:, [Head.BASE, Head.NEXT]] if base <= start < after <= end]
    return told[-1] if told else start + 1


def _first(transaction: Aborted) -> int:
    return transaction.first_offset
