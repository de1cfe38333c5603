"""Starts a worker process: preflight, topics, spool and drainer, Faust; stops them in the right order, in time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stream_app.config import Config
from stream_app.disk import LEFTOVER, LEFTOVER_S, read_lines, remove_old
from stream_app.errors import DriftflowError, SinkError
from stream_app.guard import Guard, described
from stream_app.kafka.preflight import preflight, require
from stream_app.models.keys.checks import require_keys
from stream_app.models.keys.waiting import wait_for_trusted
from stream_app.monitor.tracing import traced
from stream_app.sinks import make_sink
from stream_app.sinks.drainer import Drainer
from stream_app.sinks.spool import Spool
from stream_app.stages.decisions import DECODER, REMEDY
from stream_app.terminal import prepare_process
from stream_app.worker.breaks import Breaks
from stream_app.worker.health import Telling
from stream_app.worker.memory import keep_flat
from stream_app.worker.monitoring import Monitoring
from stream_app.worker.noticing import Noticing
from stream_app.worker.opening import open_state
from stream_app.worker.progress import STALL_S, Watchdog
from stream_app.worker.status import Status, StatusFile, left_failing
from stream_app.worker.supervision import Parts, sentences_only, watch_loop

if TYPE_CHECKING:
    from stream_app.worker.agents import Worker

log = logging.getLogger(__name__)

STATUS_S = 0.5
"""Time between two writes of the status, and between two looks at the progress."""

_START_S = 90.0
"""How long the broker may take to answer all questions before the start, and then to let the worker in."""

ADOPT_S = 10.0
"""How often a worker looks at what former ones have left failing: each has left a file, of a day there may be many."""

HEALTH_S = 10.0
"""How long the broker may take to take in a health message; then it is sent again."""

LAST_WORDS_S = 1.0
"""How long the broker may take to take in why the worker ends."""

_SPARE_S = 0.3
"""What is left of the time to stop in when the sink is not waited for any longer."""


def run_worker(config: Config, only: str | None = None, decisions: Path | None = None, checked: bool = True) -> None:
    """Run the agents until SIGTERM or Ctrl-C.

    Args:
        config: the stream.
        only: ``score``, ``watch`` or ``judge`` to run one stage, None for all.
        decisions: file of the decisions to repeat.
        checked: look at the broker first (:func:`~stream_app.kafka.preflight.preflight`).

    Raises:
        DriftflowError: the worker cannot start, or has failed; the message says why.
    """
    prepare_process()
    keep_flat()
    with Guard(config.worker.stop_within.seconds) as guard, _late_collector():
        wait_for_trusted(config)
        require_keys(config, "worker")
        with guard.limit(f"the broker at {', '.join(config.kafka.bootstrap)} has not answered", _START_S):
            if checked:
                require(preflight(config, "worker"))
            threading.Thread(target=_import_agents, name="imports").start()
            config, store = open_state(config)
        _tidy(config)
        if decisions is not None:
            store.preset(read_lines(decisions, DECODER, REMEDY))
        spool = Spool(config.path(config.sink.spool), config.sink.spool_max_points)
        drainer = Drainer(spool, make_sink(config))
        drainer.start()
        try:
            from stream_app.worker.agents import Worker  # what is wrong before this is told without waiting for it

            worker = Worker(config, store, spool, Parts(guard), only, replay=decisions is not None)
            gc.freeze()  # what is here stays
            gc.enable()
            monitoring = Monitoring(config, guard, drainer, worker.meter, worker.ready.is_set)
            with sentences_only(guard), traced(config, worker.meter, "worker"), monitoring.serving():
                asyncio.run(_Run(config, worker, spool, drainer, guard, monitoring).until_the_end())
        except (Exception, SystemExit) as error:  # what Faust's supervisors raise where they give up
            guard.fail(described(error))
        finally:
            with contextlib.suppress(DriftflowError):
                store.close()
            _deliver(drainer, spool, guard)


@contextlib.contextmanager
def _late_collector() -> Iterator[None]:
    """Without the garbage collector to begin with: while modules are imported it finds nothing, and takes a fifth of
    the time until the first score.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()


def _import_agents() -> None:
    """Import what computes, PyTorch among it, while the broker is waited for: it takes longer than all else before the
    first score.
    """
    importlib.import_module("stream_app.worker.agents")


def _tidy(config: Config) -> None:
    """Remove what processes that were killed have left."""
    keys = [
        config.path(key).parent
        for key in (config.worker.signing_key, *config.state.trusted_keys, *config.alerts.trusted_keys)
    ]
    for folder in {config.path(config.state.dir), config.path(config.trainer.registry), *keys}:
        remove_old(folder, LEFTOVER, time.time() - LEFTOVER_S)


def _deliver(drainer: Drainer, spool: Spool, guard: Guard) -> None:
    """Give the sink what time is left, when all else has ended in order, and say what stays in the spool."""
    guard.step("the sink")
    if guard.failure is None and not drainer.state.error:
        drainer.drain(max(guard.left_s() - 2 * _SPARE_S, 0.0))
    drainer.stop(max(guard.left_s() - _SPARE_S, 0.0))
    with contextlib.suppress(DriftflowError):
        if waiting := len(spool):
            log.warning("%d points wait in %s for the next start: the sink has not taken them", waiting, spool.path)
    spool.close()


