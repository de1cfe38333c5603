"""Being told to stop, and going on where the broker does not answer: what every wait of the trainer goes through."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from kafka.errors import KafkaError

from stream_app.errors import DriftflowError

T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Pauses between tries while the broker does not answer: doubled each time, up to the longest."""


class Stopped(DriftflowError):
    """The trainer was told to stop. What it had in hand is taken up again at the next start."""


class Stopping:
    """Whether the trainer was told to stop. May be set from any thread.

    Attributes:
        asked_s: when somebody last asked, a monotonic time: a sign of life, since every wait and every epoch do.
    """

    def __init__(self) -> None:
        self._told = threading.Event()
        self.asked_s = time.monotonic()

    def set(self) -> None:
        """Stop as soon as possible."""
        self._told.set()

    @property
    def is_set(self) -> bool:
        """Whether it was told to."""
        return self._told.is_set()

    def check(self, *_: object) -> None:
        """Raise Stopped where it was told to. Takes any arguments, so that it can be a callback."""
        self.asked_s = time.monotonic()
        if self._told.is_set():
            raise Stopped

    def pause(self, seconds: float) -> None:
        """Sleep; raise Stopped as soon as it is told to."""
        self._told.wait(seconds)
        self.check()


def persistently(do: Callable[[], T], what: str, stopping: Stopping, say: Callable[[str], None]) -> T:
    """What ``do`` returns; tried again, with pauses, for as long as the broker gives errors that are retriable.

    Args:
        do: asks the broker something; may be called many times.
        what: what is being done, for the person who watches.
        stopping: ends the waiting.
        say: takes a line for each error.

    Raises:
        KafkaError: one that is not retriable.
        Stopped: told to.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return do()
        except KafkaError as error:
            if not error.retriable:
                raise
            why = " ".join(str(error).split()) or type(error).__name__
            say(f"{what}: {why}; tried again in {pause_s:g} s")
        stopping.pause(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
