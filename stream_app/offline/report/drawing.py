"""Curves as SVG. Lines stretch with the page and texts do not: a phone sees all of it, in letters of the same size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from flowlib.table import Bools, Floats, Ints
from stream_app.terminal import utc

_HEIGHT, _TOP, _BOTTOM = 150, 18, 22
_WIDE = 1_000.0
_LABELS = 4
_DAY_MS = 86_400_000


def curve(
    starts_ms: Ints,
    seen: Floats,
    expected: Floats | None = None,
    spread: Floats | None = None,
    marks: Sequence[tuple[int, int]] = (),
    from_zero: bool = False,
    as_share: bool = False,
) -> str:
    """A line over time, with what was expected as a dashed line, a band around it, and spans of time behind both.

    Args:
        starts_ms: ``(m + 1,)`` begin of each step, and end of the last.
        seen, expected, spread: ``(m,)``, NaN where there is nothing; the band is a spread to either side.
        marks: spans of time that matter.
        from_zero: the scale begins at 0.
        as_share: values are shares: the scale ends at 0 % and 100 %.
    """
    bands = [] if expected is None or spread is None else [expected - spread, expected + spread]
    low, high = _range([seen, *bands], from_zero)
    low, high = (max(low, 0.0), min(high, 1.0)) if as_share else (low, high)
    frame = _Frame(int(starts_ms[0]), int(starts_ms[-1]), low, high)
    middle = (starts_ms[:-1] + starts_ms[1:]) / 2
    parts = [frame.span(a, b) for a, b in marks]
    if len(bands) == 2:
        parts.append(frame.area(middle, bands[0], bands[1]))
    if expected is not None:
        parts.append(frame.line(middle, expected, "var(--data)", 'stroke-dasharray="5 4"'))
    parts.append(frame.line(middle, seen, "var(--model)", ""))
    low_text, high_text = (_share(low), _share(high)) if as_share else (brief(low), brief(high))
    return _svg(frame, "".join(parts), f"{low_text} to {high_text}")


class _Frame:
    """Where times and values lie."""

    def __init__(self, from_ms: int, to_ms: int, low: float, high: float) -> None:
        self.from_ms, self.to_ms, self._low, self._high = from_ms, max(to_ms, from_ms + 1), low, high

    def x(self, time_ms: float) -> float:
        """Place across, of :data:`_WIDE`."""
        return _WIDE * min(max((time_ms - self.from_ms) / (self.to_ms - self.from_ms), 0.0), 1.0)

    def y(self, value: float) -> float:
        """Place down, pixels of the plot."""
        return _HEIGHT * (1 - (value - self._low) / (self._high - self._low))

    def line(self, times: Floats, values: Floats, colour: str, style: str) -> str:
        """A line that is broken where values are missing."""
        lines = []
        for run in _runs(np.isfinite(values)):
            points = [f"{self.x(times[i]):.1f},{self.y(values[i]):.1f}" for i in run]
            points = points if len(points) > 1 else points * 2
            lines.append(
                f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.6" '
                f'stroke-linecap="round" vector-effect="non-scaling-stroke" {style}/>'
            )
        return "".join(lines)

    def area(self, times: Floats, low: Floats, high: Floats) -> str:
        """What lies between two lines."""
        areas = []
        for run in _runs(np.isfinite(low) & np.isfinite(high)):
            there = [f"{self.x(times[i]):.1f},{self.y(high[i]):.1f}" for i in run]
            back = [f"{self.x(times[i]):.1f},{self.y(low[i]):.1f}" for i in reversed(run)]
            areas.append(f'<polygon points="{" ".join([*there, *back])}" fill="var(--band)"/>')
        return "".join(areas)

    def span(self, from_ms: int, to_ms: int) -> str:
        """A stretch of time."""
        left, right = self.x(from_ms), self.x(to_ms)
        return (
            f'<rect x="{left:.1f}" y="0" width="{max(right - left, 3.0):.1f}" height="{_HEIGHT}" '
            'fill="var(--warning)" opacity=".18"/>'
        )


def _svg(frame: _Frame, body: str, scale: str) -> str:
    height = _TOP + _HEIGHT + _BOTTOM
    return (
        f'<svg width="100%" height="{height}" style="height:{height}px" aria-hidden="true">'
        f'<svg y="{_TOP}" width="100%" height="{_HEIGHT}" viewBox="0 0 {_WIDE:.0f} {_HEIGHT}" '
        f'preserveAspectRatio="none" style="height:{_HEIGHT}px">{body}</svg>'
        f'<line x1="0" x2="100%" y1="{_TOP + _HEIGHT}" y2="{_TOP + _HEIGHT}" stroke="var(--line)"/>'
        f"{_text('0', 11, 'start', scale)}{''.join(_dates(frame))}</svg>"
    )


def _dates(frame: _Frame) -> Iterable[str]:
    """The dates of a few places below the plot."""
    days = (frame.to_ms - frame.from_ms) / _DAY_MS
    pattern = "%Y-%m" if days > 300 else "%d %b" if days > 4 else "%d %b %H:%M"
    for i in range(_LABELS):
        share = i / (_LABELS - 1)
        time_ms = frame.from_ms + round(share * (frame.to_ms - frame.from_ms))
        anchor = "start" if i == 0 else "end" if i == _LABELS - 1 else "middle"
        yield _text(f"{100 * share:.1f}%", _TOP + _HEIGHT + 16, anchor, utc(time_ms, pattern))


def _text(x: str, y: float, anchor: str, words: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="var(--quiet)" font-size="11">{escape(words)}</text>'


def _runs(there: Bools) -> list[list[int]]:
    """Places of values without a gap."""
    places = np.flatnonzero(there)
    return [run.tolist() for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(run)]


def _range(lines: Sequence[Floats], from_zero: bool) -> tuple[float, float]:
    values = np.concatenate([line[np.isfinite(line)] for line in lines])
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    low = 0.0 if from_zero else low
    room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return (low if from_zero else low - room), high + room


def _share(value: float) -> str:
    return f"{value:.1%}"


def brief(value: float) -> str:
    """A number of few digits.

    >>> brief(0.05664), brief(12_345.6), brief(-3.0)
    ('0.0566', '12,346', '-3')
    """
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
