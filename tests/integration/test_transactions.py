"""A transactional producer: what it aborts is neither scored nor trained on, what it leaves open holds nobody up, and
its markers, offsets without records, are no lag.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from kafka import KafkaProducer

from schemas.intake import take_in
from schemas.records import Health, OffsetRange
from stream_app.kafka.clients import client_settings
from stream_app.kafka.reading import log_ends
from stream_app.kafka.signals import read_signals
from stream_app.kafka.topics import ensure_topics
from stream_app.stages.partitioning import partition_for
from stream_app.trainer.ranges import read_ranges
from tests.forked import Forked
from tests.integration.faulty import run
from tests.integration.stream import Stream

Row = tuple[bytes | None, bytes | None]
POISON = 999_999.0
"""In every row that is aborted, and in no other."""


class Sender:
    """A transactional producer of a stream's events."""

    def __init__(self, stream: Stream) -> None:
        self._topic, self.sent = stream.config.topics.events, 0
        self._partitions = ensure_topics(stream.config)[self._topic]
        self.producer = KafkaProducer(**client_settings(stream.config.kafka), transactional_id=stream.name)
        self.producer.init_transactions()

    def begin(self, rows: list[Row]) -> None:
        """Open a transaction and have these rows written in it."""
        self.producer.begin_transaction()
        for key, value in rows:
            place = partition_for(key, self._partitions, self.sent)
            self.producer.send(self._topic, key=key, value=value, partition=place)
            self.sent += 1
        self.producer.flush()

    def commit(self, rows: list[Row]) -> None:
        """A transaction of these rows."""
        self.begin(rows)
        self.producer.commit_transaction()

    def abort(self, rows: list[Row]) -> None:
        """A transaction of these rows that is given up."""
        self.begin(rows)
        self.producer.abort_transaction()


def poisoned(rows: list[Row]) -> list[Row]:
    def spoil(value: bytes | None) -> bytes:
        body: dict[str, Any] = msgspec.json.decode(value or b"{}")
        return msgspec.json.encode({**body, "TEMP": POISON})

    return [(key, spoil(value)) for key, value in rows]


@pytest.fixture
def stream(tmp_path: Path, kafka: str, unique: Callable[[str], str], models: Path) -> Iterator[Stream]:
    """On Apache Kafka: the embedded broker does not say what was aborted."""
    made = Stream(tmp_path, kafka, unique("transactions"))
    made.adopt(models)
    made.publish()
    yield made
    made.kill()


def everything(stream: Stream) -> list[OffsetRange]:
    """Every offset of the events topic, as a trainer would be asked for them."""
    topic, ends = stream.config.topics.events, log_ends(stream.config, client_settings(stream.config.kafka))
    return [
        OffsetRange(topic=topic, partition=n, start=0, end=end, start_ms=0, end_ms=10**14) for n, end in ends.items()
    ]


def test_what_a_transactional_producer_aborts_is_neither_scored_nor_trained_on(stream: Stream, example: Path) -> None:
    rows = stream.rows(example)[:6_000]
    sender = Sender(stream)
    for start in range(0, len(rows), 1_000):
        sender.abort(poisoned(rows[start : start + 300]))
        sender.commit(rows[start : start + 1_000])
    sender.abort(poisoned(rows[:50]))  # the log ends with aborted records and a marker
    worker = stream.start_worker()
    stream.wait(lambda: stream.received() == len(rows) and stream.status()["lag"] == 0, "no lag to be left")
    assert set(stream.status()["unread"].values()) == {0}
    assert worker.poll() is None
    stream.stop()
    status = stream.status()
    assert (status["received"], status["windowed"]) == (len(rows), len(rows)), "each row once, none of those aborted"
    batches = list(read_ranges(stream.config, everything(stream), client_settings(stream.config.kafka)))
    assert sum(map(len, batches)) == len(rows)
    assert max(float(np.nanmax(batch.numeric)) for batch in batches if len(batch)) < POISON


def test_who_asks_for_it_reads_what_is_not_committed(stream: Stream, example: Path) -> None:
    rows = stream.rows(example)[:200]
    Sender(stream).abort(poisoned(rows))
    kafka = msgspec.structs.replace(stream.config.kafka, isolation="read_uncommitted")
    config = msgspec.structs.replace(stream.config, kafka=kafka)
    batches = list(read_ranges(config, everything(stream), client_settings(kafka)))
    assert sum(map(len, batches)) == len(rows)


def test_a_transaction_that_stays_open_ends_no_worker(stream: Stream, example: Path) -> None:
    """The watchdog has eight seconds here, and the transaction is open for more than twice that."""
    rows = stream.rows(example)[:2_000]
    sender = Sender(stream)
    sender.commit(rows[:1_000])
    sender.begin(rows[1_000:1_500])
    stream.produce(rows[1_500:])  # behind it: committed, and held back
    worker = Forked(run, "watchdog is impatient", str(stream.toml), log=stream.folder / "worker.log")
    stream.workers.append(worker)
    stream.wait(lambda: _open_s(stream) > 17 and stream.status()["lag"] == 0, "the transaction to be open for long")
    assert worker.poll() is None, stream.log()
    assert stream.received() == 1_000
    sender.producer.commit_transaction()
    stream.wait(lambda: stream.received() == len(rows), "what was held back")
    stream.wait(lambda: _open_s(stream) == 0 and health_of(stream)[-1][1] == "ok", "all to be well")
    stream.stop()
    assert stream.status()["windowed"] + stream.status()["late"] == len(rows)
    told = [state for part, state in health_of(stream) if part == health_of(stream)[0][0]]
    assert told == ["failing", "ok"], "on the signals topic, once each"


def _open_s(stream: Stream) -> int:
    """For how long the status says that a transaction is open."""
    failing = stream.status().get("failing", {})
    texts = [text for part, text in failing.items() if part.startswith(f"transaction {stream.config.topics.events}/")]
    return max((int(re.search(r"is open for (\d+) s", text)[1]) for text in texts), default=0)  # type: ignore[index]


def health_of(stream: Stream) -> list[tuple[str, str]]:
    """Part and state of each health message on transactions, in order."""
    signals = read_signals(stream.config)
    taken = [take_in("signals", stream.config.stream, signal.value, signal.headers) for signal in signals]
    return [(r.part, r.state) for r in taken if isinstance(r, Health) and r.part.startswith("transaction ")]
