"""Why a row is as likely as it is: what was to be expected, and the smallest change that makes it ordinary."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flowlib.density import Density
from flowlib.explain.blame import blame
from flowlib.explain.conditional import conditional
from flowlib.table import Floats, Singles, Table

BAND = (0.05, 0.95)
_STEPS = 64
_ROUNDS = 4
"""Each column moves about so many times at most: two that go together approach their middle in turns."""

_GAIN_MIN = 0.01
"""Nats; a change that gains less is not worth telling."""


@dataclass(frozen=True)
class Expectation:
    """What one numeric column was to be, given the rest of each of n rows; raw units.

    Attributes:
        name: the column.
        observed: ``(n,)``, NaN where missing.
        median, mean: ``(n,)``.
        low, high: ``(n,)`` ends of the 5-95 % band.
        beyond: ``(n,)`` probability of a value at least as far out on the observed one's side; NaN where missing.
    """

    name: str
    observed: Floats
    median: Floats
    mean: Floats
    low: Floats
    high: Floats
    beyond: Floats

    def sentence(self, i: int = 0) -> str:
        """Row ``i`` for people: "PM10 was 812, expected 40 to 130 given the rest"."""
        band = f"expected {self.low[i]:.4g} to {self.high[i]:.4g} given the rest"
        if np.isnan(self.observed[i]):
            return f"{self.name} was missing, {band}"
        return f"{self.name} was {self.observed[i]:.4g}, {band}"


@dataclass(frozen=True)
class Change:
    """One value of a nearest ordinary event, in raw units."""

    name: str
    was: float
    becomes: float


@dataclass(frozen=True)
class Nearest:
    """The smallest change found that makes a row ordinary.

    Attributes:
        changes: few columns; none where the row was ordinary.
        log_prob: of the changed row, nats; −∞ for a row that cannot be scored.
        target: what counts as ordinary, nats.
        reached: False where no change of numeric columns is enough.
    """

    changes: tuple[Change, ...]
    log_prob: float
    target: float
    reached: bool

    def sentence(self) -> str:
        """For people: "ordinary with PM10 95 instead of 812"."""
        if not self.changes:
            return "ordinary as it is" if self.reached else "no change of its numbers makes it ordinary"
        told = ", ".join(f"{change.name} {change.becomes:.4g} instead of {change.was:.4g}" for change in self.changes)
        return f"ordinary with {told}" if self.reached else f"nearer to ordinary with {told}"


@dataclass(frozen=True)
class Explanation:
    """Why one row is as likely as it is.

    Attributes:
        log_prob: nats; −∞ for a row that cannot be scored.
        p_value: share of ordinary rows at least as strange.
        parts: column to nats; they add up to log_prob. None for a row that cannot be scored.
        blame: column to nats that an ordinary value would gain, largest first; at most three.
        sentences: what was to be expected in the columns to blame, or why the row cannot be scored.
        nearest: the smallest change found that makes the row ordinary.
    """

    log_prob: float
    p_value: float
    parts: dict[str, float]
    blame: dict[str, float]
    sentences: tuple[str, ...]
    nearest: Nearest


def explain(density: Density, table: Table) -> list[Explanation]:
    """Everything there is to say of each row."""
    scores, given, near = density.score(table), blame(density, table), nearest_typical(density, table)
    names = (*density.spec.numeric, *density.spec.categorical)
    made = []
    for i in range(len(table)):
        row = table.take(np.array([i]))
        if not scores.scorable[i]:
            floor = density.calibration.floor("")
            made.append(Explanation(-np.inf, floor, {}, {}, (_why_not(density, row),), near[i]))
            continue
        order = [j for j in np.argsort(-given[i], kind="stable").tolist() if given[i, j] > 0]
        numbers = [names[j] for j in order if j < len(density.spec.numeric)]
        made.append(
            Explanation(
                float(scores.log_prob[i]),
                float(scores.p_value[i]),
                dict(zip(names, scores.parts[i].tolist(), strict=True)),
                {names[j]: float(given[i, j]) for j in order},
                tuple(expected(density, row, name).sentence() for name in numbers),
                near[i],
            )
        )
    return made


def _why_not(density: Density, row: Table) -> str:
    x = row.numeric[0]
    wild = [name for name, value in zip(density.spec.numeric, x, strict=True) if np.isinf(value)]
    if wild:
        return f"the row cannot be scored: {', '.join(wild)} beyond what a float32 holds (3.4e38)"
    why = "all of its numbers are missing" if np.isnan(x).all() else "its log-likelihood is no finite number"
    return f"the row cannot be scored: {why}"


def expected(density: Density, table: Table, column: str | int) -> Expectation:
    """What a numeric column was to be in each row, given the rest of the row.

    Args:
        density: the model.
        table: n rows; every other column may miss values too.
        column: name or position of a numeric column.

    Raises:
        ValueError: no such numeric column.
    """
    names = density.spec.numeric
    if column not in names and column not in range(len(names)):
        raise ValueError(f"there is no numeric column {column!r}; there are: {', '.join(names)}")
    j = column if isinstance(column, int) else names.index(column)
    given = conditional(density, table, j)
    raw = _raw(density, j, np.column_stack([given.quantile(level) for level in (0.5, *BAND)]))
    below = given.below()
    return Expectation(
        names[j],
        table.numeric[:, j].astype(np.float64),
        raw[:, 0],
        given.mean_of(_raw(density, j, given.grid)),
        raw[:, 1],
        raw[:, 2],
        np.minimum(below, 1.0 - below),
    )


def nearest_typical(
    density: Density, table: Table, level: float = 0.5, columns_max: int | None = None
) -> list[Nearest]:
    """For each row the smallest change of numeric values that brings it to an ordinary likelihood.

    Greedy: the column whose conditional median gains most is set to it, until the likelihood is reached; changes that
    turn out not to be needed are taken back; then all changes are shortened as far as the likelihood allows, in scale
    units of the features. Deterministic, and not proven to be the smallest of all. Missing values stay missing and
    categories stay as they are.

    Args:
        density: the model.
        table: n rows.
        level: share of the calibration rows that are less likely than what counts as ordinary.
        columns_max: change at most so many columns.
    """
    nll = density.calibration.nll
    target = -float(nll[min(int((1.0 - level) * len(nll)), len(nll) - 1)])
    limit = len(density.spec.numeric) if columns_max is None else columns_max
    return [_nearest(density, table.take(np.array([i])), target, limit) for i in range(len(table))]


def _nearest(density: Density, row: Table, target: float, limit: int) -> Nearest:
    start = density.score(row)
    if not start.scorable[0]:
        return Nearest((), -np.inf, target, False)
    at, log_prob = row.numeric[0].copy(), float(start.log_prob[0])
    changed: list[int] = []
    for _ in range(_ROUNDS * limit):
        if log_prob >= target:
            break
        at_best, best, j = _best_step(density, row, at, changed if len(changed) >= limit else None)
        if best < log_prob + _GAIN_MIN:
            break
        at, log_prob = at_best, best
        changed += [j] if j not in changed else []
    if log_prob >= target:
        at = _shortened(density, row, _taken_back(density, row, at, changed, target), target)
        log_prob = float(_log_prob(density, row, at[None])[0])
    names, was = density.spec.numeric, row.numeric[0]
    moved = np.flatnonzero(~np.isnan(was) & (at != was)).tolist()
    changes = tuple(Change(names[j], float(was[j]), float(at[j])) for j in moved)
    return Nearest(changes, log_prob, target, log_prob >= target)


def _best_step(density: Density, row: Table, at: Singles, among: list[int] | None) -> tuple[Singles, float, int]:
    """The conditional median that gains most, of the columns present or of those named; a column may move again."""
    present = np.flatnonzero(~np.isnan(at)).tolist() if among is None else among
    tried = np.repeat(at[None], len(present), axis=0)
    for i, j in enumerate(present):
        given = conditional(density, replace(row, numeric=at[None]), j)
        tried[i, j] = _raw(density, j, given.quantile(0.5))[0]
    if not present:
        return at, -np.inf, -1
    log_prob = _log_prob(density, row, tried)
    best = int(log_prob.argmax())
    return tried[best], float(log_prob[best]), present[best]


def _taken_back(density: Density, row: Table, at: Singles, changed: list[int], target: float) -> Singles:
    for j in changed:
        without = at.copy()
        without[j] = row.numeric[0, j]
        if _log_prob(density, row, without[None])[0] >= target:
            at = without
    return at


def _shortened(density: Density, row: Table, at: Singles, target: float) -> Singles:
    """The first point on the line from the row to ``at``, in feature space, from which on the target is kept."""
    moved = np.flatnonzero(at != row.numeric[0])
    moved = moved[~np.isnan(at[moved])]
    if not len(moved):
        return at
    ends = [density.encoder.encode(replace(row, numeric=x[None])).features[0] for x in (row.numeric[0], at)]
    share = np.linspace(0.0, 1.0, _STEPS + 1)[1:, None]
    line = np.repeat(at[None], _STEPS, axis=0)
    line[:, moved] = density.encoder.decode(ends[0] + share * (ends[1] - ends[0]))[:, moved]
    line[-1] = at
    short = np.flatnonzero(_log_prob(density, row, line) < target)
    return np.asarray(line[short[-1] + 1 if len(short) else 0], dtype=np.float32)


def _log_prob(density: Density, row: Table, numeric: Singles) -> Floats:
    """Log-likelihoods of one row with other numeric values ``(m, d)``; −∞ where they cannot be scored."""
    rows = replace(row.take(np.zeros(len(numeric), dtype=np.int64)), numeric=numeric)
    scores = density.score(rows)
    return np.where(scores.scorable, scores.log_prob, -np.inf)


def _raw(density: Density, j: int, feature: Floats) -> Floats:
    """Values of feature ``j``, any shape, in raw units."""
    columns = np.zeros((feature.size, len(density.spec.numeric)))
    columns[:, j] = feature.ravel()
    return np.asarray(density.encoder.decode(columns)[:, j].reshape(feature.shape))
