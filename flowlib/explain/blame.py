"""Which columns made a row strange: those whose ordinary values would make it ordinary.

Columns are repaired greedily, the one that gains most log-likelihood first; a column's blame is what would be lost if
its observed value were put back beside the other repairs. The parts (:attr:`flowlib.Scores.parts`) are another account,
which adds up to the log-likelihood but follows the order of the factorisation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlib.density import Density, Scores
from flowlib.table import Bools, Floats, Ints, Objects, Singles, Table

ROUNDS = 3
"""Columns repaired at most."""

_LEVELS_TRIED = 3
_GAIN_MIN = 1.0
"""Nats that a repair after the first has to gain."""

_TOGETHER_GAIN_MIN = 3.0
"""Nats by which repairs at once must gain more than twice what greedy ones do to take their place."""

_ROWS = 256
_VALUES = 1 << 22
"""Values of all variants of the rows repaired at a time, some 90 MB; they grow with the square of the columns."""


@dataclass(frozen=True)
class _Rows:
    """m rows as the flow takes them, their log-likelihood beside it, and the categories in their context."""

    features: Singles
    context: Singles
    tail_nats: Floats
    category_log_prob: Floats
    categories: Objects

    def take(self, rows: Ints | Bools) -> _Rows:
        """Copies of some rows, in order."""
        return _Rows(*(array[rows] for array in self.arrays()))

    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """The fields in order."""
        return self.features, self.context, self.tail_nats, self.category_log_prob, self.categories


def blame(density: Density, table: Table) -> Floats:
    """Nats ``(n, d + k)`` ≥ 0 that an ordinary value in each column would gain beside the other repairs.

    Ordinary are the 20, 50 and 80 % quantiles of the calibration rows and the three most frequent categories. At most
    three columns of a row have blame; a missing value and a row that cannot be scored have none. A row's result does
    not depend on the rows beside it. Costs up to ``9 (d + k)`` evaluations a row: meant for flagged rows.
    """
    spec = density.spec
    result = np.zeros((len(table), len(spec.numeric) + len(spec.categorical)))
    variants = 1 + len(density.calibration.ordinary) * len(spec.numeric) + _LEVELS_TRIED * len(spec.categorical)
    width = len(spec.numeric) + density.encoder.context_width
    at_once = min(max(_VALUES // (variants * width), 1), _ROWS)
    for start in range(0, len(table), at_once):
        rows = np.arange(start, min(start + at_once, len(table)))
        result[rows] = _blame(density, table.take(rows))
    return result


def excess(scores: Scores, density: Density, rows: Bools | Ints | slice = slice(None)) -> Floats:
    """Mean part of the calibration rows less each row's, ``(m, d + k)`` nats, of some rows or of all; 0 where a row
    cannot be scored.
    """
    scorable, parts = scores.scorable[rows], scores.parts[rows]
    return np.asarray(np.where(scorable[:, None], density.calibration.parts_mean - parts, 0.0))


def _blame(density: Density, table: Table) -> Floats:
    encoded = density.encoder.encode(table)
    k = len(density.spec.categorical)
    fixed = np.concatenate([encoded.missing, np.zeros((len(table), k), bool)], axis=1) | ~encoded.scorable[:, None]
    observed = _Rows(encoded.features, encoded.context, encoded.tail_nats, encoded.category_log_prob, table.categories)
    repaired, done = _repair_one_by_one(density, table, observed, fixed)
    together, strangest = _repair_together(density, table, observed, fixed)
    start, one_by_one, at_once = _log_joint(density, [observed, repaired, together]).reshape(3, -1)
    # Where several values far out depend on each other no single repair gains.
    joint = np.flatnonzero(at_once - start > 2.0 * np.maximum(one_by_one - start, 0.0) + _TOGETHER_GAIN_MIN)
    done[joint] = strangest[joint]
    return _lost_if_put_back(density, table, observed, _overlay(repaired, together, joint), done)


def _repair_one_by_one(density: Density, table: Table, rows: _Rows, fixed: Bools) -> tuple[_Rows, Bools]:
    """Greedily repaired rows, and which columns were repaired ``(n, d + k)``."""
    done, live = np.zeros_like(fixed), np.arange(len(table))
    rows = rows.take(live)
    for step in range(ROUNDS):
        repairs = _best_repairs(density, table.take(live), rows.take(live), (fixed | done)[live])
        column = repairs.gain.argmax(axis=1)
        gained = repairs.gain[np.arange(len(live)), column]
        worth = gained > (_GAIN_MIN if step else 0.0)  # a row without such a repair would have none in the next round
        live, column, repairs = live[worth], column[worth], repairs.take(worth)
        if not len(live):
            break
        done[live, column] = True
        rows = repairs.applied(rows, column, live)
    return rows, done


def _repair_together(density: Density, table: Table, rows: _Rows, fixed: Bools) -> tuple[_Rows, Bools]:
    """Rows with the columns repaired at once that would be strangest in an ordinary row, and which these are."""
    d = len(density.spec.numeric)
    middle = np.broadcast_to(density.calibration.ordinary[1].astype(np.float32), rows.features.shape)
    usual = rows.categories.copy()
    for k, levels in enumerate(density.encoder.levels):
        usual[:, k] = levels[0]
    ordinary = replace(
        rows,
        features=np.where(fixed[:, :d], rows.features, middle),
        tail_nats=np.where(fixed[:, :d], rows.tail_nats, 0.0),
    )
    ordinary = _recategorised(density, table, ordinary, usual)
    lost = np.where(fixed, 0.0, _lost_if_put_back(density, table, rows, ordinary, np.ones_like(fixed)))
    chosen = np.zeros_like(fixed)
    np.put_along_axis(chosen, np.argsort(-lost, axis=1, kind="stable")[:, :ROUNDS], True, axis=1)
    chosen &= lost > 0
    repaired = replace(
        rows,
        features=np.where(chosen[:, :d], middle, rows.features),
        tail_nats=np.where(chosen[:, :d], 0.0, rows.tail_nats),
    )
    return _recategorised(density, table, repaired, np.where(chosen[:, d:], usual, rows.categories)), chosen


@dataclass(frozen=True)
class _Repairs:
    """The best repairs of n rows.

    Attributes:
        gain: ``(n, d + k)`` of that of each column, −∞ where it is fixed.
        which: ``(n, d + k)`` number of it among those that were tried of the column.
        values: ``(d, 3)`` those of each numeric column.
        categories: of each categorical column the rows with each level.
    """

    gain: Floats
    which: Ints
    values: Singles
    categories: list[list[_Rows]]

    def take(self, rows: Bools) -> _Repairs:
        """Those of some rows."""
        categories = [[one.take(rows) for one in some] for some in self.categories]
        return _Repairs(self.gain[rows], self.which[rows], self.values, categories)

    def applied(self, rows: _Rows, column: Ints, places: Ints) -> _Rows:
        """``rows`` with one column ``(n,)`` repaired in each of those that the repairs are of, which stand at
        ``places (n,)``.
        """
        which, d = self.which[np.arange(len(column)), column], len(self.values)
        numeric = column < d
        row, of_row = places[numeric], column[numeric]
        rows.features[row, of_row], rows.tail_nats[row, of_row] = self.values[of_row, which[numeric]], 0.0
        for k, variants in enumerate(self.categories):
            for number, variant in enumerate(variants):
                chosen = np.flatnonzero((column == d + k) & (which == number))
                rows = _overlay(rows, variant, places[chosen], chosen)
        return rows


def _best_repairs(density: Density, table: Table, rows: _Rows, fixed: Bools) -> _Repairs:
    """The repair of each column that gains most, the first of equals."""
    n, values = len(rows.features), density.calibration.ordinary.T.astype(np.float32)
    d, tried = values.shape
    column = np.repeat(np.arange(d), tried)
    variants = _repeated(rows, 1 + len(column))
    place = np.arange(1, 1 + len(column))
    variants.features.reshape(-1, n, d)[place, :, column] = values.reshape(-1, 1)
    variants.tail_nats.reshape(-1, n, d)[place, :, column] = 0.0
    levels = [levels[:_LEVELS_TRIED] for levels in density.encoder.levels]
    categories = [[_with_category(density, table, rows, k, one) for one in some] for k, some in enumerate(levels)]
    joint = _log_joint(density, [variants, *(one for some in categories for one in some)]).reshape(-1, n)
    gains, first = joint[1:] - joint[0], d * tried
    of_columns = [gains[:first].reshape(d, tried, n)]
    for some in levels:
        of_columns.append(gains[None, first : first + len(some)])
        first += len(some)
    which = np.concatenate([one.argmax(axis=1) for one in of_columns]).T
    gain = np.concatenate([one.max(axis=1) for one in of_columns]).T
    return _Repairs(np.where(fixed, -np.inf, gain), which, values, categories)


def _repeated(rows: _Rows, times: int) -> _Rows:
    """All rows, so many times one after the other."""
    return _Rows(*(np.concatenate([array] * times) for array in rows.arrays()))


def _with_category(density: Density, table: Table, rows: _Rows, k: int, level: str | None) -> _Rows:
    categories = rows.categories.copy()
    categories[:, k] = level
    return _recategorised(density, table, rows, categories)


def _recategorised(density: Density, table: Table, rows: _Rows, categories: Objects) -> _Rows:
    """The rows with other categories, and the context that goes with them."""
    if not categories.shape[1]:
        return rows
    encoded = density.encoder.encode(replace(table, categories=categories))
    return _Rows(rows.features, encoded.context, rows.tail_nats, encoded.category_log_prob, categories)


def _overlay(below: _Rows, above: _Rows, rows: Ints, places: Ints | None = None) -> _Rows:
    """``below`` with some rows taken from ``above``, where they stand at the same places or at others."""
    arrays = tuple(array.copy() for array in below.arrays())
    for array, other in zip(arrays, above.arrays(), strict=True):
        array[rows] = other[rows if places is None else places]
    return _Rows(*arrays)


def _lost_if_put_back(density: Density, table: Table, observed: _Rows, repaired: _Rows, done: Bools) -> Floats:
    """Nats that each row loses where one column has its observed value again, for those that are done."""
    n, d = observed.features.shape
    row, column = np.nonzero(done[:, :d])
    variants, every = repaired.take(row), np.arange(len(row))
    variants.features[every, column] = observed.features[row, column]
    variants.tail_nats[every, column] = observed.tail_nats[row, column]
    categorical = np.flatnonzero(done[:, d:].any(axis=0)).tolist()
    others = [_category_put_back(density, table, observed, repaired, k) for k in categorical]
    joint = _log_joint(density, [repaired, variants, *others])
    result = np.zeros(done.shape)
    result[row, column] = joint[row] - joint[n : n + len(row)]
    result[:, d + np.array(categorical, dtype=np.int64)] = (joint[:n] - joint[n + len(row) :].reshape(-1, n)).T
    result = np.where(done, np.maximum(result, 0.0), 0.0)
    return np.where(np.isfinite(result), result, 0.0)


def _category_put_back(density: Density, table: Table, observed: _Rows, repaired: _Rows, k: int) -> _Rows:
    categories = repaired.categories.copy()
    categories[:, k] = observed.categories[:, k]
    return _recategorised(density, table, repaired, categories)


def _log_joint(density: Density, variants: list[_Rows]) -> Floats:
    """``(v,)`` log-densities of all variants in feature space, one after the other; the engine is called once."""
    z, ladj = density.engine(
        np.concatenate([rows.features for rows in variants]), np.concatenate([rows.context for rows in variants])
    )
    flow = (ladj.astype(np.float64) - 0.5 * z.astype(np.float64) ** 2).sum(axis=1)
    beside = [rows.category_log_prob.sum(axis=1) - rows.tail_nats.sum(axis=1) for rows in variants]
    joint = flow + np.concatenate(beside)
    return joint if np.isfinite(joint).all() else np.asarray(np.nan_to_num(joint, nan=-1e30, neginf=-1e30))
