"""Faults that are put into held-out rows, to see which of them a model finds: what monitors are bought for.

Sizes are in robust standard deviations of the rows themselves, the interquartile range over 1.349; a value that is
missing stays so, except where the fault is about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from flowlib.table import Bools, Floats, Ints, Table

Fault = Callable[["_Rows"], Floats]


class _Rows:
    """Numbers ``(n, d)`` that a fault changes, with a column ``(n,)`` drawn for each row."""

    def __init__(self, numeric: Floats, rng: np.random.Generator) -> None:
        self.numeric, self.rng = numeric, rng
        n, self.d = numeric.shape
        self.all, self.column = np.arange(n), rng.integers(self.d, size=n)
        finite = np.where(np.isfinite(numeric), numeric, np.nan)
        present = [x[np.isfinite(x)] for x in finite.T]
        quartiles = np.array([np.quantile(x, (0.25, 0.5, 0.75)) if len(x) else (0.0, 0.0, 0.0) for x in present])
        spread = (quartiles[:, 2] - quartiles[:, 0]) / 1.349
        deviation = np.array([x.std() if len(x) else 0.0 for x in present])
        spread = np.where(spread > 0, spread, deviation)
        self.centre, self.spread = quartiles[:, 1], np.where(spread > 0, spread, 1.0)

    def signs(self, *shape: int) -> Ints:
        return self.rng.integers(2, size=shape) * 2 - 1

    def changed(self, values: Floats) -> Floats:
        """The numbers with others ``(n,)`` in the drawn columns."""
        out = self.numeric.copy()
        out[self.all, self.column] = values
        return out

    def drawn(self) -> Floats:
        return np.asarray(self.numeric[self.all, self.column])


def _unit(rows: _Rows) -> Floats:
    return rows.changed(rows.drawn() * 10.0)


def _offset(size: float) -> Fault:
    return lambda rows: rows.changed(rows.drawn() + size * rows.signs(len(rows.all)) * rows.spread[rows.column])


def _spike(rows: _Rows) -> Floats:
    far = rows.centre[rows.column] + 20.0 * rows.signs(len(rows.all)) * rows.spread[rows.column]
    return rows.changed(far)


def _swapped(rows: _Rows) -> Floats:
    other = (rows.column + 1 + rows.rng.integers(rows.d - 1, size=len(rows.all))) % rows.d
    out = rows.changed(rows.numeric[rows.all, other])
    out[rows.all, other] = rows.drawn()
    return out


def _stuck(rows: _Rows) -> Floats:
    stuck = rows.numeric[rows.rng.integers(len(rows.all))]
    return rows.changed(stuck[rows.column])


def _unrelated(rows: _Rows) -> Floats:
    return rows.changed(rows.numeric[rows.rng.permutation(len(rows.all)), rows.column])


def _cluster(size: float) -> Fault:
    def fault(rows: _Rows) -> Floats:
        n = len(rows.all)
        near = 0.1 * rows.rng.standard_normal((n, rows.d))
        return np.asarray(rows.centre + rows.spread * (size * rows.signs(n, rows.d) + near))

    return fault


def _missing(rows: _Rows) -> Floats:
    return rows.changed(np.full(len(rows.all), np.nan))


FAULTS: dict[str, tuple[str, int, Fault]] = {
    "unit": ("a value in another unit, ten times as large", 1, _unit),
    "offset": ("a value that is 3 standard deviations off", 1, _offset(3.0)),
    "large_offset": ("a value that is 6 standard deviations off", 1, _offset(6.0)),
    "spike": ("a value 20 standard deviations from the middle", 1, _spike),
    "swapped": ("two values in each other's place", 2, _swapped),
    "stuck": ("a sensor that is stuck at one value", 1, _stuck),
    "unrelated": ("a value that belongs to another event", 2, _unrelated),
    "far_cluster": ("events of a kind far from all others", 1, _cluster(8.0)),
    "near_cluster": ("events of a kind near the others", 1, _cluster(3.0)),
    "missing": ("a value that is missing", 2, _missing),
}
"""Name of each kind to what it is, the least number of numeric columns, and what it does."""


def faulty(rows: Table, seed: int) -> Iterator[tuple[str, Table, Bools]]:
    """Each kind with the rows as it makes them, and which of them ``(n,)`` it has changed."""
    for number, (name, (_, least, fault)) in enumerate(FAULTS.items()):
        if rows.numeric.shape[1] < least:
            continue
        table = rows.with_numeric(fault(_Rows(rows.numeric, np.random.default_rng([seed, number]))))
        same = (table.numeric == rows.numeric) | (np.isnan(table.numeric) & np.isnan(rows.numeric))
        yield name, table, ~same.all(axis=1) & ~np.isnan(table.numeric).all(axis=1)
