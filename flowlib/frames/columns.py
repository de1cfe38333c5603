"""One column of a DataFrame as an array of numbers, texts or milliseconds, and back.

Categories and slices are compared by their texts, which do not depend on the column's type: pandas makes floats of
integers where one is missing, and 1 and 1.0 are both written "1".
"""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from numbers import Real
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np

from flowlib.table import Floats, Ints, Objects

TIME = (nw.Datetime, nw.Date)
_MACHINE = (nw.Int8, nw.Int16, nw.Int32, nw.Int64, nw.UInt8, nw.UInt16, nw.UInt32, nw.UInt64, nw.Float32, nw.Float64)
"""Types that NumPy has too; decimals and the like are converted one by one."""

_KINDS: dict[str, tuple[type, ...]] = {
    "booleans": (bool, np.bool_),
    "numbers": (Real, Decimal),
    "text": (str,),
    "times": (date, np.datetime64),
}
"""Kinds of value, the first that fits: a boolean is a number to Python."""

_GAPS = ("nan", "<NA>", "NaT")
_SHOWN = 40


def absent(value: Any) -> bool:
    """Whether a value stands for a missing one."""
    if isinstance(value, str):
        return value in _GAPS
    if isinstance(value, float):
        return value != value
    return value is None or str(value) in _GAPS


def numbers(column: Any) -> Floats:
    """``(n,)``, NaN where missing; raises ValueError on a column with anything but numbers and gaps.

    A column's type may say nothing: a frame of one row with a gap has no type to give it, and Decimals have none.
    """
    if isinstance(column.dtype, _MACHINE):
        return np.asarray(column.to_numpy(), dtype=np.float64)  # gaps of any kind come as NaN
    values = column.to_list()
    other = None if column.dtype.is_numeric() else next((v for v in values if not (absent(v) or _is_number(v))), None)
    if other is not None:
        raise ValueError(
            f"column {column.name!r} was numeric in training and is {column.dtype} now, with {_kind(type(other))} such "
            f"as {_shown(other)}: convert it"
        )
    return np.array([np.nan if absent(value) else _float(value) for value in values], dtype=np.float64)


def holds_numbers(column: Any) -> bool:
    """Whether an object column of pandas or polars has numbers, and nothing else but gaps."""
    values = [value for value in column.to_list() if not absent(value)] if column.dtype == nw.Object else []
    return bool(values) and all(map(_is_number, values))


def _is_number(value: Any) -> bool:
    return _kind(type(value)) == "numbers"


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf if value > 0 else -math.inf


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def texts(column: Any) -> tuple[Objects, tuple[str, ...]]:
    """``(n,)`` texts, None where missing, and the kinds of the others: booleans, numbers, text, times.

    Raises:
        ValueError: a column of lists or the like.
    """
    values = column.to_list()
    typed = list(zip(map(type, values), values, strict=True))  # True, 1 and 1.0 are equal and not the same
    try:
        distinct = set(typed)
    except TypeError:
        raise ValueError(f"column {column.name!r} is of type {column.dtype}: it tells no rows apart") from None
    written = {pair: None if absent(pair[1]) else _text(pair[1]) for pair in distinct}
    result = np.empty(len(values), dtype=object)
    result[:] = [written[pair] for pair in typed]
    return result, tuple(sorted({_kind(type_) for (type_, _), text in written.items() if text is not None}))


def _text(value: Any) -> str:
    if _kind(type(value)) == "numbers" and not isinstance(value, int) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _kind(of: type) -> str:
    return next((kind for kind, classes in _KINDS.items() if issubclass(of, classes)), of.__name__)


def times(column: Any) -> Ints:
    """Milliseconds since the epoch; of the instant where the column has a zone.

    Raises:
        ValueError: a column of something else, or a gap.
    """
    if not isinstance(column.dtype, TIME) and not column.is_null().all():
        raise ValueError(f"column {column.name!r} held times in training and is {column.dtype} now: convert it")
    if column.is_null().any():
        raise ValueError(f"column {column.name!r} misses times: every row needs one, or leave the column out")
    whole = column.cast(nw.Datetime("ms")) if isinstance(column.dtype, nw.Date) else column
    return np.asarray(whole.dt.timestamp("ms").to_numpy(), dtype=np.int64)


def of_numbers(values: Floats, dtype: Any, backend: Any) -> Any:
    """A column of a numeric type; integers are rounded and clipped to what the type holds."""
    if not dtype.is_integer():
        series = nw.new_series("", values, backend=backend)
        return series.cast(dtype) if dtype.is_float() else series
    low, high = _range(str(dtype).lower())
    whole, gaps = np.clip(np.rint(values), low, high), np.isnan(values)
    if gaps.any():
        return _cast([None if gap else int(x) for x, gap in zip(whole, gaps, strict=True)], dtype, backend)
    return _cast(whole.astype(np.uint64 if low == 0 else np.int64), dtype, backend)


def _range(name: str) -> tuple[float, float]:
    """The ends of an integer type as floats inside it; of one that NumPy does not have, those of 64 bits."""
    wide = np.iinfo(name if name in np.sctypeDict else "uint64" if name.startswith("u") else "int64")
    high = float(wide.max)
    return float(wide.min), high if int(high) <= wide.max else float(np.nextafter(high, 0.0))


def of_texts(values: Objects, kinds: tuple[str, ...], dtype: Any, backend: Any) -> Any:
    """A column of booleans or numbers where all values were of that kind, else of the texts."""
    return _cast([None if text is None else _value(text, kinds) for text in values.tolist()], dtype, backend)


def _value(text: str, kinds: tuple[str, ...]) -> bool | int | float | str:
    if kinds == ("booleans",):
        return text == "True"
    if kinds == ("numbers",):
        return float(text) if {".", "e", "n"} & set(text.lower()) else int(text)
    return text


def of_times(ms: Ints, dtype: Any, backend: Any) -> Any:
    """A column of dates or times, in the zone of its type."""
    plain = nw.new_series("", ms.astype("datetime64[ms]"), backend=backend)
    if isinstance(dtype, nw.Date):
        return plain.cast(dtype)
    series = plain.cast(nw.Datetime(dtype.time_unit))
    return series.dt.replace_time_zone("UTC").dt.convert_time_zone(dtype.time_zone) if dtype.time_zone else series


def _cast(values: Any, dtype: Any, backend: Any) -> Any:
    """A column of this type, unless it has gaps that the type cannot hold (integers and booleans of pandas)."""
    series = nw.new_series("", values, backend=backend)
    gaps = series.is_null()
    is_empty = series.dtype == nw.Unknown and gaps.all()
    can_hold = series.dtype.is_integer() or (series.dtype.is_numeric() and not gaps.any())
    return series.cast(dtype) if can_hold or is_empty or isinstance(dtype, nw.Categorical | nw.Enum) else series
