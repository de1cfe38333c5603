"""Evasion: how far a row that is called strange has to be changed until it is not, by somebody who knows the model.

Projected gradient descent on the surprise within a box around each row (Madry et al., "Towards Deep Learning Models
Resistant to Adversarial Attacks", arXiv 1706.06083). The box is one of raw values: so many standard deviations of each
column that the attacker can change. Columns are mapped to features one by one, so the gradient is the flow's by
automatic differentiation, times each column's own slope by differences. Every step is judged by the real score of the
raw row, on the grid of rounded columns: what is said to slip through does.

The surprise grows in steps, as a rank does; its slope is taken over a little more than a step. That such a slope can
mislead is why :func:`at_random` stands beside it (Athalye, Carlini & Wagner, arXiv 1802.00420).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from flowlib.calibration import Calibration
from flowlib.density import Density, Scores
from flowlib.gaussians import Gaussians
from flowlib.margins import Margins
from flowlib.rarity import rarity_of
from flowlib.surroundings import undisturbed
from flowlib.table import Bools, Floats, Ints, Singles, Table

STEPS, STARTS = 30, 4
"""Of the descent. The first two from the row itself, the others from anywhere in its box; every second one down the
likelihood and the distance themselves, whose slopes do not vanish where ranks do not change any more.
"""

_AT_HOME = 2
_LARGEST, _LEAST = 0.3, 0.02
"""First and last step, shares of the box."""

_TINY = 1e-3
"""Share of a standard deviation over which slopes are taken."""

_STEPS_OF_RANK = 50
"""The slope of a rank is taken over one part in so many of the middle nine tenths of the reference."""


@dataclass(frozen=True)
class Box:
    """What an attacker may do to a row.

    Attributes:
        reach: ``(d,)`` how far each value may move in raw units, 0 where it may not.
        grid: ``(d,)`` moves are multiples of this, 0 for any.
        spread: ``(d,)`` standard deviations of the columns.
    """

    reach: Floats
    grid: Floats
    spread: Floats

    @classmethod
    def of(cls, density: Density, ordinary: Table, budget: float, columns: Collection[str] | None = None) -> Box:
        """So many standard deviations of ordinary rows (interquartile range over 1.349) of some columns, or of all.

        Raises:
            ValueError: the budget is not positive, or the model has no such numeric column.
        """
        names = density.spec.numeric
        chosen = set(names if columns is None else columns)
        if unknown := sorted(chosen - set(names)):
            raise ValueError(f"no numeric column {unknown[0]!r}: there are {', '.join(names)}")
        if not budget > 0 or not np.isfinite(budget):
            raise ValueError(f"an attacker's budget must be a positive number of standard deviations, got {budget:g}")
        spread = Margins.fit(ordinary.numeric).spread
        free = np.array([name in chosen for name in names])
        return cls(np.where(free, budget * spread, 0.0), density.encoder.resolution, spread)

    def anywhere(self, x: Floats, generator: np.random.Generator, corners: bool = False) -> Floats:
        """A point of the box around each row ``(n, d)``, or one of its corners."""
        at = generator.uniform(-1.0, 1.0, x.shape)
        return np.asarray(x + self.reach * (np.sign(at) if corners else at))

    def kept(self, x: Floats, around: Floats) -> Floats:
        """The nearest points of the boxes around some rows."""
        return np.asarray(np.clip(x, around - self.reach, around + self.reach))

    def on_grid(self, x: Floats, around: Floats) -> Floats:
        """The same with moves of rounded columns cut to whole steps; what is missing stays so."""
        move = x - around
        step = np.where(self.grid > 0, self.grid, 1.0)
        return np.asarray(
            around + np.where(self.grid > 0, np.trunc(move / step + np.copysign(1e-9, move)) * step, move)
        )


@undisturbed()
def descend(
    density: Density,
    rows: Table,
    box: Box,
    alpha: float,
    seed: int = 0,
    steps: int = STEPS,
    starts: int = STARTS,
    tried: Sequence[Table] = (),
) -> Table:
    """The rows as an attacker makes them who follows the gradient; those that slip through earlier stop there.

    Args:
        density: the model that is known to the attacker, and that they look at.
        rows: n rows that are to look ordinary.
        box: what may be done to them.
        alpha: a row slips through where its p-value is above; 1 for as ordinary as can be.
        seed: of the starts.
        steps, starts: of the descent.
        tried: what other attacks within the box have made of the rows: further starts, so that this one finds what
            they do.
    """
    best, generator = _Best(density, rows, alpha), np.random.default_rng(seed)
    context = density.encoder.encode(rows).context
    begun = [rows.numeric] * _AT_HOME + [table.numeric for table in tried]
    for start in range(starts + len(tried)):
        active = best.active
        x = begun[start][active] if start < len(begun) else box.anywhere(rows.numeric[active], generator)
        for step in range(steps + 1):
            around = rows.numeric[active]
            at = box.on_grid(x, around)
            scores, open_ = best.try_out(at, active)
            active, around, x, at = active[open_], around[open_], x[open_], at[open_]
            if step == steps or not len(active):
                break
            size = _LARGEST * (1.0 - step / steps) + _LEAST
            weights = _weights(density.calibration, scores.log_prob[open_], scores.distance[open_], start % 2 == 0)
            slope = _slope(density, at, context[active], weights, box)
            x = box.kept(x - size * box.reach * np.sign(slope), around)
    return best.rows


def at_random(
    density: Density, rows: Table, box: Box, alpha: float, seed: int = 0, tries: int = STEPS * STARTS
) -> Table:
    """The same by somebody who only asks the model, as often as :func:`descend` does: points and corners in turn."""
    best, generator = _Best(density, rows, alpha), np.random.default_rng(seed)
    for number in range(tries):
        active = best.active
        if not len(active):
            break
        around = rows.numeric[active]
        best.try_out(box.on_grid(box.anywhere(around, generator, number % 2 == 1), around), active)
    return best.rows


def slips(density: Density, rows: Table, alpha: float) -> Bools:
    """``(n,)`` rows that are scored and not called strange; one that cannot be scored is told as well."""
    scores = density.score(rows)
    return np.asarray(scores.scorable & (scores.p_value > alpha))


class _Best:
    """The most ordinary form of each row so far, by the real score."""

    def __init__(self, density: Density, rows: Table, alpha: float) -> None:
        scores = density.score(rows)
        self._density, self.rows, self._alpha = density, rows.with_numeric(rows.numeric.copy()), alpha
        self._surprise = scores.surprise.copy()
        self._over = ~scores.scorable | (scores.p_value > alpha)
        """Rows that slip through, or that nothing can be done with."""

    @property
    def active(self) -> Ints:
        """Rows that do not slip through yet."""
        return np.flatnonzero(~self._over)

    def try_out(self, numeric: Floats, active: Ints) -> tuple[Scores, Bools]:
        """Other numbers ``(m, d)`` for some rows ``(m,)``: their scores, and which do not slip through yet."""
        scores = self._density.score(self.rows.take(active).with_numeric(numeric))
        slipped = scores.scorable & (scores.p_value > self._alpha)
        better = slipped | (scores.scorable & (scores.surprise < self._surprise[active]))
        self.rows.numeric[active[better]] = numeric[better]
        self._surprise[active[better]], self._over[active] = scores.surprise[better], slipped
        return scores, np.asarray(~slipped)


def _slope(density: Density, numeric: Floats, context: Singles, weights: tuple[Floats, Floats], box: Box) -> Floats:
    """``(n, d)`` of a weighted sum of nll and distance by raw values; 0 where one is missing or may not be moved.

    Args:
        density: the model.
        numeric: ``(n, d)`` raw values.
        context: ``(n, c)`` of the rows, which no number changes.
        weights: ``(n,)`` each, of :func:`_weights`.
        box: how wide columns are, and which may be moved.
    """
    tiny, calibration = _TINY * box.spread, density.calibration
    features, *_, missing, _ = density.encoder.numbers(numeric)
    (low, low_ladj, low_tails, *_), (high, high_ladj, high_tails, *_) = (
        density.encoder.numbers(numeric + side * tiny) for side in (-1.0, 1.0)
    )
    by_raw, tails = (high.astype(np.float64) - low) / (2 * tiny), (high_tails - low_tails) / (2 * tiny)
    beside = (high_ladj - low_ladj) / (2 * tiny)
    x = torch.from_numpy(features.copy()).requires_grad_()
    z, ladj = density.flow(x, torch.from_numpy(context))
    squares = (z * z).sum()
    (of_log_prob,) = torch.autograd.grad(ladj.sum() - 0.5 * squares, x, retain_graph=True)
    likelihood = _wide(of_log_prob) * by_raw + beside - tails
    if calibration.beside:
        further = [_further(one, numeric, features, by_raw, tails) for one in calibration.beside]
    else:
        (of_squares,) = torch.autograd.grad(squares, x)
        further = [_wide(of_squares) * by_raw + 2.0 * tails]
    of_nll, of_distance = weights
    slope = np.einsum("np,pnd->nd", of_distance, further) - of_nll[:, None] * likelihood
    return np.asarray(np.where(np.isfinite(slope) & ~missing & (box.reach > 0), slope, 0.0))


def _wide(gradient: torch.Tensor) -> Floats:
    return gradient.numpy().astype(np.float64)


def _further(one: Margins | Gaussians, numeric: Floats, features: Singles, by_raw: Floats, tails: Floats) -> Floats:
    return _margins_slope(one, numeric) if isinstance(one, Margins) else one.slope(features) * by_raw + tails


def _margins_slope(margins: Margins, numeric: Floats) -> Floats:
    off = (numeric - margins.centre) / margins.spread
    return np.asarray(np.arcsinh(off) / (margins.scale**2 * margins.spread * np.sqrt(1.0 + off * off)))


def _weights(calibration: Calibration, log_prob: Floats, distance: Floats, by_rank: bool) -> tuple[Floats, Floats]:
    """``(n,)`` what a unit of the nll, and ``(n, p)`` of each distance, adds to half the squared surprise; else to
    their sum, each over its range.
    """
    of_distance = [
        weight**2 * _weight(reference, values, by_rank)
        for reference, values, weight in zip(calibration.distance, distance.T, calibration.weights, strict=True)
    ]
    return _weight(calibration.nll, -log_prob, by_rank), np.stack(of_distance, axis=1)


def _weight(reference: Floats, values: Floats, by_rank: bool) -> Floats:
    low, high = np.quantile(reference, (0.05, 0.95))
    wide = max(float(high - low), 1e-12)
    if not by_rank:
        return np.full(len(values), 1.0 / wide)
    near = wide / _STEPS_OF_RANK
    slope = (rarity_of(values + near, reference) - rarity_of(values - near, reference)) / (2 * near)
    return np.asarray(rarity_of(values, reference) * np.maximum(slope, 1e-3 / wide))
