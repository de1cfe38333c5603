"""What driftflow uses of the objects of its Kafka clients: kafka-python and aiokafka ship no types of their own.

A name here states which attributes the code relies on, and lets mypy hold it to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, NotRequired, Protocol, TypedDict

from kafka.errors import KafkaError

from schemas.intake import RawHeaders

ClientSettings = dict[str, object]
"""Keyword arguments of a client of kafka-python or aiokafka."""

Headers = Sequence[tuple[str, bytes]]
"""Of a message to send, in this order; a name may stand more than once."""


class TopicPartition(NamedTuple):
    """A partition of a topic: equal to every client's own named tuple, and with the same hash.

    kafka-python's consumer takes its own kind only.
    """

    topic: str
    partition: int


class ConsumerRecord(Protocol):
    """A record as fetched; a value of None is a tombstone, ``timestamp`` is in milliseconds."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> RawHeaders: ...
    @property
    def timestamp(self) -> int | None: ...
    @property
    def timestamp_type(self) -> int: ...


class Sent(Protocol):
    """Where a message went that the broker has acknowledged."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


Fetched = Mapping[TopicPartition, Sequence[ConsumerRecord]]
"""Records by partition, each partition's in offset order."""


class Consumer(Protocol):
    """A kafka-python consumer that reads assigned partitions."""

    def partitions_for_topic(self, topic: str) -> set[int]: ...
    def assign(self, partitions: Sequence[TopicPartition]) -> None: ...
    def assignment(self) -> set[TopicPartition]: ...
    def poll(self, timeout_ms: int, max_records: int | None = None) -> Fetched: ...
    def seek(self, partition: TopicPartition, offset: int) -> None: ...
    def position(self, partition: TopicPartition, timeout_ms: int | None = None) -> int | None: ...
    def beginning_offsets(
        self, partitions: Sequence[TopicPartition], timeout_ms: int
    ) -> Mapping[TopicPartition, int]: ...
    def highwater(self, partition: TopicPartition) -> int | None: ...


class AsyncConsumer(Protocol):
    """An aiokafka consumer that reads assigned partitions."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def assignment(self) -> set[TopicPartition]: ...
    async def getmany(self, *, timeout_ms: int, max_records: int | None = None) -> Fetched: ...
    async def seek_to_beginning(self) -> object: ...
    async def position(self, partition: TopicPartition) -> int: ...
    def highwater(self, partition: TopicPartition) -> int | None: ...
    def last_stable_offset(self, partition: TopicPartition) -> int | None: ...


class TopicDescription(TypedDict):
    """What a broker says of a topic. ``authorized_operations`` is None where the broker keeps no rights, ``topic_id``
    where it gives its topics none.
    """

    name: str
    error_code: int
    partitions: Sequence[object]
    topic_id: NotRequired[object]
    authorized_operations: Sequence[str] | None


class TopicAnswer(TypedDict):
    """What a broker answers to a request to create a topic."""

    name: str
    error_code: int
    error_message: str | None


class PartitionAnswer(Protocol):
    """What a broker answers to a request to enlarge a topic."""

    @property
    def name(self) -> str: ...
    @property
    def error_code(self) -> int: ...
    @property
    def error_message(self) -> str | None: ...


class PartitionAnswers(Protocol):
    """One answer a topic."""

    @property
    def results(self) -> Iterable[PartitionAnswer]: ...


class Found(Protocol):
    """An offset that was asked for."""

    @property
    def offset(self) -> int: ...


class Admin(Protocol):
    """A kafka-python admin client."""

    def describe_topics(self, topics: Iterable[str]) -> Iterable[TopicDescription]: ...
    def describe_cluster(self) -> Mapping[str, object]: ...
    def create_topics(
        self, new_topics: Sequence[object], *, validate_only: bool, raise_errors: bool
    ) -> Mapping[str, Iterable[TopicAnswer]]: ...
    def create_partitions(
        self, topic_partitions: Mapping[str, int], *, validate_only: bool, raise_errors: bool
    ) -> PartitionAnswers: ...
    def describe_configs(
        self, config_resources: Sequence[object], *, config_filter: str
    ) -> Mapping[str, Mapping[str, Mapping[str, Mapping[str, str]]]]: ...
    def list_partition_offsets(self, specs: Mapping[object, object]) -> Mapping[tuple[str, int], Found]: ...
    def wait_for_topics(self, topic_names: Sequence[str]) -> None: ...
    def remove_group_members(self, group_id: str, members: Sequence[object]) -> Mapping[object, type[KafkaError]]: ...
    def close(self) -> None: ...
