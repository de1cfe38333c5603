"""A stream at the level of sums, for the checks: pane rows of slices with a model's reference, and planted changes.

Columns ``x0`` … vary, ``still`` is constant, ``gone`` is never there; ``c0`` … are categories. Base coordinates are
independent and normal, in time an AR(1) of each slice where asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtr

from flowlib.channels import GROUPS, UNIT, Channels, EventScores, value_codes
from flowlib.density import Scores
from flowlib.reference.fit import fit_reference
from flowlib.reference.reference import ABSENT, CONSTANT, VARIES, Reference
from flowlib.reference.values import value_counts
from flowlib.table import Bools, Floats, Ints, Singles, Table
from schemas.pane_layout import ALPHAS, NO_HIGH, NO_LOW, PaneLayout
from stream_app.config import Config, EventConfig, TopicsConfig
from stream_app.stages.detection.detectors.base import Part

PANE_MS = 3_600_000
START_MS = 1_700_006_400_000
_LEVELS = np.array([0.5, 0.3, 0.2])


@dataclass(frozen=True)
class Change:
    """What is otherwise: of the column ``x0``, but for the last six.

    Attributes:
        shift, scale: of its base coordinate.
        dependence: correlation with ``x1``.
        missing: share of missing values.
        unit: factor of its values, not of its base coordinate.
        stuck: it repeats one value.
        stranger: shift of the surprise.
        unseen: share of values of ``c0`` that were never seen.
        varies: the constant column has other values.
        appears: the absent column has values.
        rate: factor of the number of events.
        coerced: share of events that are read leniently.
    """

    shift: float = 0.0
    scale: float = 1.0
    dependence: float = 0.0
    missing: float = 0.0
    unit: float = 1.0
    stuck: bool = False
    stranger: float = 0.0
    unseen: float = 0.0
    varies: bool = False
    appears: bool = False
    rate: float = 1.0
    coerced: float = 0.0


CHANGES: dict[str, Change] = {
    "location": Change(shift=1.5),
    "scale": Change(scale=2.5),
    "dependence": Change(dependence=0.9),
    "likelihood": Change(stranger=3.0),
    "categories": Change(unseen=0.4),
    "variation": Change(varies=True),
    "appearance": Change(appears=True),
    "unit": Change(unit=1000.0),
    "missing": Change(missing=0.4),
    "stuck": Change(stuck=True),
    "silence": Change(rate=0.0),
    "volume": Change(rate=0.2),
    "coerced": Change(coerced=0.3),
}
NOTHING = Change()


@dataclass(frozen=True)
class Events:
    """n events, by pane and slice."""

    pane: Ints
    slice_: Ints
    numeric: Floats
    scores: Scores
    coerced: Bools

    def take(self, rows: slice) -> Events:
        """Some of them."""
        s = self.scores
        scores = _scores(s.z[rows], s.levels[rows], s.surprise[rows], s.missing[rows])
        return Events(self.pane[rows], self.slice_[rows], self.numeric[rows], scores, self.coerced[rows])


@dataclass(frozen=True)
class World:
    """Slices of a stream.

    Attributes:
        d, k: columns that vary, and categories.
        slices: how many.
        rate: events a pane and slice.
        phi: of the AR(1).
        differ: whether slices have means (sd 1) and scales (log-scale .3) of their own.
        panes: of the reference.
        seed: of everything.
    """

    d: int = 3
    k: int = 1
    slices: int = 4
    rate: float = 6.0
    phi: float = 0.0
    differ: bool = False
    panes: int = 240
    seed: int = 0

    @property
    def config(self) -> Config:
        """A stream with these columns and the default rules."""
        numeric, categorical = [*(f"x{j}" for j in range(self.d)), "still", "gone"], [f"c{j}" for j in range(self.k)]
        event = EventConfig(time_field="t", numeric=numeric, categorical=categorical, slicings=[["slice"]])
        return Config(stream="s", topics=TopicsConfig(events="e"), event=event)

    @property
    def layout(self) -> PaneLayout:
        """Columns of its rows."""
        return PaneLayout(self.d + 2, self.k)

    @property
    def names(self) -> list[str]:
        """Of the slices, in order."""
        return [f"s{i:04d}" for i in range(self.slices)]

    @cached_property
    def _own(self) -> tuple[Floats, Floats]:
        rng = np.random.default_rng(self.seed + 1)
        shape = (self.slices, self.d)
        return self.differ * rng.standard_normal(shape), np.exp(0.3 * self.differ * rng.standard_normal(shape))

    def events(self, panes: int, seed: int, changes: dict[int, Change] | None = None) -> Events:
        """Events of a number of panes; from the first on some slices have changed."""
        rng, n_max = np.random.default_rng((self.seed, seed)), int(self.rate + 6 * self.rate**0.5 + 6)
        steps = panes * n_max
        noise = rng.standard_normal((steps + 20, self.slices, self.d)) * (1 - self.phi**2) ** 0.5
        z = noise if not self.phi else lfilter([1.0], [1.0, -self.phi], noise, axis=0)
        z = z[20:].reshape(panes, n_max, self.slices, self.d).transpose(0, 2, 1, 3)
        rates = self.rate * np.array([(changes or {}).get(i, NOTHING).rate for i in range(self.slices)])
        counts = np.minimum(rng.poisson(rates, (panes, self.slices)), n_max)
        pane, slice_, at = np.nonzero(np.arange(n_max) < counts[:, :, None])
        location, scale = self._own
        return self._made(rng, pane, slice_, z[pane, slice_, at] * scale[slice_] + location[slice_], changes or {})

    def _made(
        self, rng: np.random.Generator, pane: Ints, slice_: Ints, z: Floats, changes: dict[int, Change]
    ) -> Events:
        n = len(z)
        levels = rng.choice(len(_LEVELS), (n, self.k), p=_LEVELS).astype(np.int64)
        missing = np.zeros((n, self.d + 2), dtype=bool)
        missing[:, : self.d] = rng.random((n, self.d)) < 0.02
        still, gone, more, unit = np.full(n, 7.0), np.full(n, np.nan), np.zeros(n), np.ones(n)
        coerced = np.zeros(n, dtype=bool)
        for i, change in changes.items():
            own = np.flatnonzero(slice_ == i)
            z[own, 0] = z[own, 0] * change.scale + change.shift
            if self.d > 1:
                z[own, 0] = z[own, 0] * (1 - change.dependence**2) ** 0.5 + change.dependence * z[own, 1]
            z[own, 0] = 0.7 if change.stuck else z[own, 0]
            missing[own, 0] |= rng.random(len(own)) < change.missing
            if self.k:
                levels[own, 0] = np.where(rng.random(len(own)) < change.unseen, len(_LEVELS), levels[own, 0])
            still[own] += change.varies * rng.standard_normal(len(own))
            gone[own] = np.where(change.appears, 1.0, np.nan)
            more[own], unit[own] = change.stranger, change.unit
            coerced[own] = np.arange(len(own)) % 10 < 10 * change.coerced
        missing[:, self.d + 1] = np.isnan(gone)
        numeric = np.column_stack([z[:, 0] * unit + unit - 1, z[:, 1:], still, gone])
        numeric[missing] = np.nan
        base = np.where(missing, 0.0, np.column_stack([z, np.zeros((n, 2))])).astype(np.float32)
        scores = _scores(base, levels, (z**2).sum(axis=1) / self.d + more, missing)
        return Events(pane, slice_, numeric, scores, coerced)

    @cached_property
    def fitted(self) -> tuple[Channels, Reference]:
        """What a model would say is normal."""
        events = self.events(self.panes, -1 % 2**32)
        names = np.array(self.names, dtype=object)
        times = START_MS + PANE_MS * events.pane + np.arange(len(events.pane)) % PANE_MS
        table = Table.of(events.numeric, slices=names[events.slice_], time_ms=times)
        kinds = np.array([VARIES] * self.d + [CONSTANT, ABSENT], dtype=np.int64)
        channels = Channels.fit(events.scores, (len(_LEVELS),) * self.k, kinds == VARIES)
        return channels, fit_reference(channels, channels.of(events.scores), table, kinds, PANE_MS)

    def part(self, number: int, rows: Ints, slices: Ints | None = None) -> Part:
        """A pane of rows ``(p, w)`` of some slices (all)."""
        reference, slices = self.fitted[1], np.arange(self.slices) if slices is None else slices
        known = reference.index([self.names[i] for i in slices])
        start = np.full(len(slices), START_MS + number * PANE_MS, dtype=np.int64)
        return Part(self.layout, start, reference, known, slices, rows[slices])

    def rows(self, events: Events, panes: int) -> list[Ints]:
        """Rows ``(slices, w)`` of each pane."""
        edges = np.searchsorted(events.pane, np.arange(panes + 1))
        return [self._rows(events.take(slice(a, b))) for a, b in pairwise(edges)]

    def _rows(self, events: Events) -> Ints:
        out = self.layout.blank(self.slices)
        if len(events.slice_):
            first = np.flatnonzero(np.diff(events.slice_, prepend=-1))
            channels, reference = self.fitted
            values = _columns(self.layout, channels, channels.of(events.scores), events, reference)
            self.layout.merge(out, events.slice_[first], self.layout.merge_sorted(values, first))
        return out

    def parts(self, panes: int, seed: int, changes: dict[int, Change] | None = None, first: int = 0) -> list[Part]:
        """Panes of all slices, one after the other; those without events have blank rows."""
        rows = self.rows(self.events(panes, seed, changes), panes)
        return [self.part(first + number, of_pane) for number, of_pane in enumerate(rows)]


def with_events(part: Part) -> Part:
    """The slices of a pane that have events."""
    return some(part, np.flatnonzero(part.layout.get(part.rows, "seen") > 0))


def some(part: Part, at: Ints | Bools | list[int]) -> Part:
    """Some of the slices of a pane."""
    return Part(part.layout, part.start_ms[at], part.reference, part.known[at], part.slices[at], part.rows[at])


def _scores(z: Singles, levels: Ints, surprise: Floats, missing: Bools) -> Scores:
    """As a model gives them, with zeros where nothing here looks."""
    n, zeros = len(z), np.zeros(len(z))
    everywhere = np.ones(n, dtype=bool)
    return Scores(zeros, zeros[:, None], z, z, levels, zeros, surprise, zeros + 0.5, ~everywhere, everywhere, missing)


def _columns(layout: PaneLayout, channels: Channels, scores: EventScores, events: Events, reference: Reference) -> Ints:
    """Columns ``(n, w)`` of each event by itself."""
    place, missing, n = layout.columns, events.scores.missing, len(events.pane)
    out = np.zeros((n, layout.width), dtype=np.int64)
    out[:, place["seen"]] = out[:, place["scored"]] = 1
    out[:, place["missing"]] = missing
    out[:, place["coerced"].start] = events.coerced
    codes = value_codes(np.where(missing, 0.0, events.numeric))
    out[:, place["low"]], out[:, place["high"]] = np.where(missing, NO_LOW, codes), np.where(missing, NO_HIGH, codes)
    out[:, place["p_le"]] = ndtr(-scores.base[:, -1:] / UNIT) <= np.array(ALPHAS)
    out[:, place["base"]], out[:, place["square"]] = scores.base, scores.base**2
    out[:, place["product"]] = channels.products(scores.base)
    out[:, place["value"]] = value_counts(events.numeric, reference.value_centre, reference.value_scale)
    out[:, place["group"]] = (scores.group[:, :, None] == np.arange(GROUPS)).reshape(n, -1)
    return out
