"""The plots of the report. Colours are names until a figure is written: for a page they become its CSS variables."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from scipy.stats import binom

from flowlib.evaluation import ALPHAS, Estimate
from flowlib.pit import PIT_BINS
from flowlib.table import Floats, Ints
from stream_app.errors import DriftflowError

try:
    import matplotlib as mpl
    from matplotlib.figure import Figure
except ImportError as missing:
    raise DriftflowError("the report needs matplotlib: pip install 'driftflow[report]'") from missing

INK, MUTED, DATA, MODEL, BAND = "#010101", "#010102", "#010103", "#010104", "#010105"
_VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", DATA: "var(--data)", MODEL: "var(--model)", BAND: "var(--band)"}
_LIGHT = {INK: "#1b2430", MUTED: "#8a94a3", DATA: "#7b8794", MODEL: "#d9480f", BAND: "#e3e7ec"}
_PLAIN: dict[str, Any] = {"parse_math": False}
"""Of every text: dollars in the name of a column are not formulas."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ASIDE = 0.2
"""How far from its label the month in which training ends has its two points."""

_POINTS = 700
_SMALL, _WIDE = (2.3, 1.75), (4.2, 2.8)


def svg(figure: Figure) -> str:
    """Inline SVG whose colours are the page's."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "driftflow"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    label = escape(figure.axes[0].get_title(loc="left") or figure.axes[0].get_ylabel())
    text = text[text.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return text


def png(figure: Figure) -> bytes:
    """PNG on white, 160 dots an inch."""
    for artist in figure.findobj():
        for part in ("color", "facecolor", "edgecolor"):
            _recolour(artist, part)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _recolour(artist: Any, part: str) -> None:
    get, put = getattr(artist, f"get_{part}", None), getattr(artist, f"set_{part}", None)
    if get is None or put is None:
        return
    colours = mpl.colors.to_rgba_array(get())
    names = [mpl.colors.to_hex(colour) for colour in colours]
    if len(names) == 1 and names[0] in _LIGHT:
        put((*mpl.colors.to_rgb(_LIGHT[names[0]]), colours[0][3]))


def axes_of(size: tuple[float, float], title: str = "") -> tuple[Figure, Any]:
    """An empty figure of the report's style, inches, and its axes."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=9, color=INK, loc="left", **_PLAIN)
    axes.tick_params(labelsize=7.5, colors=MUTED, labelcolor=INK)
    axes.set_facecolor("none")
    for name, spine in axes.spines.items():
        spine.set_color(MUTED)
        spine.set_visible(name in ("left", "bottom"))
    return figure, axes


def calibration(curve: Floats, rows: float, title: str = "", wide: bool = False) -> Figure:
    """Share of events with p ≤ α against α, log-log, with the 95 % binomial band of so many independent rows."""
    figure, axes = axes_of(_WIDE if wide else _SMALL, title)
    n = max(int(rows), 1)
    low, high = binom.ppf(0.025, n, ALPHAS) / n, binom.ppf(0.975, n, ALPHAS) / n
    floor = 0.5e-3
    axes.fill_between(ALPHAS, np.maximum(low, floor), high, color=BAND, linewidth=0)
    axes.plot(ALPHAS, ALPHAS, color=MUTED, linewidth=0.9, linestyle="--")
    axes.plot(ALPHAS, np.where(curve > 0, curve, np.nan), color=MODEL, linewidth=1.8)
    axes.set(xscale="log", yscale="log", xlim=(1e-3, 1), ylim=(floor, 1.1))
    axes.minorticks_off()
    axes.set_xticks([1e-3, 1e-2, 1e-1, 1], ["0.1 %", "1 %", "10 %", "all"])
    axes.set_yticks([1e-3, 1e-2, 1e-1, 1], ["0.1 %", "1 %", "10 %", "all"])
    if wide:
        axes.set_xlabel("p-value at or below", fontsize=8.5, color=INK, **_PLAIN)
        axes.set_ylabel("share of events", fontsize=8.5, color=INK, **_PLAIN)
    return figure


def pit(counts: Ints, title: str) -> Figure:
    """Histogram of one column's PIT, relative to flat, with the 95 % band of flat."""
    figure, axes = axes_of(_SMALL, title)
    n = max(int(counts.sum()), 1)
    edges = np.linspace(0, 1, PIT_BINS + 1)
    low, high = (binom.ppf(q, n, 1 / PIT_BINS) / n * PIT_BINS for q in (0.025, 0.975))
    axes.axhspan(low, high, color=BAND, linewidth=0)
    axes.stairs(counts / n * PIT_BINS, edges, color=MODEL, fill=True, alpha=0.75)
    axes.axhline(1.0, color=MUTED, linewidth=0.9, linestyle="--")
    axes.set(xlim=(0, 1), ylim=(0, max(2.0, float(counts.max()) / n * PIT_BINS * 1.05)))
    axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    return figure


