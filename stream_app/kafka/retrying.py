"""Questions that a broker may answer only after a while.

A broker that has just started has no coordinator and no leaders yet. It says so with an error that the protocol calls
retriable: the same question gets another answer later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from kafka.errors import KafkaError

T = TypeVar("T")

RETRY_S = 30.0
"""How long a question is repeated: a cluster on a busy machine takes that long to load its coordinators."""

_PAUSE_S = 0.2


def retried(ask: Callable[[], T]) -> T:
    """The broker's answer; asked again while it is a retriable error.

    Raises:
        KafkaError: one that is not retriable, at once; a retriable one after ``RETRY_S`` seconds.
    """
    deadline_s = time.monotonic() + RETRY_S
    while True:
        try:
            return ask()
        except KafkaError as error:
            if not error.retriable or time.monotonic() >= deadline_s:
                raise
        time.sleep(_PAUSE_S)


def told(error: Exception) -> str:
    """What an error of :func:`retried` says, and how long the question was repeated where it was."""
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, KafkaError):  # a client's own slip: its text alone, "18", may say nothing
        return f"{type(error).__name__}: {text}"
    return f"{text} (asked again for {RETRY_S:.0f} s)" if error.retriable else text
