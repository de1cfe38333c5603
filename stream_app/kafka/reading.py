"""Reading topics to their end, outside any consumer group.

A poll without records does not mean the end: the broker may be slow. The offset that ListOffsets gives is too small on
some brokers. The high watermark that comes with a fetch is right on all of them, and so is the last stable offset,
which stands for it with ``read_committed`` (:mod:`stream_app.kafka.isolation`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from kafka import KafkaConsumer
from kafka import TopicPartition as Partition
from kafka.errors import CorruptRecordError, KafkaError, UnsupportedCodecError

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.isolation import reading
from stream_app.kafka.retrying import retried, told
from stream_app.kafka.types import ClientSettings, Consumer, ConsumerRecord, Fetched, TopicPartition

PATIENCE_S = 30.0
"""How long a broker may take to say where a partition ends."""

_POLL_MS = 500
_RECORDS_MAX = 1_000
_QUIET_S = 5.0
"""After so long without a record the broker is asked whether it is there."""
_ANSWER_MS = 5_000
_CONNECT_MS = 10_000
"""How long a broker may take to answer at all."""


@contextmanager
def reader(client: ClientSettings, topic: str) -> Iterator[tuple[Consumer, list[TopicPartition]]]:
    """A consumer outside any group, with nothing assigned, and the partitions of a topic: none where it does not exist.

    Args:
        client: connection settings, and those of :func:`stream_app.kafka.isolation.reading`.
        topic: what is going to be read.

    Raises:
        DriftflowError: in place of every KafkaError, of the ``with`` block too.
    """
    try:
        consumer = KafkaConsumer(
            **client,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            bootstrap_timeout_ms=_CONNECT_MS,
            request_timeout_ms=_CONNECT_MS,
        )
        try:
            numbers = retried(lambda: consumer.partitions_for_topic(topic))
            yield consumer, [Partition(topic, number) for number in sorted(numbers or ())]
        finally:
            consumer.close()
    except KafkaError as error:
        raise DriftflowError(
            f"topic {topic} cannot be read: {told(error)}; check kafka.bootstrap and the broker"
        ) from error


def read_to_end(
    consumer: Consumer,
    ask: Callable[[Consumer], Fetched] | None = None,
    until: Mapping[TopicPartition, int] | None = None,
) -> Iterator[ConsumerRecord]:
    """Records of the partitions assigned to a kafka-python consumer, from its positions to where they ended when the
    broker first told; partitions in turn. What is appended meanwhile may come too.

    Args:
        consumer: with its partitions assigned.
        ask: brings the next records, if any (default: :func:`fetch`).
        until: partition to an offset at which it may end before; what was fetched beyond it comes too.

    Raises:
        DriftflowError: the broker does not answer for ``PATIENCE_S``, or a record cannot be read.
    """
    ends: dict[TopicPartition, int] = dict(until or {})
    patience = _Patience(consumer)
    while True:
        fetched = (ask or fetch)(consumer)
        for _, records in sorted(fetched.items(), key=lambda item: item[0].partition):
            yield from records
        patience.renew() if fetched else patience.check()
        known = {tp: consumer.highwater(tp) for tp in consumer.assignment() - ends.keys()}
        ends |= {tp: end for tp, end in known.items() if end is not None}
        if all(_reached(consumer, tp, ends.get(tp)) for tp in consumer.assignment()):
            return


def follow(consumer: Consumer, say: Callable[[str], None]) -> Iterator[ConsumerRecord]:
    """Records of the assigned partitions as they come, for ever, and of those that their topics get later. A broker
    that goes away is waited for.

    Args:
        consumer: with its partitions assigned.
        say: takes a line when the broker does not answer any more, and one when it does again.

    Raises:
        DriftflowError: a record cannot be read.
    """
    heard_s, away = time.monotonic(), False
    while True:
        _assign_new(consumer)
        fetched = fetch(consumer)
        for records in fetched.values():
            yield from records
        if not fetched and time.monotonic() - heard_s < _QUIET_S:
            continue
        answers = bool(fetched) or _answers(consumer)
        if answers == away:
            say("the broker answers again" if answers else "the broker does not answer: waiting for it")
        heard_s, away = time.monotonic(), not answers


def _assign_new(consumer: Consumer) -> None:
    """Read what the topics have got since from its beginning; the others go on where they are."""
    assigned = consumer.assignment()
    with contextlib.suppress(KafkaError):
        topics = {tp.topic for tp in assigned}
        new = {Partition(topic, n) for topic in topics for n in consumer.partitions_for_topic(topic)} - assigned
        if new:
            consumer.assign(sorted(assigned | new))


def fetch(consumer: Consumer) -> Fetched:
    """The next records, if any; none where the broker does not answer now.

    Raises:
        KafkaError: one that will not go away.
        DriftflowError: a record cannot be read: its bytes are damaged, or its compression is not known here.
    """
    try:
        return consumer.poll(timeout_ms=_POLL_MS, max_records=_RECORDS_MAX)
    except (CorruptRecordError, UnsupportedCodecError) as error:
        raise _unreadable(consumer, error) from error
    except KafkaError as error:
        if not error.retriable:
            raise
        return {}
    except Exception as error:  # of a codec's library: each has its own
        raise _unreadable(consumer, error) from error


def end_of(consumer: Consumer, tp: TopicPartition) -> int:
    """Offset after the last record of an assigned partition that can be read now; fetches, so positions move.

    Raises:
        DriftflowError: the broker does not answer.
    """
    patience = _Patience(consumer)
    while (end := consumer.highwater(tp)) is None:
        patience.check()
        fetch(consumer)
    return int(end)


def log_ends(config: Config, client: ClientSettings) -> dict[int, int]:
    """Where each events partition ends for a reader: behind it there may be records of an open transaction.

    Raises:
        DriftflowError: there is no such topic, or the broker does not answer.
    """
    ends = {}
    with reader(client | reading(config.kafka), config.topics.events) as (consumer, partitions):
        if not partitions:
            raise DriftflowError(f"topic {config.topics.events} does not exist or is empty: produce events first")
        for tp in partitions:
            consumer.assign([tp])
            consumer.seek(tp, 0)
            ends[tp.partition] = end_of(consumer, tp)
    return ends


class _Patience:
    """How long a broker may still stay silent."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.renew()

    def renew(self) -> None:
        """It has answered."""
        self._until_s = time.monotonic() + PATIENCE_S

    def check(self) -> None:
        """Raise DriftflowError where it has been silent for too long."""
        if time.monotonic() > self._until_s:
            where = ", ".join(f"{tp.topic}/{tp.partition}" for tp in sorted(self._consumer.assignment()))
            raise DriftflowError(
                f"the broker has not answered for {PATIENCE_S:.0f} s about {where}: look at its log, and try again"
            )


