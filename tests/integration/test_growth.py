"""The events topic gets partitions while two workers run: they are taken up, written down, and can be repeated."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from schemas.codecs import Envelope, encode_event
from schemas.records import RetrainRequest, record_id
from stream_app.config import load
from stream_app.disk import read_lines
from stream_app.kafka.clients import client_settings
from stream_app.models.keys import request_key
from stream_app.models.signing import sign
from stream_app.stages.decisions import DECODER, Joined
from stream_app.stages.partitioning import judge_signals, score_signals, signals_size, trainer_signals
from stream_app.worker.losses import RULE
from tests.forked import driftflow
from tests.integration.stream import Signal, Stream

WIDTH, GROWN = 2, 4


class GrowingStream(Stream):
    """A stream that begins with two partitions, and clients that look for new ones every second."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.change("partitions = 4", f"partitions = {WIDTH}")
        self.change("session_timeout", 'metadata_max_age = "1s"\nsession_timeout')

    def change(self, old: str, new: str) -> None:
        """Edit the configuration."""
        self.toml.write_text(self.toml.read_text().replace(old, new))
        self.config = load(self.toml)

    def resize(self, topic: str, partitions: int) -> None:
        """Add partitions to a topic."""
        with KafkaAdminClient(bootstrap_servers=self.config.kafka.bootstrap) as admin:
            admin.create_partitions({topic: partitions})

    def joins(self) -> list[Joined]:
        """Decisions to wait for another source partition."""
        path = self.folder / "state" / "decisions.jsonl"
        return [decision for decision in read_lines(path, DECODER, "") if isinstance(decision, Joined)]

    def check_conservation(self) -> None:
        """Every event that was sent is accounted for, once."""
        status = self.status()
        accounted = sum(status[name] for name in ("windowed", "late", "rejected", "duplicate"))
        assert status["received"] == accounted == self.sent


@pytest.fixture
def grown(tmp_path: Path, kafka: str, unique: Callable[[str], str], models: Path) -> Iterator[GrowingStream]:
    stream = GrowingStream(tmp_path / "air", kafka, unique("grown"))
    stream.adopt(models)
    yield stream
    stream.kill()


def writers(stream: Stream) -> dict[int, set[str]]:
    """Who has written to each signals partition."""
    table = stream.signals()
    return {n: {dict(headers)["ce_source"].decode() for headers, _ in part} for n, part in table.items()}


def of_workers(stream: Stream) -> dict[int, list[Signal]]:
    return {n: part for n, part in stream.signals().items() if n != trainer_signals(WIDTH)}


def hotter(value: bytes | None) -> bytes:
    """An event of a world that has changed, by so much that there are incidents, whatever the model."""
    event = msgspec.json.decode(value or b"{}")
    return msgspec.json.encode({**event, "TEMP": float(event["TEMP"] or 0.0) + 25.0})


