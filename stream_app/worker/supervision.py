"""What each part of a worker does when it fails: a table, and the wrappers that hold the parts to it."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaError

from stream_app.errors import DriftflowError
from stream_app.guard import Guard, Pulse, described
from stream_app.worker.progress import STALL_S

log = logging.getLogger(__name__)

_FAUST = ("faust", "mode", "aiokafka", "stream_app.worker.batch_transport")
"""Loggers of Faust's services, by how their names begin."""

_BACKOFF_S, _BACKOFF_S_MAX = 0.5, 30.0

MENTION_S = 600.0
"""How long the status tells of what has happened once."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What happens when a part fails.

    Attributes:
        again: errors after which it is started again, with a back-off, while the rest goes on and the status says so.
            Every other error ends the worker.
        silent_s: silence after which it counts as hung, which ends the worker too; None where something else watches.
    """

    again: tuple[type[Exception], ...] = ()
    silent_s: float | None = None


POLICIES = {
    "score": Policy(),
    "watch": Policy(),
    "judge": Policy(),
    "checkpoint": Policy(silent_s=STALL_S),
    "models feed": Policy(again=(KafkaError,), silent_s=STALL_S),
    "actions feed": Policy(again=(KafkaError,), silent_s=STALL_S),
    "first events": Policy(),
    "schemas": Policy(),
    "logs": Policy(silent_s=STALL_S),
    "status": Policy(again=(OSError,)),
    "health": Policy(again=(Exception,)),
    "progress": Policy(),
    "drainer": Policy(),
    "Kafka": Policy(silent_s=STALL_S),
    "event loop": Policy(silent_s=STALL_S),
}
"""Part to policy. ARCHITECTURE.md has the whole table, in words."""


class Parts:
    """The parts of one worker.

    Args:
        guard: is told of failures, and watches the pulses.

    Attributes:
        failing: part to its last error, of those that are tried again.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.failing: dict[str, str] = {}
        self._until_s: dict[str, float] = {}
        self._pulses: dict[str, Pulse] = {}

    @property
    def ending(self) -> bool:
        """Whether the worker is about to end: what breaks now is no news."""
        return self._guard.left_s() < math.inf

    def fail(self, part: str, error: BaseException) -> None:
        """End the worker: this part has failed."""
        self._guard.fail(
            f"{part} failed: {described(error)}; the worker ends so that it can be started again from its snapshots"
        )

    def beat(self, part: str) -> None:
        """The part has come round and works. The first beat begins the watch; may be called from any thread."""
        if self.failing.pop(part, None) is not None:
            log.info("%s works again", part)
        limit_s = POLICIES[part].silent_s
        if limit_s is not None and part not in self._pulses:
            self._pulses[part] = self._guard.watch(f"{part} hangs: it has not come round", limit_s)
        if part in self._pulses:
            self._pulses[part].beat()

    def note(self, part: str, error: str) -> None:
        """How a part stands that tries again, and says so, by itself; ``""`` where all is well."""
        if error:
            self.failing[part] = error
        else:
            self.failing.pop(part, None)

    def mention(self, part: str, text: str) -> None:
        """What has happened, and is over: it stands among what fails for ``MENTION_S``."""
        self.failing[part], self._until_s[part] = text, time.monotonic() + MENTION_S

    def expire(self) -> None:
        """Drop what was mentioned long ago."""
        for part in [part for part, until_s in self._until_s.items() if until_s < time.monotonic()]:
            del self._until_s[part]
            self.failing.pop(part, None)

    def watched(self, part: str, run: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """A coroutine function that ends the worker where it raises."""

        @functools.wraps(run)
        async def watch(*args: Any) -> None:
            try:
                await run(*args)
            except Exception as error:
                self.fail(part, error)
                raise

        return watch

    async def keep(self, part: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a part that never ends until cancelled; again after what its policy allows. Ends the worker otherwise."""
        wait_s = _BACKOFF_S
        while True:
            try:
                await run()
                raise DriftflowError("it ended although nobody had told it to")
            except POLICIES[part].again as error:
                if part not in self.failing:
                    log.warning("%s: %s; it is tried again, and the rest goes on", part, described(error))
                wait_s = min(2 * wait_s, _BACKOFF_S_MAX) if part in self.failing else _BACKOFF_S
                self.failing[part] = described(error)
                if part in self._pulses:
                    self._pulses[part].beat()
            except Exception as error:
                self.fail(part, error)
                return
            await asyncio.sleep(wait_s)


def watch_loop(loop: asyncio.AbstractEventLoop, parts: Parts) -> None:
    """End the worker where a callback or a task that nobody awaits raises; a lost connection is no reason to."""

    def failed(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if parts.ending:
            return
        if isinstance(error, (KafkaError, OSError)) or not isinstance(error, Exception):
            log.warning("%s%s", context["message"], f": {described(error)}" if error is not None else "")
        else:
            parts.fail("a callback", error)

    loop.set_exception_handler(failed)


@contextmanager
def sentences_only(guard: Guard) -> Iterator[None]:
    """Keep Faust's tracebacks out of the log: an error of a part is told by the guard, in one sentence. While the
    process ends, Faust says nothing at all.
    """

    def shorten(record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return guard.left_s() == math.inf and "Crashed reason" not in str(record.msg)

    names = [name for name in logging.root.manager.loggerDict if name.startswith(_FAUST)]
    for name in names:
        logging.getLogger(name).addFilter(shorten)
    try:
        yield
    finally:
        for name in names:
            logging.getLogger(name).removeFilter(shorten)
