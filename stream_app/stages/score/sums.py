"""The columns of panes, summed over groups of events: whole numbers, so that no order and no way to sum matters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from flowlib.channels import value_codes
from flowlib.table import Floats, Ints
from schemas.pane_layout import (
    ALPHAS,
    GROUPS,
    LOG_PROB_CLIP,
    NO_HIGH,
    NO_LOW,
    SQUARE_SCALE,
    SUM_SCALE,
    PaneLayout,
    fixed_square,
    fixed_sum,
)
from stream_app.stages.batches import ScoredBatch
from stream_app.stages.score.screening import Screening

try:
    from stream_app.native import _panes
except ImportError:  # no compiler when driftflow was installed
    _panes = None  # type: ignore[assignment]

_MATRIX = 16
"""Events of a group from which on, on average, products of columns are summed as a product of matrices. A float64 holds
their sums exactly: scores are below 2¹², and a batch has fewer than 2²⁹ events."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Events in groups, n events and m groups.

    Attributes:
        rows: ``(n,)`` which events, group by group.
        first: ``(m,)`` places among them at which groups begin.
    """

    rows: Ints
    first: Ints

    @classmethod
    def of(cls, codes: Ints, rows: Ints) -> Groups:
        """Some events ``(n,)``, at least one, in groups of one code each: ``codes`` are those of all events."""
        own = codes[rows]
        if own[0] == own[-1] and np.all(own == own[0]):
            return cls(rows, np.zeros(1, dtype=np.int64))
        # Few bits are sorted in one pass.
        order = np.argsort(own.astype(np.uint16) if own.max() < 1 << 16 else own, kind="stable")
        own = own[order]
        return cls(rows[order], np.flatnonzero(np.diff(own, prepend=-1)))

    @property
    def firsts(self) -> Ints:
        """``(m,)`` an event of each group."""
        return self.rows[self.first]

    @property
    def counts(self) -> Ints:
        """``(m,)`` their sizes."""
        return np.diff(self.first, append=len(self.rows))


def add_events(layout: PaneLayout, scored: ScoredBatch, pairs: Ints, which: Ints, place: Ints, into: Ints) -> None:
    """Add events that have a score to the rows of a pane.

    Args:
        layout: columns of the rows.
        scored: n events.
        pairs: ``(p, 2)`` pairs of their model.
        which: ``(m,)`` those to be added, at least one.
        place: ``(n,)`` the row of each event's slice.
        into: ``(M, w)`` the rows, changed in place.
    """
    if _panes is None:
        groups = Groups.of(place, which)
        layout.merge(into, place[groups.firsts], event_sums(layout, scored, pairs, groups))
        return
    ready, (first, width) = np.ascontiguousarray, _places(layout)
    _panes.add(
        into,
        ready(which),
        place[which],
        first,
        ready(pairs),
        _ALPHAS,
        _SCALES,
        ready(scored.log_prob),
        ready(scored.p_value),
        ready(scored.events.numeric),
        ready(scored.adaptive),
        ready(scored.missing),
        ready(scored.base),
        ready(scored.group),
        ready(scored.value),
        width,
    )


@cache
def _places(layout: PaneLayout) -> tuple[Ints, Ints]:
    """Where the columns begin that ``native/panes`` adds to, in its order; and the width of a row, with the groups of a
    categorical column.
    """
    columns = [layout.columns[name].start for name in _ADDED]
    return np.array(columns, dtype=np.int64), np.array([layout.width, GROUPS], dtype=np.int64)


_ADDED = (
    "seen",
    "missing",
    "low",
    "high",
    "scored",
    "log_prob_sum",
    "p_le",
    "adaptive",
    "base",
    "square",
    "product",
    "group",
    "value",
)
_SCALES = np.array([LOG_PROB_CLIP, SUM_SCALE, SQUARE_SCALE])


def event_sums(layout: PaneLayout, scored: ScoredBatch, pairs: Ints, groups: Groups) -> Ints:
    """Columns ``(m, w)`` of groups of events that have a score; ``pairs (p, 2)`` are those of their model."""
    place, rows, first = layout.columns, groups.rows, groups.first
    out, counts = layout.blank(len(first)), groups.counts
    out[:, place["seen"].start] = out[:, place["scored"].start] = counts
    out[:, place["log_prob_sum"].start : place["base"].start] = np.add.reduceat(_of_each(scored, rows), first, axis=0)
    base = scored.base[rows]
    out[:, place["base"]] = np.add.reduceat(base, first, axis=0)
    if len(rows) >= _MATRIX * len(first):
        products = _products(base.astype(np.float64), first)
        out[:, place["square"]] = products.diagonal(axis1=1, axis2=2)
        out[:, place["product"]] = products[:, pairs[:, 0], pairs[:, 1]]
    else:
        out[:, place["square"]] = np.add.reduceat(base * base, first, axis=0)
        product = base[:, pairs[:, 0]]
        product *= base[:, pairs[:, 1]]
        out[:, place["product"]] = np.add.reduceat(product, first, axis=0)
    out[:, place["value"]] = np.add.reduceat(scored.value[rows], first, axis=0)
    number = np.repeat(np.arange(len(first)), counts)
    for k in range(layout.k):
        at, start = number * GROUPS + scored.group[rows, k], place["group"].start + k * GROUPS
        out[:, start : start + GROUPS] = np.bincount(at, minlength=len(first) * GROUPS).reshape(-1, GROUPS)
    _add_ranges(layout, scored, groups, out)
    return out


def _of_each(scored: ScoredBatch, rows: Ints) -> Ints:
    """Columns ``(n, 11)`` from ``log_prob_sum`` to ``adaptive`` of each event by itself."""
    values = np.empty((len(rows), 3 + len(ALPHAS)), dtype=np.int64)
    log_prob = np.clip(scored.log_prob[rows], -LOG_PROB_CLIP, LOG_PROB_CLIP)
    values[:, 0], values[:, 1] = fixed_sum(log_prob), fixed_square(log_prob)
    values[:, 2:-1] = scored.p_value[rows, None] <= _ALPHAS
    values[:, -1] = scored.adaptive[rows]
    return values


_ALPHAS = np.array(ALPHAS)


def _products(base: Floats, first: Ints) -> Ints:
    """``(m, c, c)`` sums of the products of columns ``(n, c)`` over groups."""
    bounds = [*first.tolist(), len(base)]
    out = np.empty((len(first), base.shape[1], base.shape[1]))
    for i in range(len(first)):
        part = base[bounds[i] : bounds[i + 1]]
        np.matmul(part.T, part, out=out[i])
    return out.astype(np.int64)


def _add_ranges(layout: PaneLayout, scored: ScoredBatch, groups: Groups, out: Ints) -> None:
    """The columns ``missing``, ``low`` and ``high``."""
    place, rows, first = layout.columns, groups.rows, groups.first
    missing, numeric = scored.missing[rows], scored.events.numeric[rows]
    if missing.any():
        codes = value_codes(numeric)
        low, high = np.where(missing, NO_LOW, codes), np.where(missing, NO_HIGH, codes)
        out[:, place["missing"]] = np.add.reduceat(missing, first, axis=0, dtype=np.int64)
        out[:, place["low"]] = np.minimum.reduceat(low, first, axis=0)
        out[:, place["high"]] = np.maximum.reduceat(high, first, axis=0)
    else:
        out[:, place["low"]] = value_codes(np.minimum.reduceat(numeric, first, axis=0))
        out[:, place["high"]] = value_codes(np.maximum.reduceat(numeric, first, axis=0))


def odd_sums(layout: PaneLayout, scored: ScoredBatch, timing: Screening, groups: Groups) -> Ints:
    """Columns ``(m, w)`` of groups of events: how many are late, have no score, or were read leniently."""
    place, rows, first = layout.columns, groups.rows, groups.first
    out, late = layout.blank(len(first)), timing.late[rows]
    out[:, place["late"].start] = np.add.reduceat(late, first, dtype=np.int64)
    out[:, place["unscorable"].start] = np.add.reduceat(~late & ~scored.scorable[rows], first, dtype=np.int64)
    if scored.events.coerced is not None:
        out[:, place["coerced"].start] = np.add.reduceat(scored.events.coerced[rows] > 0, first, dtype=np.int64)
    return out
