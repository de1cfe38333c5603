"""Why a row is as likely as it is: what was to be expected, and the smallest change that makes it ordinary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowlib import notebook
from flowlib.density import Density
from flowlib.explain.blame import blame
from flowlib.explain.conditional import conditional
from flowlib.table import Floats, Table

BAND = (0.05, 0.95)
"""Quantiles at the ends of an expected band."""

_STEPS = 64
_ROUNDS = 4
"""Moves of each column, on average and at most: two that go together approach their middle in turns."""

_GAIN_MIN = 0.01
"""Nats that a move has to gain."""


@dataclass(frozen=True)
class Expectation:
    """What one numeric column was expected to be, given the rest of each of n rows; raw units.

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

    def sentences(self) -> list[str]:
        """Each row for people.

        >>> values = [np.array([value]) for value in (812.0, 80.0, 82.0, 40.2, 130.4, 0.0)]
        >>> Expectation("PM10", *values).sentences()
        ['PM10 was 812, expected 40.2 to 130.4 given the rest']
        >>> values = [np.array([value]) for value in (1.77e9 + 200, 0.0, 0.0, 1.77e9 - 20, 1.77e9 + 20, 0.0)]
        >>> Expectation("id", *values).sentences()
        ['id was 1770000200, expected 1769999980 to 1770000020 given the rest']
        """
        rows = zip(self.observed, self.low, self.high, strict=True)
        written = [_written(float(value), float(low), float(high)) for value, low, high in rows]
        return [f"{self.name} was {value}, expected {low} to {high} given the rest" for value, low, high in written]


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
        """For people.

        >>> Nearest((Change("PM10", 812.0, 95.0),), -12.1, -12.3, reached=True).sentence()
        'ordinary with PM10 95 instead of 812'
        """
        if not self.changes:
            return "ordinary as it is" if self.reached else "no change of its numbers makes it ordinary"
        changes = ", ".join(
            "{} {} instead of {}".format(change.name, *_written(change.becomes, change.was)) for change in self.changes
        )
        return f"ordinary with {changes}" if self.reached else f"nearer to ordinary with {changes}"


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

    def _repr_html_(self) -> str:
        """For notebooks."""
        return notebook.of_explanation(self)


def _written(*values: float) -> list[str]:
    """Values with the digits that tell them apart, four at least."""
    known = [abs(value) for value in values if np.isfinite(value)]
    gap = float(np.ptp([value for value in values if np.isfinite(value)])) if known else 0.0
    digits = 4 + int(np.clip(np.log10(max(known) / gap), 0, 11)) if gap > 0 else 4
    return ["missing" if np.isnan(value) else f"{value:.{digits}g}" for value in values]


def explain(density: Density, table: Table) -> list[Explanation]:
    """One explanation for each row; meant for few rows, see :meth:`flowlib.FlowDensity.explain` for the cost."""
    scores, gains, nearest = density.score(table), blame(density, table), nearest_typical(density, table)
    names = (*density.spec.numeric, *density.spec.categorical)
    explanations = []
    for i in range(len(table)):
        row = table.take(np.array([i]))
        if not scores.scorable[i]:
            floor = density.calibration.floor("")
            explanations.append(Explanation(-np.inf, floor, {}, {}, (_why_not(density, row),), nearest[i]))
            continue
        blamed = [j for j in np.argsort(-gains[i], kind="stable").tolist() if gains[i, j] > 0]
        numbers = [names[j] for j in blamed if j < len(density.spec.numeric)]
        explanations.append(
            Explanation(
                float(scores.log_prob[i]),
                float(scores.p_value[i]),
                dict(zip(names, scores.parts[i].tolist(), strict=True)),
                {names[j]: float(gains[i, j]) for j in blamed},
                tuple(expected(density, row, name).sentences()[0] for name in numbers),
                nearest[i],
            )
        )
    return explanations


def _why_not(density: Density, row: Table) -> str:
    values = row.numeric[0]
    infinite = [name for name, value in zip(density.spec.numeric, values, strict=True) if np.isinf(value)]
    if infinite:
        return f"the row cannot be scored: {', '.join(infinite)} beyond what a float32 holds (3.4e38)"
    why = "all of its numbers are missing" if np.isnan(values).all() else "its log-likelihood is no finite number"
    return f"the row cannot be scored: {why}"


