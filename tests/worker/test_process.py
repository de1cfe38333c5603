"""A worker process ends when it is told to, and with a sentence when it fails; tests/integration/test_failures.py has
the failures of a real one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.records import Health
from stream_app.config import Config
from stream_app.errors import DriftflowError, PreflightError, SinkError
from stream_app.kafka.preflight import Check
from stream_app.kafka.types import TopicPartition
from stream_app.monitor.meter import Meter
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.stages.decisions import Activated, encode
from stream_app.stages.outputs import Point
from stream_app.worker.files import FileStore
from stream_app.worker.process import run_worker
from stream_app.worker.status import Status, read_status
from stream_app.worker.supervision import Parts

Play = Callable[["App"], Awaitable[None]]


class App:
    """A Faust app that does what a test wants once it has started."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._stopped = asyncio.Event()
        self.crash_reason: BaseException | None = None
        self.calls: list[str] = []

    def finalize(self) -> None:
        """Faust's."""
        self.calls.append("finalize")

    async def start(self) -> None:
        """Up."""
        self.calls.append("start")
        self._task = asyncio.ensure_future(self._play(self))

    async def wait_until_stopped(self) -> None:
        """Until it crashes."""
        await self._stopped.wait()

    async def crash(self, reason: BaseException) -> None:
        """Faust stops the app."""
        self.crash_reason = reason
        self._stopped.set()

    async def stop(self) -> None:
        """Down."""
        self.calls.append("stop")


class Worker:
    """Stands in for the worker; counts how often its status was asked for."""

    def __init__(self, play: Play, spool: Any, parts: Parts) -> None:
        self.app, self.ready, self.parts = App(play), asyncio.Event(), parts
        self.settled, self.spool, self.meter = 0, spool, Meter()
        self.told: list[Health] = []
        self.schemas = SimpleNamespace(waits=False)

    def poke(self) -> None:
        """There is no thread of Kafka's consumer."""

    def progress(self) -> dict[TopicPartition, tuple[int, int]]:
        """One partition with lag."""
        return {TopicPartition("e", 0): (self.settled, 9)}

    def written_ends(self) -> dict[TopicPartition, int]:
        """As far as it may read."""
        return {TopicPartition("e", 0): 9}

    async def tell_health(self, health: Health, within_s: float) -> bool:
        """Take it."""
        self.told.append(health)
        return True

    def status(self) -> Status:
        """How far it is."""
        return Status(pending=self.settled, failing=dict(self.parts.failing))


