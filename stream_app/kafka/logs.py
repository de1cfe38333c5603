"""Which log a partition has: a topic that was deleted and made again has the same name, and its offsets begin anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kafka import TopicPartition as Partition
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaError, NoError, for_code

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.retrying import retried, told
from stream_app.kafka.topics import describe
from stream_app.kafka.types import Admin, TopicPartition

_ANSWER_MS = 10_000
_NO_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Log:
    """A partition's log as the broker tells of it.

    Attributes:
        topic_id: of its topic (KIP-516): another one is another topic. "" of a broker that gives none.
        start: first offset that there is, or will be: retention moves it on.
    """

    topic_id: str
    start: int


def look(config: Config, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Log]:
    """The logs of some partitions; those that do not exist now are left out.

    Raises:
        DriftflowError: the broker does not answer.
    """
    wanted = sorted(set(partitions))
    if not wanted:
        return {}
    try:
        with _admin(config) as admin:
            found = describe(admin, sorted({tp.topic for tp in wanted}))
            ids = {
                name: str(topic.get("topic_id") or "")
                for name, topic in found.items()
                if for_code(topic["error_code"]) is NoError
            }
            there = [tp for tp in wanted if tp.partition < len(found[tp.topic]["partitions"]) and tp.topic in ids]
            starts = retried(lambda: _starts(admin, there))
    except KafkaError as error:
        where = ", ".join(config.kafka.bootstrap)
        raise DriftflowError(f"the broker at {where} does not say where its logs begin: {told(error)}") from error
    return {tp: Log(ids[tp.topic].replace(_NO_ID, ""), start) for tp, start in starts.items()}


def _starts(admin: Admin, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    asked = {Partition(*tp): OffsetSpec.EARLIEST for tp in partitions}
    answers = admin.list_partition_offsets(asked) if asked else {}
    return {TopicPartition(*tp): answer.offset for tp, answer in answers.items()}


@contextmanager
def _admin(config: Config) -> Iterator[Admin]:
    admin = KafkaAdminClient(
        **client_settings(config.kafka, config.root), bootstrap_timeout_ms=_ANSWER_MS, request_timeout_ms=_ANSWER_MS
    )
    try:
        yield admin
    finally:
        admin.close()
