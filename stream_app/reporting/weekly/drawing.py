"""The pictures of a week as SVG. Places across are shares of the width, so that texts keep their size on any screen."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from flowlib.table import Ints
from schemas.incidents import Action
from stream_app.reporting.weekly.days import DAYS, Week
from stream_app.reporting.weekly.gathering import Thread

COLOURS = {"critical": "critical", "warning": "warning", "info": "quiet"}
"""Severity to the colour of the page that it has."""

_LANES_MAX = 12
_LANE, _TOP, _BOTTOM = 22, 6, 24
_PLOT = 110
_NARROW = 1.2
"""Narrowest bar, percent."""


def timeline(threads: Sequence[Thread], actions: Sequence[Action], week: Week) -> str:
    """A bar for each incident, from when it began to when it ended, with its number; lines where people noted
    something.
    """
    lanes: list[float] = []
    bars = []
    for number, thread in enumerate(threads[:_LANES_MAX], 1):
        left, right = _across(thread.last.since_ms, week), 100.0
        if not thread.is_open:
            right = _across(thread.last.pane_end_ms, week)
        right = max(right, min(left + _NARROW, 100.0))
        lane = next((i for i, end in enumerate(lanes) if end <= left), len(lanes))
        lanes[lane : lane + 1] = [right + 5.0]  # room for the number
        y, colour = _TOP + lane * _LANE, COLOURS[thread.last.severity]
        bars.append(
            f'<rect x="{left:.2f}%" y="{y + 4}" width="{right - left:.2f}%" height="12" rx="3" fill="var(--{colour})"/>'
            + _label(left, right, y + 14, str(number))
        )
    height = _TOP + max(len(lanes), 1) * _LANE
    marks = "".join(
        f'<line x1="{at:.2f}%" x2="{at:.2f}%" y1="0" y2="{height}" stroke="var(--ink)" stroke-dasharray="3 3"/>'
        for at in (_across(action.at_ms, week) for action in actions if action.verb == "mark")
    )
    return _svg(height + _BOTTOM, _days(week, height) + "".join(bars) + marks)


def _label(left: float, right: float, y: int, text: str) -> str:
    """The number behind a bar, or on it where the bar goes to the end."""
    if right < 95.0:
        return f'<text x="{right:.2f}%" dx="4" y="{y}" fill="var(--ink)" font-size="12">{text}</text>'
    return f'<text x="{left:.2f}%" dx="5" y="{y}" fill="var(--card)" font-size="11" font-weight="700">{text}</text>'


def per_day(now: Ints, before: Ints | None, week: Week) -> str:
    """Events of each day as bars, and beside them those of the same day of the week before."""
    top = max(int(now.max()), int(before.max()) if before is not None else 0, 1)
    room, parts = 100.0 / DAYS, []
    for i, n in enumerate(now.tolist()):
        left = i * room
        if before is not None:
            parts.append(_bar(left + 0.12 * room, 0.34 * room, int(before[i]) / top, "band", "muted"))
        parts.append(_bar(left + 0.48 * room, 0.4 * room, n / top, "data"))
        y = _TOP + 14 + _PLOT * (1 - n / top) - 4
        parts.append(
            f'<text x="{left + 0.68 * room:.2f}%" y="{y:.1f}" text-anchor="middle" fill="var(--ink)" font-size="11">'
            f"{escape(brief(n))}</text>"
        )
    return _svg(_TOP + 14 + _PLOT + _BOTTOM, _days(week, _TOP + 14 + _PLOT) + "".join(parts))


def _bar(left: float, width: float, share: float, fill: str, edge: str = "") -> str:
    height = _PLOT * share
    stroke = f' stroke="var(--{edge})"' if edge else ""
    return (
        f'<rect x="{left:.2f}%" y="{_TOP + 14 + _PLOT - height:.1f}" width="{width:.2f}%" height="{height:.1f}" '
        f'fill="var(--{fill})"{stroke}/>'
    )


def brief(n: int) -> str:
    """A number of few digits.

    >>> brief(950), brief(12_345), brief(2_500_000)
    ('950', '12k', '2.5M')
    """
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if n >= size:
            return f"{n / size:.1f}{unit}" if n < 10 * size else f"{n / size:.0f}{unit}"
    return str(n)


def _across(time_ms: int, week: Week) -> float:
    return 100.0 * min(max((time_ms - week.from_ms) / (DAYS * 86_400_000), 0.0), 1.0)


def _days(week: Week, height: int) -> str:
    """A band for every other day, and their names below."""
    room = 100.0 / DAYS
    bands = "".join(
        f'<rect x="{i * room:.2f}%" y="0" width="{room:.2f}%" height="{height}" fill="var(--band)" opacity=".45"/>'
        for i in range(0, DAYS, 2)
    )
    names = "".join(
        f'<text x="{(i + 0.5) * room:.2f}%" y="{height + 16}" text-anchor="middle" fill="var(--quiet)" '
        f'font-size="11">{escape(name)}</text>'
        for i, name in enumerate(week.names())
    )
    return bands + names


def _svg(height: int, body: str) -> str:
    return f'<svg width="100%" height="{height}" style="height:{height}px" aria-hidden="true">{body}</svg>'
