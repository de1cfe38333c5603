"""What a field's value is, where it is not written as it should be: numbers in text, decimal commas, booleans, NaN.

Readers raise :class:`Misfit` with what is wrong. They say of what they have read whether it was as it should be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from stream_app.errors import DriftflowError

_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?(?!0)\d{1,3},\d{3}")
_MINUS = "\N{MINUS SIGN}"
"""Looks like the hyphen that JSON has for it."""
_INFINITE = re.compile(r"([+-]?)inf(?:inity)?", re.IGNORECASE)
_NOT_A_NUMBER = re.compile(r"[+-]?nan", re.IGNORECASE)
_BOOLEANS = {"true": 1, "false": 0}
_WHOLE_MAX = 17
"""Digits of a whole number that is read as one: times in milliseconds have 13."""
EXACT = 2**53
"""Every whole number up to it is a float64."""
_SHOWN_MAX = 50
BEYOND = "is beyond 1.8e308, the most that a float64 holds"

Reading = tuple[Any, bool]
"""A value, and whether it was written as it should be."""
Reader = Callable[[Any], Reading]
"""From a value of JSON, None where there is none, to what an event has of it."""


class Misfit(DriftflowError):
    """A value that its field cannot have."""


def number(value: Any) -> Reading:
    """A number of the kind that a float64 holds, or None; of a whole number beyond 2⁵³ it may not hold the last digits.

    Digits may be those of any script, as in files.

    >>> number(3), number("12,5"), number(True), number(float("nan")), number(2**53 + 1)[1]
    ((3, True), (12.5, False), (1, False), (None, False), False)

    Raises:
        Misfit: it is none, or there is more than one way to read it.
    """
    if value is None:
        return None, True
    if isinstance(value, str):
        return _number_of(value.strip().replace(_MINUS, "-")), False
    if isinstance(value, bool):
        return int(value), False
    if not isinstance(value, int | float):
        raise Misfit(f"expected a number, got {kind_of(value)}")
    if isinstance(value, int):
        return _finite(value, "it"), abs(value) <= EXACT or int(Decimal(repr(float(value)))) == value
    return (None if math.isnan(value) else value), math.isfinite(value)


def clock(value: Any) -> Reading:
    """A time in numbers, or None; a whole one is as it should be whatever its digits: nanoseconds have nineteen.

    Raises:
        Misfit: it is none; a boolean is none either.
    """
    found, as_it_should_be = number(value)
    if isinstance(value, bool) or (found is None and value is not None) or str(value).strip() in _BOOLEANS:
        raise Misfit(f"expected a time, got {kind_of(value)}")
    return found, as_it_should_be or isinstance(value, int)


def text(value: Any) -> Reading:
    """One of some texts, or a number, or a boolean, or None.

    Raises:
        Misfit: it is none of these, or cannot be written down.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return (None if math.isnan(value) else f"{'-' * (value < 0)}Infinity"), False
    if isinstance(value, str):
        return _writable(value), True
    if isinstance(value, int) and not isinstance(value, bool):
        _finite(value, "it")
    elif value is not None and not isinstance(value, bool | float):
        raise Misfit(f"expected a text, a number or a boolean, got {kind_of(value)}")
    return value, True


def text_of(value: str | float | bool) -> str:
    """The text of a value, the same for every way to write the number in JSON.

    >>> text_of(True), text_of(1), text_of(1.0), text_of(-0.0), text_of(1e22), text_of(0.10)
    ('true', '1', '1', '0', '10000000000000000000000', '0.1')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (value.is_integer() and abs(value) < EXACT):
        return str(int(value))
    return format(Decimal(repr(value)), "f").removesuffix(".0") if value.is_integer() else repr(value)


def has_digits(told: str) -> bool:
    """Whether a text that :func:`number` takes is a number that is written out, and no word for one.

    >>> has_digits(" -12.50 "), has_digits("true"), has_digits("Infinity")
    (True, False, False)
    """
    return bool(_NUMBER.fullmatch(told.strip().replace(_MINUS, "-")))


def wanted(value: Any) -> str:
    """What a number should have been instead of this value."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return "a number of no more digits than a float64 holds" if whole else "a number"


def kind_of(value: Any) -> str:
    """What a value is, in the words of JSON, with its beginning."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        return f"the text {shown(value)}"
    return "null" if value is None else f"{str(value).lower() if isinstance(value, bool) else value}"


def shown(value: str) -> str:
    """A text of others within a sentence."""
    return repr(value if len(value) <= _SHOWN_MAX else f"{value[:_SHOWN_MAX]}…")


def _number_of(told: str) -> float | int | None:
    if _THOUSANDS.fullmatch(told):
        raise Misfit(f"{shown(told)} may be a thousand or a number with a decimal comma: send it as a number")
    if _NUMBER.fullmatch(told):
        digits = told.lstrip("+-")
        if digits.isdecimal() and len(digits) <= _WHOLE_MAX:
            return int(told)
        return _finite(float(told.replace(",", ".")), shown(told))
    if told in _BOOLEANS:
        return _BOOLEANS[told]
    if _NOT_A_NUMBER.fullmatch(told):
        return None
    if infinite := _INFINITE.fullmatch(told):
        return -math.inf if infinite[1] == "-" else math.inf
    raise Misfit(f"expected a number, got the text {shown(told)}")


def _finite(value: float | int, what: str) -> float | int:
    try:
        if math.isfinite(value):
            return value
    except OverflowError:
        pass
    raise Misfit(f"{what} {BEYOND}")


def _writable(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Misfit(f"{ascii(value)[:_SHOWN_MAX]} holds half a character, or bytes that are no UTF-8") from None
    return value