class _Run:
    """One run of the event loop: the app, what writes the status, and what watches them."""

    def __init__(
        self, config: Config, worker: Worker, spool: Spool, drainer: Drainer, guard: Guard, monitoring: Monitoring
    ) -> None:
        self._worker, self._spool, self._drainer, self._monitoring = worker, spool, drainer, monitoring
        self._guard, self._parts = guard, worker.parts
        self._file = StatusFile(config)
        self._config, self._source = config, f"worker {socket.gethostname()}-{os.getpid()}"
        self._telling = Telling(config, self._source)
        self._noticing, self._noticed = Noticing(config.topics.events), set[str]()
        self._breaks = Breaks(config.topics.events)

    async def until_the_end(self) -> None:
        """Run until a signal comes or something fails, then stop the app."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        watch_loop(loop, self._parts)
        self._guard.step("the event loop")
        self._guard.on_end(lambda: loop.call_soon_threadsafe(ended.set))
        parts = {
            "event loop": self._beat,
            "Kafka": self._kafka,
            "status": self._write_status,
            "progress": self._look,
            "health": self._tell_health,
        }
        tasks = [asyncio.ensure_future(self._parts.keep(name, run)) for name, run in parts.items()]
        await ended.wait()
        for task in tasks:
            task.cancel()
        await self._say_last()
        with contextlib.suppress(Exception):  # whatever keeps it from being written, the rest has to be stopped
            self._file.write(self._status())  # the file stays: it has to say how things stood at the end
        await self._stop()

    async def _stop(self) -> None:
        """Stop fetching, make the last checkpoint, commit, leave the group; by force where that takes too long.

        What hangs here does not listen to a cancellation either, so nothing is waited for a second time.
        """
        self._guard.step("the last checkpoint and Kafka's client")
        stopping = asyncio.ensure_future(self._worker.app.stop())
        done, _ = await asyncio.wait({stopping}, timeout=self._guard.left_s())
        if not done:
            self._guard.force()
        if (error := stopping.exception()) is not None:
            self._parts.fail("stopping", error)
            self._guard.force()
        if (error := self._worker.app.crash_reason) is not None:
            self._parts.fail("Kafka", error)
        self._guard.step("the event loop")

    async def _kafka(self) -> None:
        """Faust: it has all agents and timers, and ends where one of its services fails."""
        app = self._worker.app
        app.finalize()
        starting = asyncio.ensure_future(app.start())
        done, _ = await asyncio.wait({starting}, timeout=_START_S)
        if not done:
            raise DriftflowError(f"the broker has not let the worker in for {_START_S:.0f} s: look at its log")
        starting.result()
        self._parts.beat("checkpoint")
        await app.wait_until_stopped()
        raise app.crash_reason or DriftflowError("it has stopped by itself")

    async def _beat(self) -> None:
        while True:
            self._parts.beat("event loop")
            await asyncio.sleep(STATUS_S)

    async def _write_status(self) -> None:
        while True:
            status = self._status()
            self._monitoring.note(status)
            self._file.write(status)
            self._parts.beat("status")
            await asyncio.sleep(STATUS_S)

    def _status(self) -> Status:
        status, spool = self._worker.status(), self._spool
        try:
            return msgspec.structs.replace(
                status,
                source=self._source,
                spooled=len(spool),
                set_aside=spool.kept_aside,
                sink_errors=self._drainer.state.errors,
                monitor=self._monitoring.url,
            )
        except SinkError as error:
            return msgspec.structs.replace(status, failing=status.failing | {"spool": str(error)})

    async def _look(self) -> None:
        """Raise when a partition has stalled or a thread is dead: a supervisor starts the worker again."""
        dog = Watchdog(STALL_S)
        while True:
            await asyncio.sleep(STATUS_S)
            goes_on = self._worker.ready.is_set() and not self._worker.schemas.waits
            stalled = dog.stalled(self._worker.progress() if goes_on else {}, time.monotonic())
            if stalled:
                raise DriftflowError(
                    f"no progress for {STALL_S:.0f} s although there are records to read on "
                    + ", ".join(f"{tp.topic}/{tp.partition}" for tp in stalled)
                )
            self._worker.poke()
            self._look_at_drainer()

    async def _tell_health(self) -> None:
        """Notice what only this process knows, and send what has changed of all that fails."""
        adopted_s = -math.inf
        while True:
            await asyncio.sleep(STATUS_S)
            self._parts.expire()
            wrong = self._noticing.look(self._worker.progress(), self._worker.written_ends(), time.monotonic())
            wrong |= self._breaks.look(self._status().counters)
            for part in self._noticed - wrong.keys():
                self._parts.note(part, "")
            for part, text in wrong.items():
                self._parts.note(part, text)
            self._noticed = set(wrong)
            if time.monotonic() - adopted_s >= ADOPT_S:
                self._telling.adopt(await asyncio.to_thread(left_failing, self._config))
                adopted_s = time.monotonic()
            for health in self._telling.due(self._status().failing, time.time_ns() // 1_000_000, time.monotonic()):
                if not await self._worker.tell_health(health, HEALTH_S):
                    break  # later: the broker is slow or away
                self._telling.told(health, time.monotonic())
            self._parts.beat("health")

    async def _say_last(self) -> None:
        """Why this worker ends, where it has failed: nobody reads the logs of a worker that is started again."""
        if self._guard.failure is not None:
            self._parts.note("worker", self._guard.failure)
            health = self._telling.last("worker", self._guard.failure, time.time_ns() // 1_000_000)
            with contextlib.suppress(Exception):
                await self._worker.tell_health(health, LAST_WORDS_S)

    def _look_at_drainer(self) -> None:
        state = self._drainer.state
        if not state.alive:
            raise DriftflowError("the thread that empties the spool is dead")
        self._parts.note("drainer", state.error)
