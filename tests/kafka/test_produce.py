"""A file goes onto the events topic in order, in its own time, and no error is swallowed."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError
from rich.console import Console

from stream_app.config import Config
from stream_app.errors import DriftflowError, Interrupted, TooManyDropped
from stream_app.kafka.produce import produce_file, run_produce
from stream_app.stages.partitioning import partition_for
from tests.kafka.fakes import Clock
from tests.worker.making import make_config

Names = Callable[[str], str]
START_MS = 1_700_000_000_000
EVENT = {"time_format": "epoch_ms"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Ten events, a second apart; the fourth has no time."""
    rows = [{"time": START_MS + 1_000 * i, "x": i, "y": 0.5, "place": "ab"[i % 2]} for i in range(10)]
    rows[3]["time"] = "at some time"
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Pending:
    """What a producer gives for a message."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    def add_errback(self, call: Callable[[BaseException], None]) -> None:
        """The broker refuses at once, where it refuses."""
        if self._error is not None:
            call(self._error)


class Producer:
    """A producer that takes note of what it is given, and when.

    Attributes:
        sent: event and time by the clock.
        refuse: the broker refuses the event with this x.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.sent: list[tuple[int, float]] = []
        self.refuse = -1
        self.flush_error: Exception | None = None
        self.closed = False

    def send(self, topic: str, key: Any, value: bytes, partition: int) -> Pending:
        """Take it."""
        x = json.loads(value)["x"]
        self.sent.append((x, self._clock.now_s))
        return Pending(MessageSizeTooLargeError() if x == self.refuse else None)

    def flush(self, timeout: float) -> None:
        """All is on its way."""
        if self.flush_error is not None:
            raise self.flush_error

    def close(self, timeout: float) -> None:
        """Let go."""
        self.closed = True


@pytest.fixture
def config() -> Config:
    return make_config("127.0.0.1:9092", "s", event=EVENT)


@pytest.fixture
def producer(config: Config, monkeypatch: pytest.MonkeyPatch) -> Producer:
    """The producer of a broker that has the topics."""
    clock = Clock()
    fake = Producer(clock)
    monkeypatch.setattr("stream_app.kafka.produce.time", clock)
    monkeypatch.setattr("stream_app.kafka.produce.ensure_topics", lambda _: {config.topics.events: 2})
    monkeypatch.setattr("stream_app.kafka.produce.KafkaProducer", lambda **_: fake)
    return fake


def test_a_file_arrives_in_order_on_the_partitions_of_its_keys(
    broker: tuple[str, str], unique: Names, file: Path
) -> None:
    config, err = make_config(broker[1], unique("produce"), event=EVENT), io.StringIO()
    run_produce(config, file, None, Console(file=err, width=200))
    consumer = KafkaConsumer(bootstrap_servers=broker[1], auto_offset_reset="earliest", consumer_timeout_ms=2_000)
    consumer.assign([TopicPartition(config.topics.events, number) for number in range(2)])
    arrived: dict[int, list[int]] = {0: [], 1: []}
    for message in consumer:
        arrived[message.partition].append(json.loads(message.value)["x"])
    consumer.close()
    expected = {0: [], 1: []}  # type: dict[int, list[int]]
    for x in range(10):
        expected[partition_for(b"ab"[x % 2 : x % 2 + 1], 2, x)].append(x)
    assert arrived == expected
    assert f"10 events on {config.topics.events}: partition" in err.getvalue()


def test_a_span_is_half_open_and_rows_without_a_time_go_along(config: Config, producer: Producer, file: Path) -> None:
    counts = produce_file(config, file, start_ms=START_MS + 2_000, end_ms=START_MS + 6_000)
    assert [x for x, _ in producer.sent] == [2, 3, 4, 5]
    assert sum(counts.values()) == 4
    assert producer.closed


def test_event_time_runs_as_fast_as_it_is_told(config: Config, producer: Producer, file: Path) -> None:
    produce_file(config, file, speedup=2.0)
    times = [round(time_s, 3) for x, time_s in producer.sent if x != 3]
    assert times == [0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]


