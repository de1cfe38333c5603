"""Signals to send, and to put into a file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from kafka import KafkaProducer

from schemas.codecs import Envelope, WireMessage, encode_event
from schemas.incidents import Incident
from schemas.records import Health, Record
from stream_app.config import Config
from tests.people import incident, silenced, strange

OPEN = incident("i-1", severity="warning")
WORSE = incident("i-1", number=2, state="update", reason="severity", severity="critical")
OVER = incident("i-2", state="resolve", reason="ended", severity="critical")
HUSHED = silenced(incident("i-3"))
STRANGE = strange()
FAILING = Health(stream="s", source="worker w", part="drainer", state="failing", says="no space is left", since_ms=5)
STORY: tuple[Record, ...] = (OPEN, OVER, HUSHED, STRANGE, WORSE, FAILING)


def messages(records: Iterable[Record], first: int = 0) -> list[WireMessage]:
    """Each as it is on the topic."""
    return [
        encode_event(Envelope(record, f"e-{number}", "/driftflow/s/judge", 3_600_000))
        for number, record in enumerate(records, first)
    ]


def send(config: Config, told: Iterable[tuple[int, WireMessage]]) -> None:
    """Put messages on partitions of the signals topic."""
    producer = KafkaProducer(bootstrap_servers=list(config.kafka.bootstrap))
    for partition, message in told:
        producer.send(config.topics.signals, message.value, partition=partition, headers=list(message.headers))
    producer.flush()
    producer.close()


def write(path: Path, told: Iterable[WireMessage], spaces: bool = True) -> Path:
    """A file as ``driftflow score --signals`` writes it."""
    with path.open("w") as file:
        for message in told:
            headers = {name: value.decode() for name, value in message.headers}
            line = {"partition": 0, **headers, "data": json.loads(message.value)}
            file.write(json.dumps(line, ensure_ascii=False, separators=None if spaces else (",", ":")) + "\n")
    return path


def ids(signals: Iterable[object]) -> list[str]:
    """Of the events."""
    return [signal.id for signal in signals]  # type: ignore[attr-defined]


def severities(signals: Iterable[object]) -> list[str]:
    """Of incidents."""
    return [signal.record.severity for signal in signals if isinstance(signal.record, Incident)]  # type: ignore[attr-defined]
