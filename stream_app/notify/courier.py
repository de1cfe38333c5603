"""Takes what waits for one channel there, in order, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from stream_app.errors import SinkError
from stream_app.notify.channels.base import Busy, Channel
from stream_app.notify.outbox import Outbox, Row
from stream_app.sinks.base import Rejected
from stream_app.terminal import Seldom

log = logging.getLogger(__name__)

_BACKOFF_S, BACKOFF_MAX_S, _DOUBLINGS_MAX = 0.5, 60.0, 10
_IDLE_S = 60.0


@dataclass(frozen=True, slots=True)
class CourierState:
    """How a courier stands.

    Attributes:
        delivered, refused: messages, since it was started.
        failing: why the last try failed, "" where it did not.
        failures: tries in a row that have failed.
    """

    delivered: int = 0
    refused: int = 0
    failing: str = ""
    failures: int = 0


class Courier:
    """A thread that delivers what waits for a channel.

    What a receiver cannot take now is tried again, after half a second and then twice as long each time, up to a
    minute, or after as long as it asks for; those behind it wait, since they may belong to the same thread. What it
    refuses for good is set aside, with its reason. Nothing short of being stopped ends the thread.

    Args:
        name: of the channel.
        channel: where messages go; closed when the courier has stopped.
        outbox: where they come from.
    """

    def __init__(self, name: str, channel: Channel, outbox: Outbox) -> None:
        self.name, self._channel, self._outbox = name, channel, outbox
        self._news, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"courier of {name}", daemon=True)
        self._say_aside = Seldom(log.error)
        self._resent_s = time.monotonic() - (channel.resend_s or 0.0)
        self.state = CourierState()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There may be something new."""
        self._news.set()

    def stop(self, timeout_s: float) -> None:
        """Stop; a delivery that is under way is broken off, and made again at the next start."""
        self._stopping.set()
        self._news.set()
        self._channel.close()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            try:
                busy = self._deliver_next() or self._resend()
            except Exception as error:
                self._stopping.wait(self._failed(error))
                continue
            if not busy:
                self._news.wait(self._idle_s())

    def _deliver_next(self) -> bool:
        """Deliver the next message, if any; whether there was one."""
        row = self._outbox.next(self.name)
        if row is None:
            return False
        try:
            receipt = self._channel.send(row.notice, self._outbox.ref(self.name, row.notice.thread))
        except Rejected as error:
            self._set_aside(row, error)
            return True
        forgets = row.notice.state == "once" or (row.notice.about == "health" and row.notice.state == "over")
        self._outbox.settle(self.name, row, None if forgets else receipt.ref)
        self._note(1)
        return True

    def _set_aside(self, row: Row, error: Rejected) -> None:
        self._outbox.set_aside(row.number, str(error))
        self.state = CourierState(self.state.delivered, self.state.refused + 1)
        self._say_aside(
            f"{self.name} has refused {row.notice.title!r} for good, it is set aside (driftflow notify --list): {error}"
        )

    def _resend(self) -> bool:
        """Say again what lasts, where it is time."""
        if self._channel.resend_s is not None and self._idle_s() <= 0:
            self._channel.resend(self._outbox.refs(self.name).values())
            self._resent_s = time.monotonic()
            self._note(0)
        return False

    def _note(self, delivered: int) -> None:
        """It takes messages."""
        if self.state.failing:
            log.info("%s takes messages again", self.name)
        self.state = CourierState(self.state.delivered + delivered, self.state.refused)

    def _idle_s(self) -> float:
        if self._channel.resend_s is None:
            return _IDLE_S
        return max(self._resent_s + self._channel.resend_s - time.monotonic(), 0.0)

    def _failed(self, error: Exception) -> float:
        """Note and say that a try has failed; how long to wait."""
        state, expected = self.state, isinstance(error, SinkError | OSError)
        wait_s = min(_BACKOFF_S * 2.0 ** min(state.failures, _DOUBLINGS_MAX), BACKOFF_MAX_S)
        if isinstance(error, Busy) and error.after_s:
            wait_s = error.after_s
        text = str(error) if expected else f"delivering failed with {type(error).__name__}"
        self.state = CourierState(state.delivered, state.refused, text, state.failures + 1)
        if self._stopping.is_set():
            return 0.0
        if self.state.failures in (1, 10) or self.state.failures % 100 == 0:
            log.warning("%s: %s; what waits is kept, next try in %.1f s", self.name, text, wait_s)
        if not expected:
            log.debug("Where it came from", exc_info=error)
        return wait_s
