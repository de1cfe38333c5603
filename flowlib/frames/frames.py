"""DataFrames (pandas, polars and whatever narwhals knows) to a :class:`flowlib.Table`, and back.

Numbers become features; text, categoricals and booleans become categories; the one date or time becomes the
event time, in UTC where the column has a time zone, as written where it has none. Missing values stay missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np

from flowlib.encoder.spec import FeatureSpec
from flowlib.frames.columns import TIME, absent, holds_numbers, numbers, of_numbers, of_texts, of_times, texts, times
from flowlib.table import Ints, Objects, Table

_TEXT = (nw.String, nw.Categorical, nw.Enum, nw.Boolean)
TIMES_KEPT = 1_000
"""Times in a layout at most."""


@dataclass(frozen=True)
class FrameLayout:
    """What each column of a frame is.

    Attributes:
        spec: numeric and categorical columns.
        time: the column with the event time, or "".
        slice: the column that names each row's slice, or "".
        order: all columns as they came.
        dtypes: type of each column.
        kinds: kinds of value in each categorical column and in the one with the slices: booleans, numbers, text, times.
        times: event times of some of the rows fitted, for samples; none without a time column.
    """

    spec: FeatureSpec
    time: str
    slice: str
    order: tuple[str, ...]
    dtypes: dict[str, Any] = field(default_factory=dict)
    kinds: dict[str, tuple[str, ...]] = field(default_factory=dict)
    times: tuple[int, ...] = ()

    def with_times(self, time_ms: Ints, seed: int) -> FrameLayout:
        """The same with times to draw from, a random choice: every n-th of hourly rows might be the same hour."""
        if not self.time:
            return self
        pick = np.random.default_rng(seed).permutation(len(time_ms))[:TIMES_KEPT]
        return replace(self, times=tuple(time_ms[np.sort(pick)].tolist()))


def is_frame(rows: Any) -> bool:
    """Whether this is an eager DataFrame with named columns; one with numbers for names counts as an array.

    Raises:
        ValueError: two columns of one name.
    """
    if not nw.dependencies.is_into_dataframe(rows):
        return False
    names = list(rows.columns)
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two columns are called {', '.join(twice)}: rename or drop one")
    return all(isinstance(name, str) for name in names)


def layout_of(rows: Any, slice_column: str | None = None) -> FrameLayout:
    """Decide from a frame's types what each column is.

    Raises:
        ValueError: a column of a type that cannot be used, no numeric column, or no such slice column.
    """
    frame = nw.from_native(rows, eager_only=True)
    if slice_column is not None and slice_column not in frame.columns:
        raise ValueError(f"there is no column {slice_column!r} to slice by; there are: {', '.join(frame.columns)}")
    numeric, categorical, clock = [], [], []
    for name, dtype in frame.schema.items():
        if name == slice_column:
            continue
        if dtype.is_numeric() or holds_numbers(frame[name]):
            numeric.append(name)
        elif isinstance(dtype, TIME):
            clock.append(name)
        elif isinstance(dtype, _TEXT) or _holds_text(frame[name]):
            categorical.append(name)
        else:
            raise ValueError(
                f"column {name!r} is of type {dtype}: numbers, text, categories, booleans and times can be used; "
                "convert it, or leave it out"
            )
    if not numeric:
        raise ValueError(
            f"no numeric column among {', '.join(frame.columns) or 'no columns'}: a density needs at least one"
        )
    if len(clock) > 1:
        raise ValueError(f"more than one time column ({', '.join(clock)}): keep the one that says when a row happened")
    spec = FeatureSpec(tuple(numeric), tuple(categorical))
    kinds = {name: texts(frame[name])[1] for name in (*categorical, *([slice_column] if slice_column else []))}
    return FrameLayout(
        spec, clock[0] if clock else "", slice_column or "", tuple(frame.columns), dict(frame.schema), kinds
    )


def _holds_text(column: Any) -> bool:
    """An object column with text, booleans or nothing in every row, or one without a type as it has no value."""
    values = column.to_list() if column.dtype in (nw.Object, nw.Unknown) else [0]
    return all(isinstance(value, str | bool) or absent(value) for value in values)


def table_of(rows: Any, layout: FrameLayout) -> Table:
    """The columns of a layout as a table.

    Raises:
        ValueError: a column holds other kinds of value than in training, or misses times.
    """
    frame = nw.from_native(rows, eager_only=True)
    numeric = np.empty((len(frame), len(layout.spec.numeric)))
    for j, name in enumerate(layout.spec.numeric):
        numeric[:, j] = numbers(frame[name])
    categories = np.empty((len(frame), len(layout.spec.categorical)), dtype=object)
    for k, name in enumerate(layout.spec.categorical):
        categories[:, k] = _texts(frame[name], layout)
    slices = None
    if layout.slice:
        slices = np.array([text or "" for text in _texts(frame[layout.slice], layout)], dtype=object)
    return Table.of(numeric, categories, slices, _times(frame[layout.time], layout) if layout.time else None)


def _times(column: Any, layout: FrameLayout) -> Ints:
    time_ms = times(column)
    before, now = (getattr(dtype, "time_zone", None) for dtype in (layout.dtypes[layout.time], column.dtype))
    if (before is None) != (now is None):
        raise ValueError(
            f"column {column.name!r} was in {before or 'no zone'} in training and is in {now or 'no zone'} now: "
            "its hours would be others; convert it"
        )
    return time_ms


def _texts(column: Any, layout: FrameLayout) -> Objects:
    """Texts of a column with the kinds of value it had in training: a number is not a text that looks like it."""
    values, now = texts(column)
    before = layout.kinds[column.name]
    if before and set(now) - set(before):
        held, holds = " and ".join(before), " and ".join(now)
        raise ValueError(f"column {column.name!r} held {held} in training and holds {holds} now: convert it")
    return values


def frame_of(table: Table, layout: FrameLayout, like: Any) -> Any:
    """A frame of the library that ``like`` names (``pandas``, ``polars``), columns and their types as they came.

    Integers are rounded; a column with gaps has the type that the library gives to it. Rows without a slice miss it.
    """
    columns = {
        name: of_numbers(table.numeric[:, j], layout.dtypes[name], like) for j, name in enumerate(layout.spec.numeric)
    }
    labels = {name: table.categories[:, k] for k, name in enumerate(layout.spec.categorical)}
    if layout.slice:
        labels[layout.slice] = np.array([text or None for text in table.slices.tolist()], dtype=object)
    for name, values in labels.items():
        columns[name] = of_texts(values, layout.kinds[name], layout.dtypes[name], like)
    if layout.time:
        columns[layout.time] = of_times(table.time_ms, layout.dtypes[layout.time], like)
    return nw.from_dict({name: columns[name].to_native() for name in layout.order}, backend=like).to_native()
