"""Arrays and DataFrames (pandas, polars and whatever narwhals knows) to a :class:`Table`, and back.

Numbers become float32 features; text, categoricals and booleans become categories; the one date or time becomes the
event time: the instant where the column has a time zone, so that hours are those of UTC, and the hour as it is written
where it has none. What is missing stays missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np

from flowlib.encoding import FeatureSpec
from flowlib.table import Ints, Objects, Table

_TEXT = (nw.String, nw.Categorical, nw.Enum, nw.Boolean)
_TIME = (nw.Datetime, nw.Date)
_MACHINE = (
    nw.Int8, nw.Int16, nw.Int32, nw.Int64, nw.UInt8, nw.UInt16, nw.UInt32, nw.UInt64, nw.Float32, nw.Float64,
)  # fmt: skip
"""Numbers that numpy has too; decimals and the like go one by one."""

_GAPS = ("nan", "<NA>", "NaT")


@dataclass(frozen=True)
class Layout:
    """What each column of a frame is.

    Attributes:
        spec: numeric and categorical columns.
        time: the column with the event time, or "".
        slice: the column that names each row's slice, or "".
        order: all columns as they came.
    """

    spec: FeatureSpec
    time: str
    slice: str
    order: tuple[str, ...]


def is_frame(rows: Any) -> bool:
    """Whether narwhals knows this as an eager DataFrame with named columns; one with numbers for names is an array.

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


def layout_of(rows: Any, slice_column: str | None = None) -> Layout:
    """Decide from a frame's types what each column is.

    Raises:
        ValueError: a column of a type that has no meaning here, no numeric column, or no such slice column.
    """
    frame = nw.from_native(rows, eager_only=True)
    if slice_column is not None and slice_column not in frame.columns:
        raise ValueError(f"there is no column {slice_column!r} to slice by; there are: {', '.join(frame.columns)}")
    numeric, categorical, times = [], [], []
    for name, dtype in frame.schema.items():
        if name == slice_column:
            continue
        if dtype.is_numeric():
            numeric.append(name)
        elif isinstance(dtype, _TIME):
            times.append(name)
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
    if len(times) > 1:
        raise ValueError(f"more than one time column ({', '.join(times)}): keep the one that says when a row happened")
    spec = FeatureSpec(tuple(numeric), tuple(categorical))
    return Layout(spec, times[0] if times else "", slice_column or "", tuple(frame.columns))


def _holds_text(column: Any) -> bool:
    """pandas' object columns: text, booleans or nothing in every row."""
    return column.dtype == nw.Object and all(isinstance(v, str | bool) or _absent(v) for v in column.to_list())


def _absent(value: Any) -> bool:
    if isinstance(value, str):
        return value in _GAPS
    if isinstance(value, float):
        return value != value
    return value is None or str(value) in _GAPS


def table_of(rows: Any, layout: Layout) -> Table:
    """The columns of a layout as a table.

    Raises:
        ValueError: a numeric column holds something else.
    """
    frame = nw.from_native(rows, eager_only=True)
    numeric = np.empty((len(frame), len(layout.spec.numeric)))
    for j, name in enumerate(layout.spec.numeric):
        numeric[:, j] = _numbers(frame[name], name)
    categories = np.empty((len(frame), len(layout.spec.categorical)), dtype=object)
    for k, name in enumerate(layout.spec.categorical):
        categories[:, k] = _texts(frame[name])
    slices = np.array([text or "" for text in _texts(frame[layout.slice])], dtype=object) if layout.slice else None
    times = _times(frame[layout.time]) if layout.time else None
    return Table.of(numeric, categories, slices, times)


def _numbers(column: Any, name: str) -> Any:
    if not column.dtype.is_numeric():
        raise ValueError(f"column {name!r} was numeric in training and is {column.dtype} now: convert it")
    if isinstance(column.dtype, _MACHINE):
        return np.asarray(column.to_numpy(), dtype=np.float64)  # gaps of any kind come as NaN
    return np.array([np.nan if _absent(value) else float(value) for value in column.to_list()], dtype=np.float64)


def _texts(column: Any) -> Objects:
    """Each distinct value is written once; True, 1 and 1.0 are distinct, though equal."""
    values = column.to_list()
    typed = list(zip(map(type, values), values, strict=True))
    texts = {pair: None if _absent(pair[1]) else str(pair[1]) for pair in set(typed)}
    made = np.empty(len(values), dtype=object)
    made[:] = [texts[pair] for pair in typed]
    return made


def _times(column: Any) -> Ints:
    """Milliseconds since the epoch, of the instant where the column knows its zone, whatever zone that is."""
    if not isinstance(column.dtype, _TIME):
        raise ValueError(f"column {column.name!r} held times in training and is {column.dtype} now: convert it")
    if column.is_null().any():
        raise ValueError(f"column {column.name!r} misses times: every row needs one, or leave the column out")
    whole = column.cast(nw.Datetime("ms")) if isinstance(column.dtype, nw.Date) else column
    return np.asarray(whole.dt.timestamp("ms").to_numpy(), dtype=np.int64)


def frame_of(table: Table, layout: Layout, like: Any) -> Any:
    """A frame of the kind that ``like`` names (``pandas``, ``polars``), columns as they came."""
    columns: dict[str, Any] = {name: table.numeric[:, j] for j, name in enumerate(layout.spec.numeric)}
    columns |= {name: list(table.categories[:, k]) for k, name in enumerate(layout.spec.categorical)}
    if layout.slice:
        columns[layout.slice] = list(table.slices)
    if layout.time:
        columns[layout.time] = table.time_ms.astype("datetime64[ms]")
    return nw.from_dict({name: columns[name] for name in layout.order}, backend=like).to_native()
