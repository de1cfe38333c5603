"""Starts a worker process: preflight, topics, spool and drainer, Faust; stops them in the right order."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from pathlib import Path

from stream_app.config import Config
from stream_app.disk import read_lines
from stream_app.errors import DriftflowError
from stream_app.kafka.preflight import preflight, require
from stream_app.kafka.topics import prepare
from stream_app.sinks import make_sink
from stream_app.sinks.drainer import Drainer
from stream_app.sinks.spool import Spool
from stream_app.stages.decisions import DECODER, REMEDY
from stream_app.terminal import prepare_process
from stream_app.worker.agents import Worker
from stream_app.worker.progress import STALL_S, Watchdog
from stream_app.worker.state import StateStore
from stream_app.worker.status import StatusFile

log = logging.getLogger(__name__)

STATUS_S = 0.5
"""Time between two writes of the status, and between two looks at the progress."""

_DRAIN_S = 10.0


def run_worker(config: Config, only: str | None = None, decisions: Path | None = None, checked: bool = True) -> None:
    """Run the agents until SIGTERM or Ctrl-C.

    Args:
        config: the stream.
        only: ``score`` or ``watch`` to run one stage, None for both.
        decisions: file of the decisions to repeat.
        checked: look at the broker first (:func:`~stream_app.kafka.preflight.preflight`).

    Raises:
        DriftflowError: the worker cannot start; the message says why.
        SystemExit: with 1, where it fails later: its supervisor starts it again.
    """
    prepare_process()
    if checked:
        require(preflight(config, "worker"))
    config = prepare(config)
    store = StateStore(config)
    if decisions is not None:
        store.preset(read_lines(decisions, DECODER, REMEDY))
    spool = Spool(config.path(config.sink.spool), config.sink.spool_max_points)
    drainer = Drainer(spool, make_sink(config))
    drainer.start()
    try:
        failed = asyncio.run(_run(config, store, spool, only, replay=decisions is not None))
    finally:
        drainer.drain(_DRAIN_S)
        drainer.stop()
        spool.close()
    if failed:
        raise SystemExit(1)


async def _run(config: Config, store: StateStore, spool: Spool, only: str | None, replay: bool) -> bool:
    """Run a worker until it is told to stop or fails; True where it fails."""
    worker, file, stop = Worker(config, store, spool, only, replay), StatusFile(config), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    worker.app.finalize()
    await worker.app.start()
    endings = (stop.wait(), worker.app.wait_until_stopped(), _write_status(file, worker), _watch_progress(worker))
    tasks = [asyncio.ensure_future(ending) for ending in endings]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    failed = not stop.is_set()
    if failed:
        errors = [worker.app.crash_reason, *(task.exception() for task in done)]
        log.error("The worker failed: %s", next((error for error in errors if error is not None), "its app stopped"))
    else:
        file.write(worker.status())  # the file stays: it has to say how things stood at the end
    for task in tasks:
        task.cancel()
    await worker.app.stop()
    return failed


async def _watch_progress(worker: Worker) -> None:
    """Raise when a partition has stalled: a supervisor starts the worker again."""
    dog = Watchdog()
    while True:
        await asyncio.sleep(STATUS_S)
        stalled = dog.stalled(worker.progress() if worker.ready.is_set() else {}, time.monotonic())
        if stalled:
            raise DriftflowError(
                f"no progress for {STALL_S:.0f} s although there are records to read on "
                + ", ".join(f"{tp.topic}/{tp.partition}" for tp in stalled)
                + "; the worker ends so that it can be started again from its snapshots"
            )


async def _write_status(file: StatusFile, worker: Worker) -> None:
    while True:
        file.write(worker.status())
        await asyncio.sleep(STATUS_S)
