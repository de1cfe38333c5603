"""A sample of what is on a topic: the newest events of each partition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from stream_app.config import KafkaConfig
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import reading
from stream_app.kafka.probes import require_reachable
from stream_app.kafka.reading import end_of, read_to_end, reader
from stream_app.kafka.types import ConsumerRecord
from stream_app.setup.sampling import Sample, is_json_object

RECORDS = 20_000
"""Most events of a sample, over all partitions."""
_SHARE = 0.5
_ANSWER_MS = 10_000


@dataclass(frozen=True, slots=True)
class Sampled:
    """Records of a topic.

    Attributes:
        records: the newest ones, partition by partition, each in order.
        partitions: of the topic.
        ends: offset after the last record that can be read, by partition.
        begins: offset of the first one that is still there.
    """

    records: list[ConsumerRecord]
    partitions: int
    ends: dict[int, int]
    begins: dict[int, int]

    @property
    def total(self) -> int:
        """Records that are on the topic."""
        return sum(self.ends[number] - self.begins[number] for number in self.ends)


def sample_topic(kafka: KafkaConfig, root: str, topic: str, most: int = RECORDS) -> Sampled:
    """Read the newest records of a topic, outside any consumer group.

    Raises:
        DriftflowError: there is no such topic, or the broker refuses or does not answer.
    """
    client = client_settings(kafka, root) | reading(kafka)
    require_reachable(kafka)
    with reader(client, topic) as (consumer, partitions):
        if not partitions:
            raise DriftflowError(f"topic {topic} does not exist: look at its name, and at kafka.bootstrap")
        first = consumer.beginning_offsets(partitions, timeout_ms=_ANSWER_MS)
        records, ends, begins = list[ConsumerRecord](), dict[int, int](), dict[int, int]()
        for tp in partitions:
            consumer.assign([tp])
            begins[tp.partition] = int(first[tp])
            consumer.seek(tp, begins[tp.partition])
            end = end_of(consumer, tp)
            share = -(-most // len(partitions))
            start = max(begins[tp.partition], end - share)
            ends[tp.partition] = end
            if end > start:
                consumer.seek(tp, start)
                records += islice(read_to_end(consumer), share)
    return Sampled(records, len(partitions), ends, begins)


def as_rows(sampled: Sampled, topic: str) -> tuple[Sample, str]:
    """The bodies as rows, and the format that they are in.

    Raises:
        DriftflowError: the topic is empty, or its bodies say no names of fields.
    """
    bodies = [record.value for record in sampled.records if record.value]
    if not bodies:
        raise DriftflowError(f"topic {topic} is empty: send events to it first, or use driftflow init --from-file")
    for name, read in _READERS.items():
        found = [(record.partition, read(record.value)) for record in sampled.records if record.value]
        rows = [(partition, row) for partition, row in found if row]
        if len(rows) > _SHARE * len(bodies):
            fields = [row for _, row in rows]
            runs = [partition for partition, _ in rows]
            return Sample(fields, runs, len(fields), False, "topic", len(bodies) - len(rows)), name
    raise DriftflowError(f"topic {topic} holds {_looks(bodies)}")


def _looks(bodies: Sequence[bytes]) -> str:
    framed = sum(body[0] == 0 and len(body) > 5 for body in bodies)
    template = "write a template with driftflow init, and in it"
    if framed > _SHARE * len(bodies):
        return f"bodies with the header of a schema registry: {template} event.format and schema_registry.url"
    sizes = {len(body) for body in bodies}
    if len(sizes) == 1 and min(sizes) % 4 == 0:
        return f"bodies of {min(sizes)} bytes each, rows of numbers perhaps: {template} event.format and event.layout"
    return f"no JSON objects and no MessagePack, such as {bodies[0][:40]!r}: {template} event.format"


def _msgpack(body: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.msgpack.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    return found if isinstance(found, dict) and all(isinstance(name, str) for name in found) else None


_READERS: dict[str, Callable[[bytes], dict[str, Any] | None]] = {"json": is_json_object, "msgpack": _msgpack}
