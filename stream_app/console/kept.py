"""Answers that are kept as long as the store has not changed, and a while longer where they took long to make."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

REST = 9
"""An answer that took s seconds to make is good for 9 s: pages cost at most a tenth of one core."""


class Kept(Generic[T]):
    """One answer; of several threads one makes it.

    Args:
        make: makes it anew; what it raises goes to whoever asks.
        version: changes whenever the store does.
    """

    def __init__(self, make: Callable[[], T], version: Callable[[], str]) -> None:
        self._make, self._version, self._lock = make, version, threading.Lock()
        self._answer: tuple[str, T] | None = None
        self._until_s = 0.0

    def get(self) -> tuple[str, T]:
        """The answer, and which version of the store it is of."""
        with self._lock:
            version, began = self._version(), time.monotonic()
            if self._answer is None or (version != self._answer[0] and began >= self._until_s):
                self._answer = version, self._make()
                self._until_s = time.monotonic() + REST * (time.monotonic() - began)
            return self._answer
