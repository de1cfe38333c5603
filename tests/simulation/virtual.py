"""An event loop whose time is a number: nothing waits, nothing is random, and whole processes can be paused in it.

Callbacks run in the order in which they are due, and those of one moment in the order in which they were asked for. So
one run is the same as another one, whatever the machine does.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol

EPOCH_S = 1_700_000_000.0
"""The wall clock where a run begins."""


class Stuck(Exception):
    """Everything waits for something else."""


class Process(Protocol):
    """Whose turn a callback is."""

    paused: bool


CURRENT: contextvars.ContextVar[Any] = contextvars.ContextVar("process", default=None)
"""The process that runs now; None where it is the world itself."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks, and moves its time on to the next one that is due where none is."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._clock_resolution = 1e-9
        self._frozen: deque[Any] = deque()
        self.set_exception_handler(lambda loop, context: None)  # tasks that nobody awaits are those of the killed

    def time(self) -> float:
        """Seconds since the run began."""
        return self._now

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        while scheduled and (scheduled[0]._cancelled or (not ready and scheduled[0]._when > self._now)):
            if scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
            else:
                self._now = scheduled[0]._when
        while scheduled and scheduled[0]._when <= self._now:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        if not ready:
            raise Stuck("nothing is due any more")
        for _ in range(len(ready)):
            handle = ready.popleft()
            process = handle._context.get(CURRENT)
            if handle._cancelled:
                continue
            if process is not None and process.paused:
                self._frozen.append(handle)
            else:
                handle._run()

    def thaw(self, process: Process) -> None:
        """Run what a process that was paused has missed, in its order."""
        process.paused = False
        frozen, self._frozen = self._frozen, deque()
        for handle in frozen:
            (self._ready if handle._context.get(CURRENT) is process else self._frozen).append(handle)  # type: ignore[attr-defined]

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """At once: what a thread would do takes no time here."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def begin(self, process: Process | None, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of a process, or of the world."""
        context = contextvars.copy_context()
        context.run(CURRENT.set, process)
        return self.create_task(work, context=context)

    def _process_events(self, event_list: Any) -> None:
        """There are none: no socket is open."""

    def _write_to_self(self) -> None:
        """No other thread asks for anything."""


class Clock:
    """Stands for the module ``time`` where the worker asks for it."""

    def monotonic(self) -> float:
        """Seconds of the loop that runs; the end of the run once none does."""
        loop = asyncio._get_running_loop()
        return 1e6 if loop is None else loop.time()

    perf_counter = monotonic

    def time(self) -> float:
        """The same, as a wall clock."""
        return EPOCH_S + self.monotonic()

    def time_ns(self) -> int:
        """The same, in nanoseconds."""
        return int(self.time() * 1e9)