def expected(density: Density, table: Table, column: str | int) -> Expectation:
    """What a numeric column was expected to be in each row, given the rest of the row.

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
    curve = conditional(density, table, j)
    quantiles = _raw(density, j, np.column_stack([curve.quantile(level) for level in (0.5, *BAND)]))
    below = curve.below()
    return Expectation(
        names[j],
        table.numeric[:, j],
        quantiles[:, 0],
        curve.mean_of(_raw(density, j, curve.grid)),
        quantiles[:, 1],
        quantiles[:, 2],
        np.minimum(below, 1.0 - below),
    )


def nearest_typical(density: Density, table: Table) -> list[Nearest]:
    """For each row the smallest change of numeric values found that makes it as likely as half of the calibration rows.

    Greedy: the column whose conditional median gains most is set to it, until the likelihood is reached; changes that
    are not needed are taken back; then all are shortened together, in feature space, as far as the likelihood allows.
    Deterministic, and not proven to be the smallest of all. Missing values stay missing, categories stay as they are.
    """
    nll = density.calibration.nll
    target = -float(nll[len(nll) // 2])
    return [_nearest(density, table.take(np.array([i])), target) for i in range(len(table))]


def _nearest(density: Density, row: Table, target: float) -> Nearest:
    start = density.score(row)
    if not start.scorable[0]:
        return Nearest((), -np.inf, target, False)
    values, log_prob, moved = row.numeric[0].copy(), float(start.log_prob[0]), list[int]()
    for _ in range(_ROUNDS * len(values)):
        if log_prob >= target:
            break
        next_values, next_log_prob, j = _best_step(density, row, values)
        if next_log_prob < log_prob + _GAIN_MIN:
            break
        values, log_prob = next_values, next_log_prob
        moved += [j] if j not in moved else []
    if log_prob >= target:
        values = _shortened(density, row, _taken_back(density, row, values, moved, target), target)
        log_prob = float(_log_prob(density, row, values[None])[0])
    names, before = density.spec.numeric, row.numeric[0]
    different = np.flatnonzero(~np.isnan(before) & (values != before)).tolist()
    changes = tuple(Change(names[j], float(before[j]), float(values[j])) for j in different)
    return Nearest(changes, log_prob, target, log_prob >= target)


def _best_step(density: Density, row: Table, values: Floats) -> tuple[Floats, float, int]:
    """Of the columns present, the one whose conditional median gains most: values, their log-likelihood, the column."""
    present = np.flatnonzero(~np.isnan(values)).tolist()
    candidates = np.repeat(values[None], len(present), axis=0)
    for i, j in enumerate(present):
        median = conditional(density, row.with_numeric(values[None]), j).quantile(0.5)
        candidates[i, j] = _raw(density, j, median)[0]
    log_prob = _log_prob(density, row, candidates)
    best = int(log_prob.argmax())
    return candidates[best], float(log_prob[best]), present[best]


def _taken_back(density: Density, row: Table, values: Floats, moved: list[int], target: float) -> Floats:
    for j in moved:
        without = values.copy()
        without[j] = row.numeric[0, j]
        if _log_prob(density, row, without[None])[0] >= target:
            values = without
    return values


def _shortened(density: Density, row: Table, values: Floats, target: float) -> Floats:
    """The first point on the line from the row to ``values``, in feature space, from which on the target is reached."""
    moved = np.flatnonzero(values != row.numeric[0])
    moved = moved[~np.isnan(values[moved])]
    if not len(moved):
        return values
    ends = [density.encoder.encode(row.with_numeric(x[None])).features[0] for x in (row.numeric[0], values)]
    share = np.linspace(0.0, 1.0, _STEPS + 1)[1:, None]
    line = np.repeat(values[None], _STEPS, axis=0)
    line[:, moved] = density.encoder.decode(ends[0] + share * (ends[1] - ends[0]))[:, moved]
    line[-1] = values
    short = np.flatnonzero(_log_prob(density, row, line) < target)
    return np.asarray(line[short[-1] + 1 if len(short) else 0])


def _log_prob(density: Density, row: Table, numeric: Floats) -> Floats:
    """Log-likelihoods of one row with other numeric values ``(m, d)``; −∞ where they cannot be scored."""
    rows = row.take(np.zeros(len(numeric), dtype=np.int64)).with_numeric(numeric)
    scores = density.score(rows)
    return np.where(scores.scorable, scores.log_prob, -np.inf)


def _raw(density: Density, j: int, feature: Floats) -> Floats:
    """Values of feature ``j``, any shape, in raw units."""
    columns = np.zeros((feature.size, len(density.spec.numeric)))
    columns[:, j] = feature.ravel()
    return np.asarray(density.encoder.decode(columns)[:, j].reshape(feature.shape))