def _reached(consumer: Consumer, tp: TopicPartition, end: int | None) -> bool:
    if end is None:
        return False
    position = consumer.position(tp, timeout_ms=_POLL_MS)
    return position is not None and position >= end


def _answers(consumer: Consumer) -> bool:
    try:
        consumer.beginning_offsets(list(consumer.assignment()), timeout_ms=_ANSWER_MS)
    except KafkaError:
        return False
    return True


def _remedy(error: Exception) -> str:
    if isinstance(error, UnsupportedCodecError):
        return "install the library of its codec, or, where that is none of Kafka's, look at its producer"
    return "its bytes are damaged in the broker's log; delete the records up to it with kafka-delete-records.sh"


def _unreadable(consumer: Consumer, error: Exception) -> DriftflowError:
    """The error of a record that cannot be read, with its place: of all partitions the one that alone fails again."""
    for tp, position in sorted((tp, consumer.position(tp, timeout_ms=_POLL_MS)) for tp in consumer.assignment()):
        consumer.assign([tp])
        consumer.seek(tp, position or 0)
        try:
            consumer.poll(timeout_ms=_POLL_MS, max_records=1)
        except Exception as again:
            return DriftflowError(
                f"the record at {tp.topic}/{tp.partition}@{position} cannot be read, {told(again)}: {_remedy(again)}"
            )
    return DriftflowError(f"a record cannot be read, {told(error)}: try again")
