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
from stream_app.kafka.clients import client_settings, faust_broker, faust_credentials
from stream_app.kafka.preflight import preflight, require
from stream_app.kafka.topics import prepare
from stream_app.sinks import make_sink
from stream_app.sinks.spool import Drainer, Spool
from stream_app.stages.decisions import DECODER, REMEDY
from stream_app.terminal import prepare_process
from stream_app.worker.agents import Worker
from stream_app.worker.state import StateStore
from stream_app.worker.status import Status, StatusFile
from stream_app.worker.watchdog import STALL_S, Watchdog, lag_of

log = logging.getLogger(__name__)

STATUS_S = 0.5


def run_worker(config: Config, only: str | None = None, decisions: str | None = None, checked: bool = True) -> None:
    """Run the agents until SIGTERM, Ctrl-C or a failure (SystemExit 1, for a supervisor to restart).

    Args:
        config: the stream.
        only: ``score`` or ``watch`` to run one stage, None for both.
        decisions: file of the decisions to repeat.
        checked: look at the broker first (:func:`~stream_app.kafka.preflight.preflight`).
    """
    prepare_process()
    if checked:
        require(preflight(config, "worker"))
    config = prepare(config)
    store = StateStore(config)
    if decisions is not None:
        store.preset(read_lines(Path(decisions), DECODER, REMEDY))
    spool = Spool(config.path(config.sink.spool), config.sink.spool_max_points)
    drainer = Drainer(spool, make_sink(config))
    drainer.start()
    try:
        failed = asyncio.run(_serve(config, store, spool, only, decisions is not None))
    finally:
        drainer.drain(10.0)
        drainer.stop()
        spool.close()
    if failed:
        raise SystemExit(1)


async def _serve(config: Config, store: StateStore, spool: Spool, only: str | None, replay: bool) -> bool:
    settings = {
        "broker": faust_broker(config.kafka),
        "broker_credentials": faust_credentials(config.kafka, config.root),
    }
    client = client_settings(config.kafka, config.root)
    worker = Worker(config, config.topics.partitions, store, spool, settings, client, only, replay)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app = worker.app
    app.finalize()
    await app.start()
    file = StatusFile(config)
    tasks = [
        asyncio.ensure_future(coroutine)
        for coroutine in (stop.wait(), app.wait_until_stopped(), _write_status(file, worker), _watch_progress(worker))
    ]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    failed = not stop.is_set()
    if failed:
        errors = [app.crash_reason, *(task.exception() for task in done)]
        log.error("The worker failed: %s", next((error for error in errors if error is not None), "its app stopped"))
    else:
        file.write(_status(worker))  # the last word is that of the end, not of half a second before
    for task in tasks:
        task.cancel()
    await app.stop()
    return failed


async def _watch_progress(worker: Worker) -> None:
    """Raise when a partition has stalled: a supervisor starts the worker again."""
    dog = Watchdog()
    while True:
        await asyncio.sleep(STATUS_S)
        stalled = dog.stalled(worker.progress() if worker.ready else {}, time.monotonic())
        if stalled:
            raise DriftflowError(
                f"no progress for {STALL_S:.0f} s although there are records to read on "
                + ", ".join(f"{tp.topic}/{tp.partition}" for tp in stalled)
                + "; the worker ends so that it can be started again from its snapshots"
            )


async def _write_status(file: StatusFile, worker: Worker) -> None:
    while True:
        file.write(_status(worker))
        await asyncio.sleep(STATUS_S)


def _status(worker: Worker) -> Status:
    return {
        "counters": {str(p): counted for p, counted in worker.counters.items()},
        "first_score_at": worker.first_score_at,
        "service": worker.service,
        "models_refused": worker.models_refused,
        "pending": worker.pending,
        "lag": lag_of(worker.progress()),
        "unread": worker.lags(worker.config.topics.events),
        "unwatched": worker.unwatched,
        "late_blocks": sum(state.late_blocks for state in worker.pipeline.watch_states.values()),
        "closed_early": sum(state.closed_early for state in worker.pipeline.score_states.values()),
    }