def changed(stream: GrowingStream, example: Path) -> list[tuple[bytes | None, bytes | None]]:
    """The example, hotter from its middle on."""
    rows = stream.rows(example)
    return [(key, value if n < len(rows) // 2 else hotter(value)) for n, (key, value) in enumerate(rows)]


def grow(stream: GrowingStream, example: Path) -> None:
    """A third of the events on two partitions, the rest on four; a few of them before the workers know of the new."""
    rows = changed(stream, example)
    stream.publish()
    stream.produce(rows[: len(rows) // 3])
    for _ in range(2):
        stream.start_worker()
    stream.wait(lambda: stream.owners() == 2, "two workers to share the partitions")
    stream.wait_until_done()
    stream.resize(stream.config.topics.events, GROWN)
    stream.produce(rows[len(rows) // 3 : len(rows) // 3 + 40])
    stream.wait(lambda: len(stream.joins()) == WIDTH * (GROWN - WIDTH), "WATCH to wait for the new partitions")
    stream.produce(rows[len(rows) // 3 + 40 :])
    stream.wait_until_done()


@pytest.mark.timeout(400)
def test_new_partitions_are_taken_up_and_stay_so(grown: GrowingStream, example: Path, kafka: str) -> None:
    """While two workers run; then a restart and a trainer take what has grown as it is."""
    grow(grown, example)
    grown.stop()
    grown.check_conservation()
    assert {(join.partials_partition, join.partition) for join in grown.joins()} == {(0, 2), (0, 3), (1, 2), (1, 3)}
    assert all(join.from_ms > 0 for join in grown.joins())
    told = [json.loads(line) for line in grown.command("incidents", "--all", "--format", "json").splitlines()]
    assert {one["detector"] for one in told if one["rules"] == [RULE]} == {"grown"}
    assert "ERROR" not in grown.log()
    score = {score_signals(p, WIDTH): {f"/driftflow/air/score/{p}"} for p in range(GROWN)}
    of_processes = {trainer_signals(WIDTH): {"/driftflow/air/worker"}}
    assert writers(grown) == score | {judge_signals(WIDTH): {"/driftflow/air/judge"}} | of_processes
    assert repeated(grown, example, kafka) == of_workers(grown)
    check_restart(grown, example)
    check_trainer(grown)


def repeated(stream: GrowingStream, example: Path, kafka: str) -> dict[int, list[Signal]]:
    """What a worker says that is given the decisions, on the same events."""
    again = GrowingStream(stream.folder / "again", kafka, f"{stream.name}-again")
    again.change(f'events = "{again.name}.events"', f'events = "{stream.config.topics.events}"')
    again.adopt(stream.folder)
    again.sent = stream.sent
    with KafkaAdminClient(bootstrap_servers=kafka) as admin:
        admin.create_topics({again.config.topics.partials: {"num_partitions": WIDTH, "replication_factor": 1}})
    again.publish()
    try:
        again.start_worker("--decisions", str(stream.decisions()))
        again.wait_until_done()
        again.stop()
    finally:
        again.kill()
    again.check_conservation()
    return of_workers(again)


def check_restart(grown: GrowingStream, example: Path) -> None:
    before = (grown.folder / "worker.log").read_text()
    grown.resize(grown.config.topics.partials, 3)  # of no use, and no harm
    grown.start_worker()
    grown.produce(grown.rows(example)[-40:])
    grown.wait_until_done()
    grown.stop()
    grown.check_conservation()
    assert len(grown.joins()) == WIDTH * (GROWN - WIDTH)
    log = (grown.folder / "worker.log").read_text().removeprefix(before)
    assert "ERROR" not in log
    assert log.count("stays unused: slices are spread over the 2") == 1


def ask(grown: GrowingStream) -> None:
    """A request that names nothing to train on: it is answered by a refusal."""
    request = RetrainRequest(
        id=record_id("growth"),
        stream="air",
        reason="drift",
        slices=[],
        alerts=[],
        model_id="",
        requested_pane_ms=1,
        train=[],
        calibrate_from_ms=0,
    )
    unsigned = encode_event(Envelope(request, request.id, "/driftflow/air/operator/1", 1))
    message = sign(unsigned, request_key(grown.config))
    producer = KafkaProducer(**client_settings(grown.config.kafka))
    sent = producer.send(
        grown.config.topics.signals,
        key=b"k",
        value=message.value,
        headers=list(message.headers),
        partition=judge_signals(WIDTH),
    )
    sent.get(timeout=30)
    producer.close()


def check_trainer(grown: GrowingStream) -> None:
    trainer = driftflow("trainer", "-c", str(grown.toml), log=grown.folder / "worker.log")
    try:
        own = trainer_signals(WIDTH)
        ask(grown)
        grown.wait(lambda: "/driftflow/air/trainer" in writers(grown)[own], "an answer to a request")
        trainer.send_signal(signal.SIGTERM)
        assert trainer.wait(60) == 0
    finally:
        trainer.kill()
        trainer.wait()
    assert writers(grown)[own] == {"/driftflow/air/trainer", "/driftflow/air/worker"}
    assert max(writers(grown)) < signals_size(GROWN, WIDTH)
