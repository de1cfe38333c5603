"""Numbers as people write them in tables: with a sign of a currency, a sign of percent, groups of three digits."""

from __future__ import annotations

import re

_CURRENCY = "$€£¥₹"
_SPACES = "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}"
_SIGNS = re.compile(rf"(?P<sign>[+-]?)(?:[{_CURRENCY}]\s?)?(?P<digits>\d[\d., ']*?)\s?[{_CURRENCY}%]?")
_CHARS_MAX = 40
_MINUS = "\N{MINUS SIGN}"
_FORMS = (
    (re.compile(r"\d+(\.\d+)?"), ""),
    (re.compile(r"\d+,(\d{1,2}|\d{4,})|0,\d+|\d{4,},\d+"), "."),
    (re.compile(r"\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,}"), ","),
    (re.compile(r"\d{1,3}(\.\d{3})+,\d+|\d{1,3}(\.\d{3}){2,}"), "."),
    (re.compile(r"\d{1,3}( \d{3})+([.,]\d+)?"), " "),
    (re.compile(r"\d{1,3}('\d{3})+([.,]\d+)?"), "'"),
)
"""A form of the digits, and what stands between their groups."""


def amount(cell: str) -> float | int | None:
    """The number that a cell shows, in its own unit; None where it is none, or where there are two ways to read it.

    >>> amount("$1,234.50"), amount("1 234,5"), amount("-12%"), amount("1.234,50 €"), amount("1'000"), amount("7,5")
    (1234.5, 1234.5, -12, 1234.5, 1000, 7.5)
    >>> amount("1,234"), amount("$1,234"), amount("1.2.3"), amount("12:30"), amount("2024-01-01"), amount("%")
    (None, None, None, None, None, None)
    """
    told = cell.strip().replace(_MINUS, "-").translate(_TO_BLANKS)
    if not 0 < len(told) <= _CHARS_MAX or not (told[0].isdigit() or told[0] in f"+-{_CURRENCY}"):
        return None
    found = _SIGNS.fullmatch(told)
    if found is None:
        return None
    digits = found["digits"]
    for form, between in _FORMS:
        if form.fullmatch(digits):
            plain = digits.replace(between, "") if between and digits.count(between) and between != "." else digits
            plain = _without_points(plain) if between == "." else plain.replace(",", ".")
            return _number(found["sign"] + plain)
    return None


_TO_BLANKS = str.maketrans(dict.fromkeys(_SPACES, " "))


def _without_points(digits: str) -> str:
    return digits.replace(".", "").replace(",", ".")


def _number(plain: str) -> float | int:
    return float(plain) if "." in plain else int(plain)
