"""Columns instead of records, out of aiokafka's fetcher: see :mod:`stream_app.kafka.record_batches`.

A consumer of aiokafka fetches, keeps positions and decides what of a fetch may still be handed out; of that nothing is
changed. Only what a fetch brought of some topics is handed out as one :class:`Block` where a list of records would be,
and what cannot be taken apart stops nobody: its partition rests, while the others go on, and is fetched again
(:mod:`stream_app.worker.damages`).

Private names of aiokafka are used here, and nowhere else for this: ``tests/worker/test_fetching.py`` fails where they
have changed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from aiokafka.consumer import fetcher

from stream_app.kafka.record_batches import Aborted, Block, Fetch, readable_from
from stream_app.kafka.types import ConsumerRecord, TopicPartition
from stream_app.stages.batches import Bodies
from stream_app.terminal import Seldom
from stream_app.worker import header_names
from stream_app.worker.damages import Damages, in_words

_THEIRS = fetcher.FetchResult
_ALL = 1 << 30
_unreadable = Seldom(logging.getLogger(__name__).error)


class Columns:
    """Says of which topics a consumer hands out columns. The fetcher brings it along as what reads values, so it leaves
    those of all other topics as they are.

    Args:
        topics: their names.
        damages: counts what the consumer cannot take apart, of whatever topic.
    """

    def __init__(self, topics: Iterable[str] = (), damages: Damages | None = None) -> None:
        self.topics, self.damages = frozenset(topics), damages or Damages()

    def __call__(self, value: bytes | None) -> bytes | None:
        return value


def prepare() -> None:
    """Call it before the first consumer of aiokafka starts in this process."""
    header_names.take_any()
    fetcher.FetchResult = Result


def hand_out_columns(consumer: Any, columns: Columns) -> None:
    """Let a consumer that has not started hand out :class:`Block` where the topics of these are concerned, and pass
    over what is damaged.
    """
    consumer._value_deserializer = columns


class Result(_THEIRS):  # type: ignore[misc,valid-type]
    """What a fetch brought of a partition, until it is handed out."""

    def __init__(self, tp: TopicPartition, *, partition_records: Any, **kwargs: Any) -> None:
        super().__init__(tp, partition_records=partition_records, **kwargs)
        self._partition_records: Any
        wanted = partition_records._value_deserializer
        self._wanted = wanted if isinstance(wanted, Columns) else None
        self._as_columns = self._wanted is not None and tp.topic in self._wanted.topics
        self._fetch = _fetch(tp, partition_records) if self._as_columns else None
        self._rests_until_s: float | None = None

    def getall(self, max_records: int | None = None) -> Sequence[ConsumerRecord]:
        """At most so many records; an empty one where nothing may be handed out any more, or now."""
        if self._wanted is None:
            return super().getall(max_records)  # type: ignore[no-any-return]
        if not self.has_more() or not self.check_assignment(self._topic_partition):
            return []
        if self._rests_until_s is not None:
            if time.monotonic() >= self._rests_until_s:
                self._partition_records = None  # it is fetched again
            return []
        try:
            return self._objects(max_records) if self._fetch is None else self._block(self._fetch, max_records)
        except Exception as error:  # of a codec's library: each has its own
            return self._damaged(self._wanted.damages, in_words(error))

    def _block(self, fetch: Fetch, most: int | None) -> Block:
        block = fetch.take(_ALL if most is None else most)
        self._partition_records.next_fetch_offset = fetch.next
        self._update_position()
        if fetch.done:
            self._partition_records = None
        _tell_unread(self._topic_partition, fetch)
        return block

    def _objects(self, most: int | None) -> Sequence[ConsumerRecord]:
        """Records up to one that cannot be taken apart: that comes first in the next fetch, and is raised then."""
        rows, more = list[ConsumerRecord](), True
        try:
            for row in self._partition_records:
                rows.append(row)
                if len(rows) == most:
                    break
            else:
                more = False
        except Exception:
            if not rows:
                raise
            more = False
        self._update_position()
        if not more:
            self._partition_records = None
        return Block.of(self._topic_partition, rows) if self._as_columns else rows

    def _damaged(self, damages: Damages, why: str) -> Sequence[ConsumerRecord]:
        """Let the partition rest, or pass over what is damaged: of an event one without a body stands for all of it, so
        that it has a dead letter.
        """
        tp = self._topic_partition
        state = self._assignment.state_value(tp)
        start = state.position
        rest_s = damages.wait_s(tp, start, why)
        if rest_s is not None:
            self._rests_until_s = time.monotonic() + rest_s
            return []
        end = readable_from(self._partition_records._records.data, start, state.highwater)
        damages.pass_over(tp, start, end, why)
        state.consumed_to(end)
        self._partition_records = None
        return Block(tp, np.array([start]), np.zeros(1, dtype=np.int64), Bodies.of([b""])) if self._as_columns else []


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
