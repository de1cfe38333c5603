"""The one hook: how long steps take, and of how many messages they are, as histograms and, where configured, spans."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
MESSAGES = (1.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
"""Upper bounds of the buckets."""

Span = Callable[[str, dict[str, int | str]], AbstractContextManager[object]]
"""Opens a span: its name and attributes."""


@dataclass(slots=True)
class Histogram:
    """How many values there were up to each bound, and their sum."""

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def copy(self) -> Histogram:
        """One that does not move on."""
        other = Histogram(self.bounds)
        other.counts, other.total = list(self.counts), self.total
        return other


class Meter:
    """Measures the steps of one process. May be used from any thread.

    Attributes:
        span: opens a span around each step (:mod:`stream_app.monitor.tracing`); None where traces are not configured.

    >>> meter = Meter()
    >>> with meter.step("score", messages=3):
    ...     pass
    >>> meter.histograms()["driftflow_step_messages"][("score",)].total
    3.0
    """

    def __init__(self) -> None:
        self.span: Span | None = None
        self._lock = threading.Lock()
        self._seconds: dict[str, Histogram] = {}
        self._messages: dict[str, Histogram] = {}
        self._counts: Counter[tuple[str, ...]] = Counter()

    @contextmanager
    def step(self, name: str, messages: int | None = None, **attributes: int | str) -> Iterator[None]:
        """Around one step, which counts however it ends.

        Args:
            name: of the step.
            messages: how many it takes in; None where that says nothing.
            attributes: of its span alone.
        """
        if messages is not None:
            attributes["messages"] = messages
        began_s = time.perf_counter()
        try:
            with nullcontext() if self.span is None else self.span(name, attributes):
                yield
        finally:
            self._add(name, time.perf_counter() - began_s, messages)

    def _add(self, name: str, seconds: float, messages: int | None) -> None:
        with self._lock:
            self._seconds.setdefault(name, Histogram(SECONDS)).add(seconds)
            if messages is not None:
                self._messages.setdefault(name, Histogram(MESSAGES)).add(messages)

    def count(self, metric: str, *labels: str) -> None:
        """Count one of what a counter counts."""
        with self._lock:
            self._counts[metric, *labels] += 1

    def counts(self, metric: str) -> dict[tuple[str, ...], float]:
        """What a counter stands at, by its labels."""
        with self._lock:
            return {
                labels: float(n) for (name, *rest), n in self._counts.items() if name == metric for labels in [(*rest,)]
            }

    def histograms(self) -> dict[str, dict[tuple[str, ...], Histogram]]:
        """Both of them, by step."""
        with self._lock:
            return {
                "driftflow_step_seconds": {(name,): of.copy() for name, of in self._seconds.items()},
                "driftflow_step_messages": {(name,): of.copy() for name, of in self._messages.items()},
            }
