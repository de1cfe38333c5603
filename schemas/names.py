"""Names made of what events say: one to one, of one line, of 200 characters at most, and never one of ours.

What has no place in a name is percent-escaped, byte by byte of its UTF-8. Texts are equal or not in a Unicode form, so
that a word put together in two ways is one name.

    >>> slice_name(["Zürich|West", None]), slice_name(["Zürich", "West"]), slice_name(["(none)"])
    ('Zürich%7CWest|(none)', 'Zürich|West', '%28none)')
    >>> text_name("a\\nb\\\\c"), text_name("100 %"), text_name("%0A")
    ('a%0Ab%5Cc', '100 %', '%250A')
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

Form = Literal["NFC", "NFKC", ""]
"""The Unicode form that texts are brought into; empty leaves them as they are."""

NAME_MAX = 200
"""Characters of a name. A longer one is cut, and ends with ``…`` and sixteen digits of its SHA-256."""

NO_VALUE = "(none)"
"""Stands for a value that is missing."""
_EMPTY = "(empty)"
"""Stands for the text without a character."""
EVERYTHING = "all"
"""The one slice of a slicing without fields."""

_DIGITS = 16
# Control characters, the backslash, line ends of Unicode's own, marks that turn the direction of writing or that nobody
# sees (the joiners stay: words need them), halves of characters, and a percent sign that would look like an escape.
_UNFIT = (
    r"\x00-\x1f\x7f-\x9f\\\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    r"\ufff9-\ufffb"
)
_ESCAPED = re.compile(f"[{_UNFIT}]|%(?=[0-9A-Fa-f]{{2}})")
_ESCAPED_PART = re.compile(f"[{_UNFIT}|]|%(?=[0-9A-Fa-f]{{2}})")
_ESCAPED_FIELD = re.compile(f"[{_UNFIT}+]|%(?=[0-9A-Fa-f]{{2}})")
is_plain = re.compile(rf"(?![(_])[ -$&-\[\]-{{}}~]{{1,{NAME_MAX}}}").fullmatch
"""Texts that are their own names, wherever they stand: nearly all."""
_OURS = re.compile(r"__.*__", re.DOTALL)
_CUT = re.compile(rf".{{{NAME_MAX - _DIGITS - 1}}}…[0-9a-f]{{{_DIGITS}}}", re.DOTALL)


def slice_name(values: Sequence[str | None], form: Form = "NFC") -> str:
    """The name of the slice of these values of its fields; None is a missing one."""
    if len(values) == 1 and (only := values[0]) and is_plain(only):
        return only
    if not values:
        return EVERYTHING
    pattern = _ESCAPED if len(values) == 1 else _ESCAPED_PART
    name = "|".join([_part(value, pattern, form) for value in values])
    return _cut(_escape_first(name) if _OURS.fullmatch(name) else name)


def slicing_name(fields: Sequence[str]) -> str:
    """The name of a slicing by some fields, none of them empty: the fields with ``+`` between them."""
    pattern = _ESCAPED if len(fields) == 1 else _ESCAPED_FIELD
    name = "+".join([_escape(field, pattern, "") for field in fields])
    return _cut(_escape_first(name) if name == EVERYTHING else name) or EVERYTHING


def text_name(text: str, form: Form = "NFC") -> str:
    """The name of a category, an id or a field: a text as it is, but for what has no place in a name."""
    return text if is_plain(text) else _cut(_escape(text, _ESCAPED, form))


def _part(value: str | None, pattern: re.Pattern[str], form: Form) -> str:
    if value and is_plain(value):
        return value
    if not value:
        return NO_VALUE if value is None else _EMPTY
    name = _escape(value, pattern, form)
    return _escape_first(name) if name in (NO_VALUE, _EMPTY) else name


def _escape(text: str, pattern: re.Pattern[str], form: Form) -> str:
    return pattern.sub(lambda found: _percent(found[0]), unicodedata.normalize(form, text) if form else text)


def _escape_first(name: str) -> str:
    return _percent(name[0]) + name[1:]


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _cut(name: str) -> str:
    if len(name) < NAME_MAX or (len(name) == NAME_MAX and not _CUT.fullmatch(name)):
        return name
    digits = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
    return f"{name[: NAME_MAX - _DIGITS - 1]}…{digits}"
