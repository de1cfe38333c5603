"""One column of a DataFrame as an array of numbers, texts or milliseconds, and back.

Texts are what categories and slices are compared by, so they must not depend on how a column happens to be held: pandas
makes floats of integers where one is missing, and 1 and 1.0 are both written "1".
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from numbers import Real
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np

from flowlib.table import Floats, Ints, Objects, Singles

TIME = (nw.Datetime, nw.Date)
_MACHINE = (nw.Int8, nw.Int16, nw.Int32, nw.Int64, nw.UInt8, nw.UInt16, nw.UInt32, nw.UInt64, nw.Float32, nw.Float64)
"""Numbers that numpy has too; decimals and the like go one by one."""

_KINDS: dict[str, tuple[type, ...]] = {
    "booleans": (bool, np.bool_),
    "numbers": (Real, Decimal),
    "text": (str,),
    "times": (date, np.datetime64),
}
"""What a value is, the first that fits: a boolean is a number to Python."""

_GAPS = ("nan", "<NA>", "NaT")


def absent(value: Any) -> bool:
    """Whether a value stands for nothing."""
    if isinstance(value, str):
        return value in _GAPS
    if isinstance(value, float):
        return value != value
    return value is None or str(value) in _GAPS


def numbers(column: Any) -> Floats:
    """``(n,)``, NaN where missing; raises ValueError on a column that is not numeric."""
    if not column.dtype.is_numeric():
        raise ValueError(f"column {column.name!r} was numeric in training and is {column.dtype} now: convert it")
    if isinstance(column.dtype, _MACHINE):
        return np.asarray(column.to_numpy(), dtype=np.float64)  # gaps of any kind come as NaN
    return np.array([np.nan if absent(value) else float(value) for value in column.to_list()], dtype=np.float64)


def texts(column: Any) -> tuple[Objects, tuple[str, ...]]:
    """``(n,)`` texts, None where missing, and the kinds of what is there: booleans, numbers, text, times.

    Each distinct value is written once; True, 1 and 1.0 are distinct, though equal.

    Raises:
        ValueError: a column of lists or the like.
    """
    values = column.to_list()
    typed = list(zip(map(type, values), values, strict=True))
    try:
        distinct = set(typed)
    except TypeError:
        raise ValueError(f"column {column.name!r} is of type {column.dtype}: it tells no rows apart") from None
    written = {pair: None if absent(pair[1]) else _text(pair[1]) for pair in distinct}
    made = np.empty(len(values), dtype=object)
    made[:] = [written[pair] for pair in typed]
    return made, tuple(sorted({_kind(type_) for (type_, _), text in written.items() if text is not None}))


def _text(value: Any) -> str:
    if _kind(type(value)) == "numbers" and not isinstance(value, int) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _kind(of: type) -> str:
    return next((kind for kind, classes in _KINDS.items() if issubclass(of, classes)), of.__name__)


def times(column: Any) -> Ints:
    """Milliseconds since the epoch, of the instant where the column knows its zone, whatever zone that is.

    Raises:
        ValueError: a column of something else, or a gap.
    """
    if not isinstance(column.dtype, TIME):
        raise ValueError(f"column {column.name!r} held times in training and is {column.dtype} now: convert it")
    if column.is_null().any():
        raise ValueError(f"column {column.name!r} misses times: every row needs one, or leave the column out")
    whole = column.cast(nw.Datetime("ms")) if isinstance(column.dtype, nw.Date) else column
    return np.asarray(whole.dt.timestamp("ms").to_numpy(), dtype=np.int64)


def of_numbers(values: Singles, dtype: Any, backend: Any) -> Any:
    """A column of a numeric type; where it was one of integers they are the nearest that the type holds."""
    if not dtype.is_integer():
        made = nw.new_series("", values.astype(np.float64), backend=backend)
        return made.cast(dtype) if dtype.is_float() else made
    low, high = _range(str(dtype).lower())
    whole, gaps = np.clip(np.rint(values.astype(np.float64)), low, high), np.isnan(values)
    if gaps.any():
        return _cast([None if gap else int(x) for x, gap in zip(whole, gaps, strict=True)], dtype, backend)
    return _cast(whole.astype(np.uint64 if low == 0 else np.int64), dtype, backend)


def _range(name: str) -> tuple[float, float]:
    """The ends of an integer type as floats inside it; of one that numpy does not have, those of 64 bits."""
    wide = np.iinfo(name if name in np.sctypeDict else "uint64" if name.startswith("u") else "int64")
    high = float(wide.max)
    return float(wide.min), high if int(high) <= wide.max else float(np.nextafter(high, 0.0))


def of_texts(values: Objects, kinds: tuple[str, ...], dtype: Any, backend: Any) -> Any:
    """A column of what the texts say, where all of it was of one kind; else the texts."""
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
    made = plain.cast(nw.Datetime(dtype.time_unit))
    return made.dt.replace_time_zone("UTC").dt.convert_time_zone(dtype.time_zone) if dtype.time_zone else made


def _cast(values: Any, dtype: Any, backend: Any) -> Any:
    """A column of the type it was, unless it has gaps that such a one cannot hold (in pandas integers and booleans)."""
    made = nw.new_series("", values, backend=backend)
    gaps = made.is_null()
    nothing = made.dtype == nw.Unknown and gaps.all()
    held = made.dtype.is_integer() or (made.dtype.is_numeric() and not gaps.any())
    return made.cast(dtype) if held or nothing or isinstance(dtype, nw.Categorical | nw.Enum) else made