class Rig:
    """Runs a worker process in this one, without a broker."""

    def __init__(self, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
        self.config = config
        self.workers: list[Worker] = []
        self.options: list[tuple[Any, ...]] = []
        self.patch = monkeypatch
        monkeypatch.setattr("stream_app.worker.process.open_state", lambda config: (config, FileStore(config)))
        monkeypatch.setattr("stream_app.worker.process.require_keys", lambda config, role: None)
        monkeypatch.setattr("stream_app.worker.process.wait_for_trusted", lambda config: None)
        monkeypatch.setattr("stream_app.worker.process.STATUS_S", 0.01)

    def run(self, play: Play, **options: Any) -> None:
        """Until it ends."""

        def make(config: Config, store: Any, spool: Any, parts: Parts, only: str | None, replay: bool) -> Worker:
            self.options.append((only, replay, store.decisions()))
            self.workers.append(Worker(play, spool, parts))
            return self.workers[-1]

        self.patch.setattr("stream_app.worker.agents.Worker", make)
        run_worker(self.config, checked=False, **options)


@pytest.fixture
def rig(config: Config, monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(config, monkeypatch)


def lose_sink(rig: Rig) -> None:
    """From now on the sink is away."""

    def away(self: SQLiteSink, batch: Any) -> None:
        raise SinkError("the server is away")

    rig.patch.setattr(SQLiteSink, "write", away)


async def stop_me(app: App) -> None:
    """What a supervisor does."""
    os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_ends_it_and_the_status_says_how_things_stood(rig: Rig) -> None:
    async def play(app: App) -> None:
        while not read_status(rig.config):
            await asyncio.sleep(0.01)
        rig.workers[0].settled = 7  # after the status of the start
        await stop_me(app)

    rig.run(play)
    assert rig.workers[0].app.calls == ["finalize", "start", "stop"]
    assert read_status(rig.config)["pending"] == 7


def test_an_app_that_crashes_ends_it_with_a_sentence(rig: Rig) -> None:
    async def play(app: App) -> None:
        await app.crash(OSError("the disk is gone"))

    with pytest.raises(DriftflowError, match=r"Kafka failed: OSError: the disk is gone at .*; the worker ends so that"):
        rig.run(play)
    assert rig.workers[0].app.calls[-1] == "stop"


def test_an_app_that_does_not_come_up_in_time_ends_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(app: App) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(App, "start", start)
    monkeypatch.setattr("stream_app.worker.process._START_S", 0.1)
    with pytest.raises(DriftflowError, match="the broker has not let the worker in for"):
        rig.run(stop_me)


def test_a_status_that_cannot_be_written_is_said_once_and_written_again(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_app.worker.supervision._BACKOFF_S", 0.01)

    async def play(app: App) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("stream_app.worker.status.os.replace", full)
            while not rig.workers[0].parts.failing:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
        while rig.workers[0].parts.failing:
            await asyncio.sleep(0.01)
        await stop_me(app)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "status.json")

    with caplog.at_level(logging.INFO):
        rig.run(play)
    said = [record.getMessage() for record in caplog.records if record.name.endswith("supervision")]
    assert said == [
        "status: status.json: No space left on device; it is tried again, and the rest goes on",
        "status works again",
    ]


def test_a_partition_that_stalls_ends_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(app: App) -> None:
        rig.workers[0].ready.set()

    monkeypatch.setattr("stream_app.worker.process.STALL_S", 0.05)
    with pytest.raises(DriftflowError, match=r"no progress for .* although there are records to read on e/0;"):
        rig.run(play)


def test_a_last_checkpoint_that_fails_is_a_failure_and_all_is_stopped(rig: Rig) -> None:
    async def play(app: App) -> None:
        app.crash_reason = DriftflowError("the spool is full")
        await stop_me(app)

    with pytest.raises(DriftflowError, match="Kafka failed: the spool is full"):
        rig.run(play)
    assert rig.workers[0].app.calls[-1] == "stop"


def test_what_killed_processes_have_left_is_removed(rig: Rig) -> None:
    leftovers = [rig.config.path(name) for name in ("state/shape.json.1a.new", "models/m.model.2b.new")]
    for path in leftovers:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        os.utime(path, (1_000, 1_000))
    rig.run(stop_me)
    assert not any(path.exists() for path in leftovers)


def test_points_that_the_sink_does_not_take_are_counted(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    async def play(app: App) -> None:
        lose_sink(rig)
        rig.workers[0].spool.append([Point("alerts", (), 5, (("n", 1),))])
        while read_status(rig.config).get("spooled") != 1:
            await asyncio.sleep(0.01)
        while "drainer" not in rig.workers[0].parts.failing:
            await asyncio.sleep(0.01)
        await stop_me(app)

    with caplog.at_level(logging.WARNING):
        rig.run(play)
    assert f"1 points wait in {rig.config.path(rig.config.sink.spool)} for the next start" in caplog.text
    assert read_status(rig.config)["failing"]["drainer"] == "the server is away"


def test_the_points_are_written_before_it_ends(rig: Rig) -> None:
    async def play(app: App) -> None:
        rig.workers[0].spool.append([Point("alerts", (("rule", "drift"),), 5, (("n", 1),))])
        await stop_me(app)

    rig.run(play)
    link = sqlite3.connect(rig.config.path(rig.config.sink.path))
    rows = link.execute("SELECT measurement FROM points").fetchall()
    link.close()
    assert rows == [("alerts",)]


def test_a_run_is_repeated_with_the_decisions_given(rig: Rig, tmp_path: Any) -> None:
    decisions = [Activated(0, 1_000, "m", "fused")]
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(b"".join(map(encode, decisions)))
    rig.run(stop_me, only="score", decisions=path)
    assert rig.options == [("score", True, decisions)]


def test_nothing_starts_on_a_broker_that_cannot_be_used(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [Check("login", False, "user 'x' was refused", "check the password")]
    monkeypatch.setattr("stream_app.worker.process.require_keys", lambda config, role: None)
    monkeypatch.setattr("stream_app.worker.process.wait_for_trusted", lambda config: None)
    monkeypatch.setattr("stream_app.worker.process.preflight", lambda config, role: checks)
    with pytest.raises(PreflightError, match="FAILED login: user 'x' was refused; check the password"):
        run_worker(config)
    assert not config.path(config.state.dir).exists()
