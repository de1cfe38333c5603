"""Events on their way from bodies to columns: what the column reader has of them, then what the row decoder has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowlib.table import Coded, Floats, Ints
from stream_app.stages.score.columns import Columns
from stream_app.stages.score.pools import Pooled
from stream_app.stages.score.texts import Text, as_text


class Draft:
    """n rows, of which those that are events come to be read.

    Attributes:
        rows: ``(m,)`` int64, those that are events; the others are of the m.
        numeric: ``(m, d)`` float64, NaN for missing.
        named: of each categorical or slicing field the m texts, in the order in which they come first.
        ids: the m texts of the id where it is a field by itself, else None.
        coerced: ``(m,)`` int64, fields of each that were read leniently.
        time_ms, later_ms: ``(m,)`` int64, time of each, and its later reading.
    """

    def __init__(self, columns: Columns, attributes: Mapping[str, str]) -> None:
        """Begin with what a column reader has read.

        Args:
            columns: of the rows.
            attributes: categorical or slicing field to its attribute in the bodies of the row decoder, the texts first.
        """
        n, self._attributes, self._read = len(columns.read), attributes, columns.read
        numeric = _with_one_nan(columns.numeric)
        numbers = [int(attribute[1:]) for attribute in attributes.values() if attribute[0] == "n"]
        coded = [*columns.texts, *(_digits(numeric[:, j]) for j in numbers)]
        if self._read.all():  # else it is done once the others are there
            coded = [_in_order(column) for column in coded]
        self.rows, self.numeric, self.named = np.arange(n), numeric, dict(zip(attributes, coded, strict=True))
        self.ids, self.coerced = columns.ids, np.zeros(n, np.int64)
        self.time_ms = self.later_ms = columns.time_ms

    def left(self) -> list[int]:
        """The rows that the column reader has left."""
        return [] if self._read.all() else np.flatnonzero(~self._read).tolist()

    def fill(self, rows: list[int], times: list[int], later: Ints | None, bodies: list[Any]) -> None:
        """Add the rows among them that are events, as the row decoder has read them; what is left now is no event."""
        self._read[rows], self.time_ms[rows] = True, times
        for j in range(self.numeric.shape[1]):
            self.numeric[rows, j] = np.array([getattr(body, f"n{j}") for body in bodies], dtype=np.float64)
        for name, attribute in self._attributes.items():
            texts = [as_text(getattr(body, attribute)) for body in bodies]
            self.named[name] = _filled(self.named[name], rows, texts)
        for row, body in zip(rows, bodies, strict=True):
            self.coerced[row] = body.coerced
            if self.ids is not None:
                self.ids[row] = as_text(body.i)
        if later is not None:
            self.later_ms = self.time_ms.copy()
            self.later_ms[rows] = later
        self._take(np.flatnonzero(self._read))

    def _take(self, rows: Ints) -> None:
        self.rows, self.numeric, self.coerced = rows, self.numeric[rows], self.coerced[rows]
        self.time_ms, self.later_ms = self.time_ms[rows], self.later_ms[rows]
        self.named = {name: _in_order(column.take(rows)) for name, column in self.named.items()}
        self.ids = None if self.ids is None else [self.ids[row] for row in rows.tolist()]


def _with_one_nan(values: Floats) -> Floats:
    """Numbers whose NaN has the bits of NumPy's: a sender's own sign and payload would be in states and partials."""
    missing = np.isnan(values)
    return np.where(missing, np.nan, values) if missing.any() else values


def _digits(values: Floats) -> Coded:
    """Numbers as texts."""
    different, codes = np.unique(values, return_inverse=True)
    return Coded(codes, [None if np.isnan(value) else as_text(value) for value in different.tolist()])


def _filled(column: Coded, rows: list[int], texts: list[Text]) -> Coded:
    """A column with other texts in some rows."""
    if not rows:
        return column
    names, place = list(column.names), {name: i for i, name in enumerate(column.names)}
    for text in texts:
        if text not in place:
            place[text] = len(names)
            names.append(text)
    codes = column.codes.copy()
    codes[rows] = [place[text] for text in texts]
    return Coded(codes, names)


def _in_order(column: Coded) -> Coded:
    """A column with its texts in the order in which they come first, without those of no row."""
    n = len(column)
    first = np.full(len(column.names), n)
    first[column.codes[::-1]] = np.arange(n)[::-1]  # of several the last counts
    if np.all(first[1:] > first[:-1]) and (not len(first) or first[-1] < n):  # as a column reader has them
        return column
    order = np.argsort(first)
    codes, there = np.argsort(order)[column.codes], order[: np.count_nonzero(first < n)]
    if isinstance(column, Pooled):
        return column.ordered(codes, there)
    return Coded(codes, [column.names[i] for i in there.tolist()])
