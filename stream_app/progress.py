"""How far a long command is: a bar at a terminal, on a pipe a plain line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

processor_s = time.thread_time
"""Processor seconds of this thread, for what is measured: waiting does not count."""

_STEPS = 1_000
_LINES = 10
"""Of a command whose end is known, about so many lines go to a pipe."""
_QUIET_S, _SILENT_S = 2.0, 30.0
"""Two lines are no nearer to each other, and no further apart as long as there is news."""


class Progressing:
    """Shows how many were done, how fast, and how much time remains, as far as the end is known.

    Args:
        console: where to; nothing but lines goes to one that is no terminal.
        doing: such as ``scoring``.
        unit: what is counted, such as ``rows``.
        clock: seconds, for the rate.

    Attributes:
        rate: how many a second, from the first report to the last; 0 before that can be told.
    """

    def __init__(self, console: Console, doing: str, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._doing, self._unit, self._clock = console, doing, unit, clock
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}")
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console) if console.is_terminal else None
        self._task = self._bar.add_task(doing, total=None, told="") if self._bar else None
        self._first_s, self._said_s, self._tenth = clock(), clock(), 0
        self.rate = 0.0

    def __enter__(self) -> Self:
        self._first_s = self._said_s = self._clock()
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, where: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, share: float | None = None) -> None:
        """So many were done, which is this share of all; None where nobody knows."""
        now_s = self._clock()
        spent_s = now_s - self._first_s
        self.rate = done / spent_s if spent_s > 0 else 0.0
        told = f"{done:,} {self._unit}, {self.rate:,.0f} a second"
        if self._bar is not None and self._task is not None:
            total = None if share is None else _STEPS
            self._bar.update(self._task, completed=round((share or 0.0) * _STEPS), total=total, told=told)
        elif self._is_due(now_s, share):
            self._said_s = now_s
            left = f", {share:.0%}, about {_spell(spent_s * (1 - share) / share)} to go" if share else ""
            self._console.print(f"{self._doing}: {told}{left}", markup=False, soft_wrap=True)

    def _is_due(self, now_s: float, share: float | None) -> bool:
        tenth = int((share or 0.0) * _LINES)
        news, self._tenth = tenth > self._tenth, max(tenth, self._tenth)
        quiet_s = now_s - self._said_s
        return quiet_s >= (_QUIET_S if news else _SILENT_S)


def _spell(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
