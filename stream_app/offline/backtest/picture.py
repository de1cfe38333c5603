"""The picture of a backtest: every incident of both sides over time, and what is known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from stream_app.offline.backtest.compare import Comparison
from stream_app.offline.backtest.threads import Told
from stream_app.offline.evaluate.plots import BAND, INK, MODEL, MUTED, axes_of

# After the plots, which say what to install where it is missing.
import matplotlib.dates as dates  # isort: skip
from matplotlib.patches import Patch  # isort: skip

_COLOURS = {"info": MUTED, "warning": "#e8a33d", "critical": MODEL}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LANES_MAX = 40
_SIZE = (10.0, 1.3)


def timeline(comparison: Comparison) -> Any:
    """A figure: the incidents in service above, those of the other rules below, a bar each from its beginning to its
    end; a tick where people were told first. Bands are labels of what ought to be told.
    """
    service, others = (_lanes(side.told) for side in (comparison.service, comparison.others))
    height = _SIZE[1] + 0.16 * (max(service.values(), default=0) + max(others.values(), default=0) + 2)
    figure, axes = axes_of((_SIZE[0], height))
    for label in comparison.useful:
        axes.axvspan(_date(label.from_ms), _date(label.to_ms), color=BAND, linewidth=0)
    top = max(service.values(), default=0) + 1
    _draw(axes, comparison, comparison.service.told, service, top)
    _draw(axes, comparison, comparison.others.told, others, -1.0, down=True)
    axes.axhline(0.0, color=MUTED, linewidth=0.8)
    axes.set_xlim(_date(comparison.span_ms[0]), _date(max(comparison.span_ms[1], comparison.span_ms[0] + 1)))
    axes.set_ylim(-max(others.values(), default=0) - 2.5, top + 1.5)
    axes.set_yticks([(top + 1) / 2, -(max(others.values(), default=0) + 2) / 2], ["in service", "with these\nrules"])
    axes.tick_params(axis="y", length=0)
    locator = dates.AutoDateLocator(maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    axes.spines["left"].set_visible(False)
    handles = [Patch(color=colour, label=name) for name, colour in _COLOURS.items()]
    figure.legend(handles=handles, loc="outside upper right", fontsize=7.5, frameon=False, ncols=3, labelcolor=INK)
    return figure


def _draw(
    axes: Any, comparison: Comparison, told: Sequence[Told], lanes: dict[str, int], first: float, down: bool = False
) -> None:
    for of in told:
        y = first - lanes[of.id]
        end_ms = min(of.ended_ms, comparison.span_ms[1])
        axes.hlines(y, _date(of.since_ms), _date(end_ms), color=_COLOURS[of.severity], linewidth=4.0)
        axes.plot([_date(of.told_ms)], [y], marker="|", color=INK, markersize=7, markeredgewidth=1.2)


def _lanes(told: Sequence[Told]) -> dict[str, int]:
    """A lane for each incident, so that none lies on another."""
    ends: list[int] = []
    lanes: dict[str, int] = {}
    for of in sorted(told, key=lambda of: (of.since_ms, of.id)):
        free = next((lane for lane, end in enumerate(ends) if end < of.since_ms), len(ends))
        free = min(free, _LANES_MAX)
        ends[free : free + 1] = [of.ended_ms]
        lanes[of.id] = free
    return lanes


def _date(time_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=time_ms)
