"""Past records that the client cannot take apart: damaged on the broker's disk, say, or packed by a codec that is not
here. It raises at the same place for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from kafka import KafkaConsumer
from kafka.errors import CorruptRecordError, KafkaError, UnsupportedCodecError

from stream_app.kafka.types import ClientSettings, TopicPartition

T = TypeVar("T")

Place = tuple[TopicPartition, int, str]
"""A partition, the offset that was stepped over, and what is wrong there."""

_ANSWER_MS = 5_000
_TRIES = 20


def poll_past(poll: Callable[[], T], consumer: Any, client: ClientSettings, on_skip: Callable[[Place], None]) -> T:
    """What a poll of a kafka-python consumer brings; where it cannot take a record apart, that one is stepped over, and
    so are those behind it in the same batch, which has one sender.

    Args:
        poll: polls the consumer.
        consumer: the same.
        client: its connection settings.
        on_skip: called for each record that is stepped over, before anything behind it is handed out.

    Raises:
        KafkaError: any other than that a record cannot be taken apart.
        Exception: what is wrong is in no record.
    """
    for _ in range(_TRIES):
        try:
            return poll()
        except Exception as error:
            if not is_unreadable(error):
                raise
            _step_over(consumer, client, on_skip)
    return poll()


def is_unreadable(error: Exception) -> bool:
    """Whether an error of a poll is about a record: a codec's library has errors of its own."""
    return isinstance(error, CorruptRecordError | UnsupportedCodecError) or not isinstance(error, KafkaError)


def _step_over(consumer: Any, client: ClientSettings, on_skip: Callable[[Place], None]) -> None:
    """The error does not say which partition it is about: a consumer made for it, which reads as the other one does,
    looks at each that is not at its end.
    """
    alike = {**client, "isolation_level": consumer.config["isolation_level"]}
    probe = KafkaConsumer(**alike, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        for tp in sorted(consumer.assignment()):
            start, end = consumer.position(tp, timeout_ms=_ANSWER_MS), consumer.highwater(tp)
            if start is None or end is None or start >= end:
                continue
            readable = _walk(probe, tp, start, end, on_skip)
            if readable > start:
                consumer.seek(tp, readable)
    finally:
        probe.close(timeout_ms=1_000)


def _walk(probe: Any, tp: Any, start: int, end: int, on_skip: Callable[[Place], None]) -> int:
    """The first offset from ``start`` on where there is a record to read, or where nothing says that there is none."""
    probe.assign([tp])
    for offset in range(start, end):
        probe.seek(tp, offset)
        try:
            probe.poll(timeout_ms=_ANSWER_MS, max_records=1)
        except Exception as error:
            if not is_unreadable(error):
                raise
            on_skip((tp, offset, " ".join(f"{type(error).__name__}: {error}".split())))
        else:
            return offset
    return end
