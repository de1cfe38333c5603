"""Empties a spool into a sink, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace

from stream_app.errors import SinkError
from stream_app.sinks.base import Sink
from stream_app.sinks.delivery import Delivery
from stream_app.sinks.spool import Spool
from stream_app.terminal import Seldom

log = logging.getLogger(__name__)

BATCH_POINTS, _POINTS_LEAST = 10_000, 100
"""Points of one write, as whole blocks; after a failure half as many, which may be too many for the time it has."""

STOP_S = 5.0
"""How long the write in hand may take when the drainer is stopped."""

_BACKOFF_S, _BACKOFF_S_MAX, _DOUBLINGS_MAX = 0.25, 30.0, 10
_IDLE_S = 0.1


@dataclass(frozen=True, slots=True)
class DrainerState:
    """How a drainer stands.

    Attributes:
        alive: whether its thread runs; one that is not, and was not stopped, is a fault.
        error: why the last try failed, "" where it did not.
        failing_since: when it began to fail, by ``time.monotonic()``; None where it does not.
        failures: tries in a row that have failed.
        set_aside: points that this drainer has set aside.
        errors: tries that have failed, ever.
    """

    alive: bool
    error: str = ""
    failing_since: float | None = None
    failures: int = 0
    set_aside: int = 0
    errors: int = 0


class Drainer:
    """A thread that empties a spool: synchronous writes, and a backoff of its own, without an end.

    Whatever a try raises is said, counted and tried again with everything kept: a sink that is away, a spool on a full
    disk, a fault that nobody has thought of. Which points are set aside, :class:`~stream_app.sinks.delivery.Delivery`
    says. Nothing short of the interpreter's end ends the thread.

    Args:
        spool: where points come from.
        sink: where they go; closed when the drainer has stopped.
    """

    def __init__(self, spool: Spool, sink: Sink) -> None:
        self._spool, self._sink = spool, sink
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drainer", daemon=True)
        self._state = DrainerState(alive=False)
        self._aside = Seldom(log.error)
        self._delivery = Delivery(spool, sink, self._say_aside, lambda: self._stopping.is_set())
        self._emptied = threading.Condition()
        self._asked, self._answered, self._ended = 0, 0, False
        self._errors, self._most = 0, BATCH_POINTS

    @property
    def state(self) -> DrainerState:
        """How it stands now; never waits."""
        return replace(self._state, alive=self._thread.is_alive(), set_aside=self._aside.count, errors=self._errors)

    def start(self) -> None:
        """Start draining."""
        self._thread.start()

    def drain(self, timeout_s: float) -> bool:
        """Wait until the spool is empty; False when it is not after the timeout (the rest stays for next time)."""
        with self._emptied:
            self._asked += 1
            asked = self._asked
            if self._thread.is_alive():
                self._emptied.wait_for(lambda: self._answered >= asked or self._ended, timeout_s)
            return self._answered >= asked

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Stop after the write in hand, and close the sink; or return after the timeout.

        A sink that hangs is then left to its thread, which ends with the process; its points are in the spool.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("The sink has not answered within %.1f s; what it has not taken stays in the spool", timeout_s)
        elif not self._ended:  # its thread has not begun, or has not come to it
            self._close_sink()

    def _run(self) -> None:
        while not self._stopping.is_set():
            asked = self._asked
            try:
                batch = self._spool.rows(self._most)
                self._delivery.deliver(batch)
            except Exception as error:
                self._most = max(self._most // 2, _POINTS_LEAST)
                self._stopping.wait(self._failed(error))
                continue
            self._state = DrainerState(alive=True)
            self._most = min(self._most + self._most // 8, BATCH_POINTS)
            if not batch:
                self._answer(asked)
                self._stopping.wait(_IDLE_S)
        self._close_sink()
        self._ended = True
        self._answer(0)

    def _failed(self, error: Exception) -> float:
        """Note and say that a try has failed; how long to wait, twice as long after each in a row."""
        try:
            return self._note(error)
        except Exception:  # no memory left to say so
            return _BACKOFF_S_MAX

    def _note(self, error: Exception) -> float:
        before, self._errors = self._state, self._errors + 1
        wait_s = min(_BACKOFF_S * 2.0 ** min(before.failures, _DOUBLINGS_MAX), _BACKOFF_S_MAX)
        expected = isinstance(error, (OSError, SinkError))
        text = str(error) if expected else f"draining failed with {type(error).__name__}: {error}"
        since = time.monotonic() if before.failing_since is None else before.failing_since
        self._state = DrainerState(True, text, since, before.failures + 1)
        if self._state.failures in (1, 10) or self._state.failures % 100 == 0:
            log.warning("%s; %s are kept, next try in %.1f s", text, self._kept(), wait_s)
            if not expected:
                log.debug("Where it came from", exc_info=error)
        return wait_s

    def _kept(self) -> str:
        try:
            return f"{len(self._spool)} points"
        except SinkError:  # the spool itself may be what fails
            return "all points"

    def _say_aside(self, reason: str) -> None:
        self._aside(f"A point was refused and set aside: {reason}")

    def _answer(self, asked: int) -> None:
        """Tell those who wait in :meth:`drain`, as many as had asked before the spool was found empty."""
        with self._emptied:
            self._answered = max(self._answered, asked)
            self._emptied.notify_all()

    def _close_sink(self) -> None:
        try:
            self._sink.close()
        except Exception as error:
            log.warning("The sink could not be closed: %s", error)
