"""Planted streams: events of a known density, with a change of a known kind in chosen slices from a known pane on.

``d`` features with the correlation matrix one asks for, a Poisson or fixed number of events for each pane and slice,
a reference of ``reference`` panes, then monitoring. The same :class:`Planted` gives the same events; changes are made
to the same draws, so a stream with changes and the one without them agree wherever nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtr
from scipy.stats import poisson

from flowlib.table import Bools, Floats, Ints, Singles

HOUR_MS = 3_600_000
START_MS = 1_704_067_200_000 // (5 * 24 * HOUR_MS) * (5 * 24 * HOUR_MS)
"""First pane: a day whose number is a multiple of five, so that every five days of a reference fill each fold once."""

LOCATION_SD, LOG_SCALE_SD = 1.0, 0.3
"""How slices that differ differ, in sd of an event."""

CONSTANT = 4.25
ZERO_SHARE, COUNT_MEAN, COUNT_MAX = 0.5, 3.0, 30


@dataclass(frozen=True)
class Change:
    """What happens to a slice.

    Attributes:
        kind: of :data:`KINDS`.
        features: columns that change; none for changes of the traffic.
    """

    kind: str
    features: tuple[int, ...] = ()


@dataclass(frozen=True)
class Planted:
    """A stream.

    Attributes:
        d, slices: features and slices.
        reference, monitored: panes before and after monitoring begins.
        change_pane: first changed pane, counted from the beginning of the stream.
        changes: slice number to what happens to it.
        per_pane: mean number of events for a pane and slice.
        fixed: exactly so many (``per_pane`` is then whole) instead of a Poisson number.
        correlation: ``(d, d)``, or one number for all pairs.
        mean, sd: ``(d,)`` of the columns, or one number for all.
        phi: correlation of an event with the one before it in its slice, of every feature.
        differ: slices have locations and scales of their own.
        counts: columns are zero-inflated counts.
        constant: columns that never vary, until they ``begin``.
        seed: of everything.
    """

    slices: int = 60
    d: int = 8
    reference: int = 240
    monitored: int = 480
    change_pane: int = 480
    changes: dict[int, Change] = field(default_factory=dict)
    per_pane: float = 6.0
    fixed: bool = False
    correlation: float | Sequence[Sequence[float]] = 0.5
    mean: float | Sequence[float] = 0.0
    sd: float | Sequence[float] = 1.0
    phi: float = 0.0
    differ: bool = False
    counts: bool = False
    constant: tuple[int, ...] = ()
    seed: int = 0

    @property
    def panes(self) -> int:
        """All panes."""
        return self.reference + self.monitored

    @property
    def features(self) -> list[str]:
        """Names of the columns."""
        return [f"x{j}" for j in range(self.d)]

    def names(self) -> list[str]:
        """Names of the slices, by number."""
        return [f"s{s:04d}" for s in range(self.slices)]

    def covariance(self) -> Floats:
        """``(d, d)`` of the columns where slices do not differ."""
        return matrix(self.correlation, self.d) * np.outer(*(np.broadcast_to(self.sd, self.d),) * 2)

    def events(self) -> Events:
        """Draw them."""
        return _draw(self)


@dataclass(frozen=True)
class Events:
    """Events in time order.

    Attributes:
        time_ms: ``(n,)``.
        pane: ``(n,)`` from 0 on.
        slice_: ``(n,)`` numbers.
        values: ``(n, d)`` float32, NaN where missing.
        planted: what they were drawn from.
    """

    time_ms: Ints
    pane: Ints
    slice_: Ints
    values: Singles
    planted: Planted

    def __len__(self) -> int:
        return len(self.pane)

    def span(self, first: int, end: int) -> Events:
        """The events of panes ``[first, end)``."""
        a, b = np.searchsorted(self.pane, (first, end))
        return Events(self.time_ms[a:b], self.pane[a:b], self.slice_[a:b], self.values[a:b], self.planted)

    def bodies(self) -> list[bytes]:
        """Each event as a JSON object: ``time`` in epoch ms, ``slice``, and its columns."""
        names, columns = self.planted.names(), self.planted.features
        row = '{"time":%d,"slice":"%s",' + ",".join(f'"{name}":%.7g' for name in columns) + "}"
        times, slices, values = self.time_ms.tolist(), self.slice_.tolist(), self.values.tolist()
        return [
            (row % (t, names[s], *x)).replace(":nan", ":null").encode()
            for t, s, x in zip(times, slices, values, strict=True)
        ]


def matrix(correlation: float | Sequence[Sequence[float]], d: int) -> Floats:
    """``(d, d)`` correlation matrix from one of :class:`Planted`."""
    if isinstance(correlation, float | int):
        return (1 - correlation) * np.eye(d) + correlation
    return np.asarray(correlation, dtype=np.float64)


def one_pair(d: int, pair: tuple[int, int], rho: float = 0.5) -> list[list[float]]:
    """Correlation matrix of independent columns but for one pair."""
    out = np.eye(d)
    out[pair], out[pair[::-1]] = rho, rho
    return out.tolist()


def _draw(p: Planted) -> Events:
    g, own, extra = (np.random.default_rng([p.seed, k]) for k in range(3))
    size = (p.panes, p.slices)
    count = np.full(size, int(p.per_pane)) if p.fixed else g.poisson(p.per_pane, size)
    pane = np.repeat(np.arange(p.panes), count.sum(axis=1))
    slice_ = np.repeat(np.tile(np.arange(p.slices), p.panes), count.ravel())
    time_ms = START_MS + pane * HOUR_MS + g.integers(0, HOUR_MS, len(pane))
    order = np.argsort(time_ms, kind="stable")
    time_ms, pane, slice_ = time_ms[order], pane[order], slice_[order]
    y = _in_turn(g.standard_normal((len(pane), p.d)), slice_, p.phi) @ np.linalg.cholesky(matrix(p.correlation, p.d)).T
    keep, later = np.ones(len(pane), dtype=bool), []
    for number, change in p.changes.items():
        rows = np.flatnonzero((slice_ == number) & (pane >= p.change_pane))
        y[rows], keep[rows] = KINDS[change.kind](y[rows], change.features, extra)
        if KINDS[change.kind] is _later:
            later.append((rows, change))
    values = _columns(p, y, slice_, later, own)
    return Events(time_ms[keep], pane[keep], slice_[keep], values[keep], p)


def _in_turn(noise: Floats, slice_: Ints, phi: float) -> Floats:
    """Stationary AR(φ) of unit variance in each slice, from one event to the next."""
    if not phi:
        return noise
    order = np.argsort(slice_, kind="stable")
    out = np.empty_like(noise)
    for rows in np.split(order, np.flatnonzero(np.diff(slice_[order])) + 1):
        own = noise[rows]
        own[1:] *= np.sqrt(1 - phi * phi)
        out[rows] = lfilter([1.0], [1.0, -phi], own, axis=0)
    return out


def _columns(
    p: Planted, y: Floats, slice_: Ints, later: list[tuple[Ints, Change]], own: np.random.Generator
) -> Singles:
    """Standard normal coordinates to the columns themselves."""
    location, scale = own.normal(0, LOCATION_SD, (p.slices, p.d)), np.exp(own.normal(0, LOG_SCALE_SD, (p.slices, p.d)))
    if p.differ:
        y = location[slice_] + scale[slice_] * y
    if p.counts:
        above = (ndtr(y) - ZERO_SHARE) / (1 - ZERO_SHARE)
        y = np.where(above <= 0, 0, np.searchsorted(poisson.cdf(np.arange(COUNT_MAX), COUNT_MEAN), above))
    x = np.broadcast_to(p.mean, p.d) + np.broadcast_to(p.sd, p.d) * y
    x[:, p.constant] = CONSTANT
    for rows, change in later:
        cells = np.ix_(rows, change.features)
        x[cells] = x[cells][:, ::-1] if change.kind == "swap" else CONSTANT + y[cells]
    return x.astype(np.float32)


# Changes, each from the standard normal coordinates (m, d) of the changed rows to new ones and to the rows that stay.

_All = tuple[Floats, Bools]
Effect = Callable[[Floats, tuple[int, ...], np.random.Generator], _All]


def _stay(y: Floats) -> Bools:
    return np.ones(len(y), dtype=bool)


def _shift(by: float) -> Effect:
    def effect(y: Floats, features: tuple[int, ...], g: np.random.Generator) -> _All:
        y[:, features] += by
        return y, _stay(y)

    return effect


def _scale(by: float) -> Effect:
    def effect(y: Floats, features: tuple[int, ...], g: np.random.Generator) -> _All:
        y[:, features] *= by
        return y, _stay(y)

    return effect


def _lose(y: Floats, features: tuple[int, ...], g: np.random.Generator) -> _All:
    """The first of the features no longer depends on anything; its marginal is what it was."""
    y[:, features[0]] = g.standard_normal(len(y))
    return y, _stay(y)


def _missing(share: float) -> Effect:
    def effect(y: Floats, features: tuple[int, ...], g: np.random.Generator) -> _All:
        y[np.ix_(g.random(len(y)) < share, features)] = np.nan
        return y, _stay(y)

    return effect


def _thin(share: float) -> Effect:
    def effect(y: Floats, features: tuple[int, ...], g: np.random.Generator) -> _All:
        return y, g.random(len(y)) < share

    return effect


def _stuck(y: Floats, features: tuple[int, ...], g: np.random.Generator) -> _All:
    y[:, features] = 0.3
    return y, _stay(y)


def _later(y: Floats, features: tuple[int, ...], g: np.random.Generator) -> _All:
    """What begins to vary, or changes places, are the columns themselves: :func:`_columns`."""
    return y, _stay(y)


KINDS: dict[str, Effect] = {
    "shift_0.5": _shift(0.5),
    "shift_1": _shift(1.0),
    "shift_2": _shift(2.0),
    "scale_1.5": _scale(1.5),
    "dependence": _lose,
    "swap": _later,
    "missing_20": _missing(0.2),
    "volume_20": _thin(0.2),
    "silent": _thin(0.0),
    "stuck": _stuck,
    "begins_to_vary": _later,
}
"""Name of a change to what it does. Sizes are in sd of the slice's own events."""
