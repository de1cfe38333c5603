"""Panes and windows that suit a stream: some events of each slice in a pane, and not more panes than it takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowlib.table import Ints
from stream_app.setup.times import NONE

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
_PANES = (
    *(SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND, MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE),
    *(HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 28 * DAY),
)
_SPANS = (
    *(10 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR),
    *(12 * HOUR, DAY, 7 * DAY, 28 * DAY, 91 * DAY, 364 * DAY, 1_092 * DAY),
)
_EVENTS = 2.0
"""Events of a slice that a pane should have."""
_PANES_MAX, _ROWS_MAX = 25_000, 2_000_000
_PANES_MIN = 100
"""Panes that the time there is should have, where the events allow it."""
_LIVE_MIN = MINUTE
"""Of a topic no pane is shorter: each costs messages on three topics."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a stream goes.

    Attributes:
        from_ms, to_ms: its first and last time.
        step_ms: time between two events of a slice, as far as it is known.
        grain_ms: time between two different times of a slice: no pane is shorter.
        slices: of the first slicing.
        late_ms: how far behind the newest an event comes, one in a thousand more.
        backwards: share of the rows that are earlier than the one before them.
    """

    from_ms: int
    to_ms: int
    step_ms: float
    grain_ms: float
    slices: int
    late_ms: int
    backwards: float

    @property
    def span_ms(self) -> int:
        """From the first to the last."""
        return self.to_ms - self.from_ms


def pace_of(times: Ints, codes: Ints, runs: Ints, seen: int, live: bool = False) -> Pace:
    """Look at the pace of a sample.

    Args:
        times, codes, runs: ``(n,)`` of its rows: time, number of its slice, run of neighbours.
        seen: rows that it stands for.
        live: whether the runs are partitions, which go side by side, and no parts of one sequence.
    """
    good = times != NONE
    t, c, r = times[good], codes[good], runs[good]
    slices = max(1, len(np.unique(c)))
    span = int(t.max() - t.min())
    behind = _behind(t, r)
    step_ms, grain_ms = _step(t, c, np.zeros_like(r) if live else r, span, slices, seen)
    return Pace(
        from_ms=int(t.min()),
        to_ms=int(t.max()),
        step_ms=step_ms,
        grain_ms=grain_ms,
        slices=slices,
        late_ms=int(np.quantile(behind, 0.999)) if len(behind) else 0,
        backwards=float(np.mean(np.diff(t) < 0)) if len(t) > 1 else 0.0,
    )


def _step(t: Ints, c: Ints, r: Ints, span: int, slices: int, seen: int) -> tuple[float, float]:
    """Time between two events of a slice, and between two of its times: of neighbours where there are enough, else on
    average."""
    order = np.lexsort((t, c, r))
    same = (np.diff(c[order]) == 0) & (np.diff(r[order]) == 0)
    gaps = np.diff(t[order])[same].astype(np.float64)
    if len(gaps) < 50 or not gaps.any():
        return max(span * slices / max(seen, 1), 1.0), 0.0
    usual = float(np.median(gaps[gaps > 0]))
    return max(float(np.mean(np.minimum(gaps, 20 * usual))), 1.0), usual


def _behind(t: Ints, r: Ints) -> Ints:
    """How far each row is behind the newest before it in its run."""
    out = [np.maximum.accumulate(t[r == run]) - t[r == run] for run in np.unique(r)[:200]]
    return np.concatenate(out) if out else np.zeros(0, np.int64)


def pane_of(pace: Pace, live: bool) -> int:
    """The length of a pane in ms."""
    wanted = max(_EVENTS * pace.step_ms, pace.grain_ms)
    if not live:
        wanted = max(min(wanted, pace.span_ms / _PANES_MIN), pace.grain_ms, pace.span_ms / _PANES_MAX)
        wanted = max(wanted, pace.span_ms * pace.slices / _ROWS_MAX)
    else:
        wanted = max(wanted, _LIVE_MIN)
    return next((pane for pane in _PANES if pane >= wanted), _PANES[-1])


def spans_of(pane: int, pace: Pace, live: bool) -> list[int]:
    """Lengths of the rolling windows in ms, ascending."""
    if 30 * MINUTE <= pane <= 6 * HOUR:
        spans = [DAY, 7 * DAY, 28 * DAY]
    else:
        spans = []
        for panes in (7, 28, 91) if pane >= DAY // 2 else (20, 100, 300):
            spans.append(next((s for s in _SPANS if s >= panes * pane and s % pane == 0), panes * pane))
    known = pace.span_ms / 2
    return sorted({span for span in spans if live or span <= known} or {spans[0]})


def lateness_of(pace: Pace, pane: int) -> int:
    """How long a pane should stay open, in ms: 0 where rows come in order."""
    if pace.late_ms <= 0:
        return 0
    return -(-pace.late_ms // pane) * pane


def written(ms: int) -> str:
    """A length as a configuration writes it.

    >>> written(3_600_000), written(604_800_000), written(90_000)
    ('1h', '7d', '90s')
    """
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")):
        if ms and ms % unit == 0:
            return f"{ms // unit}{name}"
    return f"{ms}ms"


def in_words(ms: float) -> str:
    """A length for people: about.

    >>> in_words(1_800_000), in_words(90_000_000)
    ('30 minutes', '25 hours')
    """
    for unit, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (SECOND, "second")):
        if ms >= 2 * unit or (ms >= unit and ms % unit == 0):
            n = ms / unit
            return f"{n:,.0f} {name}{'' if round(n) == 1 else 's'}"
    return f"{ms:.0f} ms"
