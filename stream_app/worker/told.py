"""What JUDGE has told people already: nobody is told the same thing twice, however a worker ended.

JUDGE is the only writer of its signals partition, and deterministic: what it says again after a crash it says with the
same ids. So the end of that partition, behind what its head knows of, is read before JUDGE goes on, and what stands
there is not sent once more.
"""

from __future__ import annotations

import logging

from schemas.intake import Refusal, header_map, take_in
from stream_app.config import Config
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import reading
from stream_app.kafka.logs import look
from stream_app.kafka.reading import read_to_end, reader
from stream_app.kafka.stepping import Place, poll_past
from stream_app.kafka.types import Consumer, ConsumerRecord, Fetched, Headers, Sent, TopicPartition
from stream_app.stages.outputs import Outgoing
from stream_app.stages.partitioning import judge_signals
from stream_app.worker.heads import Until

log = logging.getLogger(__name__)

IDS_MAX = 100_000
"""Ids that are kept; JUDGE says a few things a week, and as many as this between two heads never."""

_POLL_MS = 100
"""A partition at whose end there is nothing takes no longer: a worker waits for this at its start."""
_ID, _SOURCE = "ce_id", "ce_source"
_ID_MAX = 200


class Told:
    """The messages of JUDGE that the broker has, since its head was last kept.

    Args:
        config: the stream, with the number of partials partitions that it really has.

    Attributes:
        until: up to where the partition is known, for the next head.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._source = f"/driftflow/{config.stream}/judge".encode()
        self._place = TopicPartition(config.topics.signals, judge_signals(config.topics.partitions))
        self._ids: dict[bytes, None] = {}
        self.until = Until()

    def look(self, until: Until) -> None:
        """Read what the broker has; blocks.

        Args:
            until: what the head of JUDGE knows of.

        Raises:
            DriftflowError: it does not answer.
        """
        self._ids.clear()
        log_of_it = look(self._config, [self._place]).get(self._place)
        topic_id = log_of_it.topic_id if log_of_it else ""
        self.until = until if until.topic_id == topic_id else Until(topic_id)
        kafka, wait = self._config.kafka, {"fetch_max_wait_ms": _POLL_MS}
        client = client_settings(kafka, self._config.root) | reading(kafka) | wait

        def ask(consumer: Consumer) -> Fetched:
            return poll_past(lambda: consumer.poll(timeout_ms=_POLL_MS), consumer, client, _passed_over)

        with reader(client, self._place.topic) as (consumer, partitions):
            places = [tp for tp in partitions if tp.partition == self._place.partition]
            consumer.assign(places)
            for tp in places:
                consumer.seek(tp, self.until.offset)
            for record in read_to_end(consumer, ask) if places else ():
                self._note(record)

    def _note(self, record: ConsumerRecord) -> None:
        """What is no message of JUDGE keeps none of its messages back, whoever wrote it."""
        named = header_map(record.headers)
        signal = take_in("signals", self._config.stream, record.value, record.headers)
        if isinstance(signal, Refusal) or named.get(_SOURCE) != self._source or _ID not in named:
            return
        self._ids[named[_ID][:_ID_MAX]] = None
        if len(self._ids) > IDS_MAX:
            del self._ids[next(iter(self._ids))]

    def is_told(self, message: Outgoing) -> bool:
        """Whether the broker has a message already."""
        if (message.role, message.partition) != ("signals", self._place.partition):
            return False
        return _id_of(message.headers) in self._ids

    def took(self, sent: Sent) -> None:
        """The broker has taken a message, of whatever topic and partition."""
        if (sent.topic, sent.partition) == self._place:
            self.until = Until(self.until.topic_id, max(sent.offset + 1, self.until.offset))


def _id_of(headers: Headers) -> bytes:
    return dict(headers).get(_ID, b"")[:_ID_MAX]


def _passed_over(place: Place) -> None:
    (topic, number), offset, why = place
    log.warning("%s/%s@%s is passed over: %s", topic, number, offset, why)