@pytest.mark.parametrize(("id_field", "then"), [("", "they count twice, since no event"), ("x", "as duplicates")])
def test_ctrl_c_says_how_many_are_sent_and_what_sending_again_does(
    producer: Producer, file: Path, monkeypatch: pytest.MonkeyPatch, id_field: str, then: str
) -> None:
    config = make_config("127.0.0.1:9092", "s", event=EVENT | {"id_field": id_field})
    send = producer.send

    def interrupted(topic: str, key: Any, value: bytes, partition: int) -> Pending:
        if len(producer.sent) == 4:
            raise KeyboardInterrupt
        return send(topic, key, value, partition)

    monkeypatch.setattr(producer, "send", interrupted)
    monkeypatch.setattr("stream_app.kafka.produce.preflight", lambda *_: [])
    with pytest.raises(Interrupted, match=rf"^interrupted: 4 of 10 rows are on s\..*; .*{then}"):
        run_produce(config, file, None, Console(quiet=True))
    assert producer.closed


def test_without_pace_nothing_waits(config: Config, producer: Producer, file: Path) -> None:
    produce_file(config, file)
    assert [time_s for _, time_s in producer.sent] == [0.0] * 10


def test_every_event_with_a_time_is_held(config: Config, producer: Producer, file: Path) -> None:
    held: list[int] = []
    produce_file(config, file, hold=held.append)
    assert held == [START_MS + 1_000 * i for i in range(10) if i != 3]


def test_progress_is_told_at_the_end(config: Config, producer: Producer, file: Path) -> None:
    told: list[int] = []
    produce_file(config, file, progress=told.append)
    assert told == [10]


def test_nothing_is_sent_after_an_event_that_was_refused(config: Config, producer: Producer, file: Path) -> None:
    producer.refuse = 4
    with pytest.raises(DriftflowError, match=r"the broker refused an event on s.events: .*MessageSizeTooLarge"):
        produce_file(config, file)
    assert [x for x, _ in producer.sent] == [0, 1, 2, 3, 4]
    assert producer.closed


def test_the_last_event_counts_too(config: Config, producer: Producer, file: Path) -> None:
    producer.refuse = 9
    with pytest.raises(DriftflowError, match="the broker refused an event"):
        produce_file(config, file)


def test_a_broker_that_goes_away_ends_in_a_sentence(config: Config, producer: Producer, file: Path) -> None:
    producer.flush_error = KafkaTimeoutError("60 s")
    with pytest.raises(DriftflowError, match=r"cannot send to s.events: .*60 s"):
        produce_file(config, file)
    assert producer.closed


def test_what_can_be_read_is_sent_and_the_rest_is_told(
    config: Config, producer: Producer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_app.kafka.produce.preflight", lambda *_: [])
    rows = [f"{START_MS + 1_000 * i},{i},0.5,a" for i in range(10)]
    rows[3], rows[6] = f"{rows[3]},1", rows[6].replace("a", '"a')
    path, err = tmp_path / "Events.CSV", io.StringIO()
    path.write_text("\n".join(["time,x,y,place", *rows]))
    with pytest.raises(TooManyDropped, match=r"2 of 10 rows of .*Events\.CSV were dropped, 20\.00%"):
        run_produce(config, path, None, Console(file=err, width=200))
    assert [x for x, _ in producer.sent] == [0, 1, 2, 4, 5, 7, 8, 9]
    assert "8 events on s.events" in err.getvalue()
    assert "line 5: 5 cells, the header has 4" in err.getvalue()
    assert "line 8: a quote that is not closed" in err.getvalue()
    run_produce(config, path, None, Console(file=err), max_dropped=0.2)
    with pytest.raises(DriftflowError, match=r"cannot be read whole: 1 unreadable.*line 5: "):
        produce_file(config, path)


def test_a_cut_file_is_sent_as_far_as_it_goes_and_then_told(
    config: Config, producer: Producer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_app.kafka.produce.preflight", lambda *_: [])
    chance = random.Random(1)
    rows = [json.dumps({"time": START_MS, "x": i, "noise": chance.randbytes(30).hex()}) for i in range(500)]
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(rows).encode())[:-2_000])
    with pytest.raises(DriftflowError, match=r"events\.jsonl\.gz ends early .*: the \d+ rows before were used"):
        run_produce(config, path, None, Console(quiet=True))
    assert [x for x, _ in producer.sent] == list(range(len(producer.sent)))
    assert 400 < len(producer.sent) < 500
