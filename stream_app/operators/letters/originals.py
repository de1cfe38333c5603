"""The messages that dead letters are about: their records where the topic has them still, else what letters carry."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

import msgspec

from schemas.intake import RawHeaders
from schemas.records import DeadLetter
from stream_app.config import Config
from stream_app.kafka.reading import end_of, read_to_end
from stream_app.kafka.types import Consumer, ConsumerRecord, TopicPartition

_AHEAD = 500
"""Records that are read on from an offset: the next letter is often about one of them."""


class _Keyed(Protocol):
    @property
    def key(self) -> bytes | None: ...


class Original(msgspec.Struct, frozen=True):
    """A message that was refused.

    Attributes:
        value: None is a tombstone.
        key, headers: as they were; none where the record is gone.
        source: ``topic``, or ``letter`` where its record is gone and the letter carries all of it.
    """

    value: bytes | None
    key: bytes | None
    headers: RawHeaders
    source: str


class Gone(msgspec.Struct, frozen=True):
    """A message that nobody has any more.

    Attributes:
        why: in a sentence.
        beginning: its first bytes, where the letter carries them.
    """

    why: str
    beginning: bytes = b""


def originals(
    config: Config, consumer: Consumer, tp: TopicPartition, letters: Sequence[DeadLetter]
) -> Iterator[Original | Gone]:
    """The messages of letters about one partition.

    Args:
        config: the stream.
        consumer: reads the partition; positions move.
        tp: the partition, as the consumer takes it.
        letters: in the order of their offsets.

    Raises:
        DriftflowError: the broker does not answer, or a record cannot be read.
    """
    consumer.assign([tp])
    end, read, last = end_of(consumer, tp), dict[int, ConsumerRecord](), -1
    for letter in letters:
        if letter.offset > last and letter.offset < end:
            consumer.seek(tp, letter.offset)
            read = {record.offset: record for record in islice(read_to_end(consumer), _AHEAD)}
            last = max([letter.offset, *read])
        yield _original(config, letter, read.get(letter.offset))


def _original(config: Config, letter: DeadLetter, record: ConsumerRecord | None) -> Original | Gone:
    if record is not None and _is_of(letter, record.value or b""):
        key: bytes | None = getattr(record, "key", None)
        return Original(record.value, key, record.headers, "topic")
    if letter.size and _is_of(letter, letter.body):
        return Original(letter.body, None, [], "letter")
    return Gone(f"{_fate(letter, record)}, and {_carried(config, letter)}", letter.body)


def _is_of(letter: DeadLetter, body: bytes) -> bool:
    return len(body) == letter.size and hashlib.sha256(body).hexdigest() == letter.sha256


def _fate(letter: DeadLetter, record: ConsumerRecord | None) -> str:
    place = f"{letter.topic}/{letter.partition}@{letter.offset}"
    if record is None:
        return f"{place} is not on the topic any more (retention)"
    return f"{place} holds another record now: the topic was made anew"


def _carried(config: Config, letter: DeadLetter) -> str:
    if not letter.body and letter.size:
        why = " (event.sensitive)" if config.event.sensitive else ""
        return f"the dead letter carries no body{why}"
    return f"the dead letter carries {len(letter.body):,} of its {letter.size:,} bytes"
