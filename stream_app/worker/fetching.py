"""Columns instead of records, out of aiokafka's fetcher: see :mod:`stream_app.kafka.record_batches`.

A consumer of aiokafka fetches, keeps positions and decides what of a fetch may still be handed out; of that nothing is
changed. Only what a fetch brought of some topics is handed out as one :class:`Block` where a list of records would be.

Private names of aiokafka are used here, and nowhere else for this: ``tests/worker/test_fetching.py`` fails where they
have changed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka.consumer import fetcher

from stream_app.kafka.record_batches import Aborted, Block, ChecksumError, Fetch
from stream_app.kafka.types import ConsumerRecord, TopicPartition
from stream_app.terminal import Seldom
from stream_app.worker import header_names

_THEIRS = fetcher.FetchResult
_ALL = 1 << 30
_unreadable = Seldom(logging.getLogger(__name__).error)


class Columns:
    """Says of which topics a consumer hands out columns. The fetcher brings it along as what reads values, so it leaves
    those of all other topics as they are.
    """

    def __init__(self, topics: Iterable[str]) -> None:
        self.topics = frozenset(topics)

    def __call__(self, value: bytes | None) -> bytes | None:
        return value


def prepare() -> None:
    """Call it before the first consumer of aiokafka starts in this process."""
    header_names.take_any()
    fetcher.FetchResult = Result


def hand_out_columns(consumer: Any, topics: Iterable[str]) -> None:
    """Let a consumer that has not started hand out :class:`Block` where these topics are concerned."""
    consumer._value_deserializer = Columns(topics)


class Result(_THEIRS):  # type: ignore[misc,valid-type]
    """What a fetch brought of a partition, until it is handed out."""

    def __init__(self, tp: TopicPartition, *, partition_records: Any, **kwargs: Any) -> None:
        super().__init__(tp, partition_records=partition_records, **kwargs)
        self._partition_records: Any
        wanted = partition_records._value_deserializer
        self._as_columns = isinstance(wanted, Columns) and tp.topic in wanted.topics
        self._fetch = _fetch(tp, partition_records) if self._as_columns else None

    def getall(self, max_records: int | None = None) -> Sequence[ConsumerRecord]:
        """At most so many records; an empty one where nothing may be handed out any more."""
        tp = self._topic_partition
        if self._fetch is None:
            rows: Sequence[ConsumerRecord] = super().getall(max_records)
            return Block.of(tp, rows) if self._as_columns else rows
        if not self.has_more() or not self.check_assignment(tp):
            return []
        records: Any = self._partition_records
        try:
            block = self._fetch.take(_ALL if max_records is None else max_records)
        except ChecksumError as error:
            self._partition_records = None
            raise fetcher.Errors.CorruptRecordException(f"{tp.topic}/{tp.partition}: {error}") from None
        records.next_fetch_offset = self._fetch.next
        self._update_position()
        if self._fetch.done:
            self._partition_records = None
        _tell_unread(tp, self._fetch)
        return block


def _fetch(tp: TopicPartition, records: Any) -> Fetch | None:
    committed = records._isolation_level == fetcher.READ_COMMITTED
    aborted = [Aborted(*one) for one in records._aborted_transactions] if committed else []
    return Fetch.of(tp, records._records.data, records.next_fetch_offset, aborted, records._check_crcs)


def _tell_unread(tp: TopicPartition, fetch: Fetch) -> None:
    while fetch.unread:
        first, after, why = fetch.unread.pop(0)
        _unreadable(
            f"{tp.topic}/{tp.partition}: the batch at offsets {first} to {after - 1} cannot be read ({why}); it counts "
            "as one event without a body, and what follows is read on. Look at its producer"
        )
