"""Reads the events topic on from given offsets, with a consumer of its own: no group, nothing committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from kafka import KafkaConsumer
from kafka import TopicPartition as Partition
from kafka.errors import OffsetOutOfRangeError

from stream_app.config import Config
from stream_app.kafka.isolation import reading
from stream_app.kafka.schema_registry import registry_of
from stream_app.kafka.stepping import Place, poll_past
from stream_app.kafka.types import ClientSettings
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.readings import LocalTimes

RECORDS_MAX = 2_000
"""Records of one step: the request that waits, and the signal to stop, are looked at between two."""

_ANSWER_MS = 20_000


@dataclass(frozen=True, slots=True)
class Step:
    """What one poll has brought of a partition.

    Attributes:
        partition: of the events topic.
        events: what could be decoded, in order of offsets; None where there was no record.
        next: offset from which on to read.
    """

    partition: int
    events: EventBatch | None
    next: int


class ShadowReader:
    """Reads some partitions of the events topic, from offsets on, for as long as it is asked to.

    Args:
        config: the stream.
        client: kafka-python connection settings.
        offsets: partition to the first offset to read.
        times: event times before these offsets, by partition: which reading of a local time is meant depends on them.
        say: takes a line for the person who watches.

    Raises:
        KafkaError: the broker does not answer.
    """

    def __init__(
        self,
        config: Config,
        client: ClientSettings,
        offsets: Mapping[int, int],
        times: Mapping[int, list[int]],
        say: Callable[[str], None],
    ) -> None:
        self._config, self._client, self._say = config, client, say
        self._decoder, self._registry = Decoder(config), registry_of(config)
        self._times = LocalTimes(times)
        self._consumer: Any = KafkaConsumer(
            **client,
            **reading(config.kafka),
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_poll_records=RECORDS_MAX,
        )
        self._places = {Partition(config.topics.events, number): offset for number, offset in offsets.items()}
        self._consumer.assign(list(self._places))
        for place, offset in self._places.items():
            self._consumer.seek(place, offset)

    def poll(self, timeout_ms: int) -> Iterator[Step]:
        """What has come, one step for each partition that moved; what cannot be decoded is left out.

        Raises:
            KafkaError: the broker does not answer; the same is read again then.
            RegistryError: the schema registry has to be asked, and does not answer.
        """
        fetched = self._poll(timeout_ms)
        for place, before in list(self._places.items()):
            after = self._consumer.position(place, timeout_ms=_ANSWER_MS)
            if after is None or after == before:
                continue
            records = fetched.get(place)
            events = self._decoded(place, records) if records else None
            self._places[place] = after
            yield Step(place.partition, events, after)

    def is_behind(self) -> list[int]:
        """Partitions that have more to read now. The broker is asked: what came with the last fetch of a partition may
        be older than what was read of another, and panes would close over events that stand on the topic already.

        Raises:
            KafkaError: the broker does not answer.
        """
        ends = self._consumer.end_offsets(list(self._places), timeout_ms=_ANSWER_MS)
        return [place.partition for place, at in self._places.items() if at < ends[place]]

    def close(self) -> None:
        """Let the connection go."""
        self._consumer.close(timeout_ms=1_000)

    def _poll(self, timeout_ms: int) -> dict[Any, list[Any]]:
        try:
            fetched: dict[Any, list[Any]] = poll_past(
                lambda: self._consumer.poll(timeout_ms=timeout_ms), self._consumer, self._client, self._skip
            )
        except OffsetOutOfRangeError:  # retention has overtaken us: what is gone is gone
            beginnings = self._consumer.beginning_offsets(list(self._places), timeout_ms=_ANSWER_MS)
            for place, offset in self._places.items():
                if offset < beginnings[place]:
                    self._say(
                        f"shadow: {place.topic}/{place.partition} is deleted up to offset {beginnings[place]:,}: it is "
                        "read on from there"
                    )
                    self._consumer.seek(place, beginnings[place])
            return {}
        return fetched

    def _decoded(self, place: Any, records: list[Any]) -> EventBatch:
        offsets = np.array([record.offset for record in records], dtype=np.int64)
        values = [record.value for record in records]
        if self._registry is not None:
            self._registry.supply(self._decoder.schemas, values)
        events, _ = self._decoder.decode(RawBatch(place.topic, place.partition, offsets, values))
        return self._times.read(events)

    def _skip(self, place: Place) -> None:
        (topic, number), offset, why = place
        self._say(f"shadow: {topic}/{number}@{offset} is left out: {why}")
