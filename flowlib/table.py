"""Rows as they come: numeric and categorical columns, the slice of each row and when it happened.

Rows have several forms on their way: a :class:`Table` is raw rows; :class:`flowlib.encoder.encoded.Encoded` is what a
flow takes, in NumPy, and :class:`flowlib.training.TrainingRows` the same as tensors with what training adds;
:class:`flowlib.Scores` is the result. A frame of pandas or polars is a Table with a
:class:`flowlib.frames.frames.FrameLayout`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlib import native

Singles = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Objects = npt.NDArray[np.object_]

DAY_MS = 86_400_000
"""Milliseconds of a day."""

LARGEST, SMALLEST = float(np.finfo(np.float32).max), 1e-100
"""The largest and the smallest size of a number that is told from infinity and from 0."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of n texts as numbers into the different ones: what has to be known of a text is looked up once.

    Attributes:
        codes: ``(n,)`` int64, the place of each row's text in ``names``.
        names: the texts, each once; some may be of no row. None for missing.

    >>> column = Coded.of(["north", "south", "north"])
    >>> column.codes.tolist(), column.names, column.take(np.array([2])).objects().tolist()
    ([0, 1, 0], ['north', 'south'], ['north'])
    """

    codes: Ints
    names: list[Any]

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> Coded:
        """A column of texts, in the order in which they come first."""
        place: dict[str | None, int] = {}
        codes = [place.setdefault(text, len(place)) for text in texts]
        return cls(np.array(codes, dtype=np.int64), list(place))

    @classmethod
    def alike(cls, n: int, text: str | None) -> Coded:
        """A column that holds one text."""
        return cls(np.zeros(n, dtype=np.int64), [text])

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> Any:
        """The text of a row."""
        return self.names[self.codes[row]]

    def looked_up(self, known: Mapping[Any, int], none: int) -> Ints:
        """By code what is known of each text ``(m,)``, ``none`` where nothing is."""
        return np.fromiter(map(known.get, self.names, repeat(none)), dtype=np.int64, count=len(self.names))

    def followed_by(self, other: Coded) -> Coded:
        """This column and then another one."""
        place = {name: i for i, name in enumerate(self.names)}
        there = np.array([place.setdefault(name, len(place)) for name in other.names], dtype=np.int64)
        return Coded(np.concatenate([self.codes, there[other.codes]]), list(place))

    def take(self, rows: Bools | Ints) -> Coded:
        """The chosen rows (mask or indices), in order."""
        return Coded(self.codes[rows], self.names)

    def objects(self) -> Objects:
        """``(n,)`` the texts themselves."""
        names = np.empty(len(self.names), dtype=object)
        names[:] = self.names
        return names[self.codes]


@dataclass(frozen=True, slots=True)
class Table:
    """n rows, columnar.

    Attributes:
        numeric: ``(n, d)`` float64, NaN for missing; see :func:`doubles`.
        categories: ``(n, k)`` object, str or None.
        slices: ``(n,)`` object, the slice each row is calibrated in.
        time_ms: ``(n,)`` int64, event time since the epoch.
        others: ``(n, s)`` object, the slice of each row in other slicings; None for none.
        coded: ``slices`` as numbers, where they are known as such; None elsewhere.

    >>> rows = Table.of([[1.0, 20.5], [float("nan"), 19.0]], categories=[["north"], [None]])
    >>> len(rows), rows.numeric.dtype, rows.categories[0].tolist(), rows.slices.tolist()
    (2, dtype('float64'), ['north'], ['', ''])
    """

    numeric: Floats
    categories: Objects
    slices: Objects
    time_ms: Ints
    others: Objects | None = None
    coded: Coded | None = None

    @classmethod
    def of(cls, numeric: Any, categories: Any = None, slices: Any = None, time_ms: Any = None) -> Table:
        """A table from arrays; without them no categories, one slice, time 0.

        Raises:
            ValueError: the arrays are not ``(n, d)``, ``(n, k)``, ``(n,)`` and ``(n,)``.
        """
        numbers = doubles(numeric)
        n = len(numbers) if numbers.ndim else 0
        table = cls(
            numbers,
            np.empty((n, 0), dtype=object) if categories is None else np.asarray(categories, dtype=object),
            np.full(n, "", dtype=object) if slices is None else np.asarray(slices, dtype=object),
            np.zeros(n, dtype=np.int64) if time_ms is None else np.asarray(time_ms, dtype=np.int64),
        )
        columns = (
            ("numeric", table.numeric, 2),
            ("categories", table.categories, 2),
            ("slices", table.slices, 1),
            ("time_ms", table.time_ms, 1),
        )
        for name, array, dimensions in columns:
            if array.ndim != dimensions or len(array) != n:
                raise ValueError(f"{name} has shape {array.shape}, expected {n} rows and {dimensions} dimension(s)")
        return table

    def __len__(self) -> int:
        return len(self.numeric)

    def take(self, rows: Bools | Ints) -> Table:
        """The chosen rows (mask or indices), in order."""
        others, coded = None if self.others is None else self.others[rows], self.coded and self.coded.take(rows)
        return Table(self.numeric[rows], self.categories[rows], self.slices[rows], self.time_ms[rows], others, coded)

    def span(self, start: int, end: int) -> Table:
        """Rows ``[start, end)``, without a copy."""
        part = slice(start, end)
        others = None if self.others is None else self.others[part]
        coded = self.coded and Coded(self.coded.codes[part], self.coded.names)
        return Table(self.numeric[part], self.categories[part], self.slices[part], self.time_ms[part], others, coded)

    def in_slicing(self, number: int) -> Objects:
        """Slices ``(n,)`` of the first slicing (0) or of one of the others."""
        return self.slices if number == 0 or self.others is None else np.asarray(self.others[:, number - 1])

    def with_numeric(self, numeric: Any) -> Table:
        """The same rows with other numbers."""
        return replace(self, numeric=doubles(numeric))


def doubles(numeric: Any) -> Floats:
    """Numbers as models take them, float64 in C order: sums over a row in another order would depend on the number of
    rows.

    A value beyond what a float32 holds becomes infinite, which scoring reports as unscorable; one below
    :data:`SMALLEST` is 0. Between them lie the numbers that can be squared and divided by each other's differences.

    >>> doubles([1.77e9 + 20.0, -3.5e38, 1e-120]).tolist()
    [1770000020.0, -inf, 0.0]

    Raises:
        ValueError: not numbers.
    """
    try:
        values = np.asarray(numeric, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"numeric must hold numbers, NaN for missing ({error}): put text into categories, and leave dates out"
        ) from None
    if native.loops is not None and native.loops.within(values, SMALLEST, LARGEST):  # as nearly always
        return values
    far = np.abs(values)
    large, small = far > LARGEST, (far < SMALLEST) & (far > 0)
    if large.any() or small.any():
        values = np.where(large, np.copysign(np.inf, values), np.where(small, 0.0, values))
    return values