def marginal(real: Floats, drawn: Floats, title: str) -> Figure:
    """One column of the rows (filled) and of samples (line), between their 0.5 and 99.5 % quantiles."""
    figure, axes = axes_of(_SMALL, title)
    low, high = _range(real, drawn)
    edges = np.linspace(low, high, 33)
    axes.stairs(_density(real, edges), edges, color=DATA, fill=True, alpha=0.45)
    axes.stairs(_density(drawn, edges), edges, color=MODEL, linewidth=1.4)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
    return figure


def pair(real: Floats, drawn: Floats, names: Sequence[str]) -> Figure:
    """Two columns ``(n, 2)``: samples over rows."""
    figure, axes = axes_of((2.5, 2.3), f"{names[1]} over {names[0]}")
    for values, colour in ((real, DATA), (drawn, MODEL)):
        kept = values[~np.isnan(values).any(axis=1)]
        kept = kept[np.linspace(0, len(kept) - 1, min(len(kept), _POINTS)).astype(int)] if len(kept) else kept
        axes.scatter(*kept.T, s=4.0, color=colour, alpha=0.45, linewidths=0)
    axes.set_xlim(*_range(real[:, 0], drawn[:, 0]))
    axes.set_ylim(*_range(real[:, 1], drawn[:, 1]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(mpl.ticker.MaxNLocator(4))
    return figure


def months(names: Sequence[str], alarms: Sequence[Estimate], trained: int) -> Figure:
    """Share of p ≤ 0.01 by month, with intervals; the first ``trained`` lie in the time of training. The month in which
    it ends is there twice, before and after its end, on either side of one label.

    Args:
        names: months as ``2014-02``, in order.
        alarms: of each.
        trained: how many lie before the end of training.
    """
    figure, axes = axes_of(_WIDE)
    there = list(dict.fromkeys(names))
    places = np.array([float(there.index(name)) for name in names])
    is_split = 0 < trained < len(names) and names[trained - 1] == names[trained]
    if is_split:
        places[[trained - 1, trained]] += (-_ASIDE, _ASIDE)
    end = places[trained - 1] + (_ASIDE if is_split else 0.5) if trained else -0.5
    value = np.array([100 * alarm.value for alarm in alarms])
    error = np.array([[100 * (a.value - a.low), 100 * (a.high - a.value)] for a in alarms]).T
    axes.axvspan(-0.5, end, color=BAND, linewidth=0)
    axes.axhline(1.0, color=MUTED, linewidth=0.9, linestyle="--")
    axes.errorbar(places, value, yerr=np.maximum(error, 0), color=MODEL, fmt="o", markersize=4, linewidth=1.4)
    axes.set(xlim=(-0.5, len(there) - 0.5), ylim=(0, None))
    shown = there[:: max(1, -(-len(there) // 7))]
    axes.set_xticks([there.index(name) for name in shown], month_labels(shown))
    axes.set_ylabel("% of events with p ≤ 0.01", fontsize=8.5, color=INK, **_PLAIN)
    return figure


def month_labels(names: Sequence[str]) -> list[str]:
    """Labels of an axis; the year stands below its first month.

    >>> month_labels(["2013-11", "2014-01", "2014-03"])
    ['Nov\\n2013', 'Jan\\n2014', 'Mar']
    """
    labels, last = [], ""
    for name in names:
        year, month = name.split("-")
        labels.append(_MONTHS[int(month) - 1] + (f"\n{year}" if year != last else ""))
        last = year
    return labels


def slipping(
    kinds: Sequence[str], before: Sequence[float], after: Sequence[Sequence[float]], budgets: Sequence[float]
) -> Figure:
    """Share of each kind that slips through as it is, and after an attack within each budget; one bar a kind."""
    figure, axes = axes_of((6.4, 1.2 + 0.3 * len(kinds)), "Share of strange events that slips through, %")
    places = np.arange(len(kinds))[::-1]
    for number, (budget, shares) in reversed(list(enumerate(zip(budgets, after, strict=True)))):
        strength = 0.85 - 0.6 * number / max(len(budgets), 1)
        axes.barh(places, 100 * np.array(shares), color=MODEL, alpha=strength, label=f"moved by {budget:g} sd")
    axes.barh(places, 100 * np.array(before), color=DATA, label="as they are")
    axes.set(xlim=(0, 100), ylim=(-0.6, len(kinds) - 0.4))
    axes.set_yticks(places, [kind.replace("_", " ") for kind in kinds], **_PLAIN)
    figure.legend(loc="outside lower center", ncols=len(budgets) + 1, fontsize=8, frameon=False, labelcolor=INK)
    return figure


def _range(real: Floats, drawn: Floats) -> tuple[float, float]:
    values = np.concatenate([real[np.isfinite(real)], drawn[np.isfinite(drawn)]])
    if not len(values):
        return 0.0, 1.0
    low, high = np.quantile(values, (0.005, 0.995))
    room = 0.04 * (high - low) or 0.5
    return float(low - room), float(high + room)


def _density(values: Floats, edges: Floats) -> Floats:
    counts = np.histogram(values[np.isfinite(values)], edges)[0]
    return np.asarray(counts / max(counts.sum(), 1), dtype=np.float64)
