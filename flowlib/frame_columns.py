"""One column of a DataFrame as an array of numbers, texts or milliseconds.

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

from flowlib.table import Floats, Ints, Objects

TIME = (nw.Datetime, nw.Date)
_MACHINE = (
    nw.Int8, nw.Int16, nw.Int32, nw.Int64, nw.UInt8, nw.UInt16, nw.UInt32, nw.UInt64, nw.Float32, nw.Float64,
)  # fmt: skip
"""Numbers that numpy has too; decimals and the like go one by one."""

_KINDS: dict[str, tuple[type, ...]] = {
    "booleans": (bool, np.bool_), "numbers": (Real, Decimal), "text": (str,), "times": (date, np.datetime64),
}  # fmt: skip
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
