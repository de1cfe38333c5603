"""A worker with a fault in it. The product knows nothing of it.

Each fault is a function that replaces something of the worker's before it starts; :data:`FAULTS` has them by name.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaConnectionError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from stream_app.config import load
from stream_app.errors import DriftflowError
from stream_app.kafka.types import TopicPartition
from stream_app.sinks.drainer import Drainer
from stream_app.sinks.spool import Spool
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.stages.pipeline import Pipeline
from stream_app.terminal import prepare_process
from stream_app.worker import actions_feed, health, logs, models_feed, noticing, process, status, supervision
from stream_app.worker.agents import Worker
from stream_app.worker.deciding import Decider
from stream_app.worker.modelling import Modelling
from stream_app.worker.outbox import Outbox
from stream_app.worker.process import run_worker
from stream_app.worker.progress import Watchdog

HANG_S = 3.0
"""What counts as a hang here."""

Fault = Callable[[], None]


def mark() -> None:
    """Write down when the fault came, once."""
    path = Path(f"{sys.argv[-1]}.fault")
    if not path.exists():
        path.write_text(str(time.time()))


def fail(*_: Any, **__: Any) -> Any:
    """Raise."""
    mark()
    raise LookupError("injected")


async def fail_later(*_: Any, **__: Any) -> Any:
    """Raise, as a coroutine."""
    mark()
    raise LookupError("injected")


async def hang(*_: Any, **__: Any) -> Any:
    """Never come back, as a coroutine."""
    mark()
    await asyncio.Event().wait()


def block(*_: Any, **__: Any) -> Any:
    """Never come back, in a call of C that no signal interrupts."""
    mark()
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def replaced(owner: Any, name: str, stand_in: Any, after: int = 0) -> Fault:
    """A fault: from the call ``after`` on, ``owner.name`` is something else."""

    def patch() -> None:
        real, calls = getattr(owner, name), 0

        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            return (real if calls <= after else stand_in)(*args, **kwargs)

        setattr(owner, name, call)

    return patch


def seldom(owner: Any, name: str, error: Exception, times: int) -> Fault:
    """A fault: ``owner.name`` raises the first times."""

    def patch() -> None:
        real, left = getattr(owner, name), times

        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left >= 0:
                raise error
            return real(*args, **kwargs)

        setattr(owner, name, call)

    return patch


def at_ready(act: Callable[[Worker], None]) -> Fault:
    """A fault: something happens in the event loop once there is a model."""

    def patch() -> None:
        real = Worker._log_substitutes

        def call(self: Worker) -> None:
            real(self)
            if self.ready.is_set():
                Worker._log_substitutes = real  # type: ignore[method-assign]
                act(self)

        Worker._log_substitutes = call  # type: ignore[method-assign]

    return patch


def in_consumer_thread(work: Callable[[], Any]) -> Callable[[Worker], None]:
    """What happens in the thread of Kafka's consumer."""
    return lambda worker: worker.app._consumer._thread.thread_loop.call_soon_threadsafe(work)


def in_a_thread(_: Worker) -> None:
    """A thread of its own raises."""
    threading.Thread(target=fail, name="a helper", daemon=True).start()


def deaf_task(_: Worker) -> None:
    """A task that does not listen to cancellation."""

    async def stay() -> None:
        print("a task is deaf", flush=True)
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    _tasks.append(asyncio.ensure_future(stay()))


_tasks: list[asyncio.Future[None]] = []


def dead_drainer() -> None:
    """The drainer's thread ends without a word."""
    Drainer._run = lambda self: None  # type: ignore[method-assign]


def impatient() -> None:
    """A stall takes eight seconds, and a transaction is named after two."""
    process.STALL_S, noticing.TRANSACTION_S, health.SETTLE_S, health.REST_S = 8.0, 2.0, 0.5, 1.0


def dies_between_telling_and_saving() -> None:
    """The broker has what JUDGE tells, and no head knows of it."""
    real = Outbox._save

    def call(outbox: Outbox, last: bool) -> None:
        kept = outbox._partitions.told(TopicPartition(outbox._topics.evidence, 0))
        if outbox.told.until.offset > kept.offset:
            os.kill(os.getpid(), signal.SIGKILL)
        real(outbox, last)

    Outbox._save = call  # type: ignore[method-assign]


def full(*_: Any) -> None:
    """There is no room."""
    mark()
    raise DriftflowError("spool.sqlite is full")


FAULTS: dict[str, Fault] = {
    "none": lambda: None,
    "score fails": replaced(Pipeline, "score", fail),
    "watch fails": replaced(Pipeline, "watch", fail),
    "checkpoint fails": replaced(Outbox, "_save", fail),
    "spool fails": replaced(Spool, "append", full),
    "decider fails": replaced(Decider, "pass_over_idle", fail),
    "assigning fails": replaced(Decider, "gained", fail),
    "judge fails": replaced(Pipeline, "judge", fail),
    "models feed fails": replaced(Modelling, "take_model", fail_later),
    "actions feed fails": replaced(actions_feed.ActionsFeed, "_poll", fail_later),
    "dies between telling and saving": dies_between_telling_and_saving,
    "models feed loses the broker": seldom(models_feed.ModelsFeed, "_poll", KafkaConnectionError("injected"), 2),
    "status cannot be written": seldom(status.StatusFile, "write", OSError(28, "No space left on device"), 3),
    "status fails": replaced(status.StatusFile, "write", fail, after=2),
    "watchdog fails": replaced(Watchdog, "stalled", fail, after=2),
    "watchdog is impatient": impatient,
    "drainer is dead": dead_drainer,
    "consumer thread fails": replaced(AIOKafkaConsumerThread, "getmany", fail_later, after=2),
    "a callback fails": at_ready(lambda _: asyncio.get_running_loop().call_soon(fail) and None),
    "a callback in the consumer thread fails": at_ready(in_consumer_thread(fail)),
    "a thread fails": at_ready(in_a_thread),
    "start hangs": replaced(AIOKafkaConsumerThread, "on_start", hang),
    "event loop hangs": at_ready(block),
    "checkpoint hangs": replaced(Outbox, "checkpoint", hang, after=2),
    "models feed hangs": replaced(models_feed.ModelsFeed, "_at_end", hang),
    "sending hangs": replaced(Outbox, "put", hang),
    "consumer thread hangs": at_ready(in_consumer_thread(block)),
    "sink hangs": replaced(SQLiteSink, "write", block),
    "a task is deaf": at_ready(deaf_task),
}


def run(fault: str, toml: str) -> None:
    """Run it as ``driftflow worker`` does."""
    sys.argv = ["driftflow", fault, toml]
    prepare_process()
    policies = {
        name: supervision.Policy(policy.again, policy.silent_s and HANG_S)
        for name, policy in supervision.POLICIES.items()
    }
    supervision.POLICIES.update(policies)
    process.STATUS_S, logs.LOOK_S = 0.2, 0.5
    FAULTS[fault]()
    try:
        run_worker(load(toml), checked=False)
    except DriftflowError as error:
        sys.exit(f"driftflow: {error}")
