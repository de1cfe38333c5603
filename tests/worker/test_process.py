"""A worker process ends when it is told to, and with 1 and a sentence when it fails."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from stream_app.config import Config
from stream_app.errors import PreflightError
from stream_app.kafka.preflight import Check
from stream_app.kafka.types import TopicPartition
from stream_app.stages.decisions import Activated, encode
from stream_app.stages.outputs import Point
from stream_app.worker.process import run_worker
from stream_app.worker.status import Status, read_status

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

    def __init__(self, play: Play, spool: Any) -> None:
        self.app, self.ready = App(play), asyncio.Event()
        self.settled, self.spool = 0, spool

    def progress(self) -> dict[TopicPartition, tuple[int, int]]:
        """One partition with lag."""
        return {TopicPartition("e", 0): (self.settled, 9)}

    def status(self) -> Status:
        """How far it is."""
        return Status(pending=self.settled)


class Rig:
    """Runs a worker process in this one, without a broker."""

    def __init__(self, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
        self.config = config
        self.workers: list[Worker] = []
        self.options: list[tuple[Any, ...]] = []
        self._patch = monkeypatch
        monkeypatch.setattr("stream_app.worker.process.prepare", lambda config: config)

    def run(self, play: Play, **options: Any) -> None:
        """Until it ends."""

        def make(config: Config, store: Any, spool: Any, only: str | None, replay: bool) -> Worker:
            self.options.append((only, replay, store.decisions()))
            self.workers.append(Worker(play, spool))
            return self.workers[-1]

        self._patch.setattr("stream_app.worker.process.Worker", make)
        run_worker(self.config, checked=False, **options)


@pytest.fixture
def rig(config: Config, monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(config, monkeypatch)


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


def test_an_app_that_crashes_ends_it_with_1_and_a_sentence(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    async def play(app: App) -> None:
        await app.crash(OSError("the disk is gone"))

    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit) as ending:
        rig.run(play)
    assert ending.value.code == 1
    assert "The worker failed: the disk is gone" in caplog.text
    assert rig.workers[0].app.calls[-1] == "stop"


def test_a_status_that_cannot_be_written_ends_it(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    async def play(app: App) -> None:
        monkeypatch.setattr("stream_app.worker.status.os.replace", full)

    monkeypatch.setattr("stream_app.worker.process.STATUS_S", 0.01)
    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit):
        rig.run(play)
    assert "The worker failed: no space left on device" in caplog.text


def test_a_partition_that_stalls_ends_it(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(app: App) -> None:
        rig.workers[0].ready.set()

    monkeypatch.setattr("stream_app.worker.process.STATUS_S", 0.01)
    monkeypatch.setattr("stream_app.worker.progress.STALL_S", 0.05)
    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit):
        rig.run(play)
    assert "The worker failed: no progress for" in caplog.text
    assert "records to read on e/0" in caplog.text


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
    monkeypatch.setattr("stream_app.worker.process.preflight", lambda config, role: checks)
    with pytest.raises(PreflightError, match="FAILED login: user 'x' was refused; check the password"):
        run_worker(config)
    assert not config.path(config.state.dir).exists()
