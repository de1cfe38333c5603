"""Numbers and lists as sentences have them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stream_app.terminal import shortened

_TEXT_MAX = 400


def many(n: int, noun: str) -> str:
    """A number of things.

    >>> many(1, "unusual thing"), many(1_200, "event")
    ('1 unusual thing', '1,200 events')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def join(items: Sequence[str]) -> str:
    """A list in words.

    >>> join(["a", "b", "c"]), join(["a"]), join([])
    ('a, b and c', 'a', '')
    """
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def percent(share: float) -> str:
    """A share of a hundred with two digits that count, or a dash where nothing is known.

    >>> percent(0.0123), percent(0.25), percent(0.0), percent(0.0004), percent(float("nan"))
    ('1.2 %', '25 %', '0 %', 'below 0.1 %', '–')
    """
    if not math.isfinite(share):
        return "–"
    if 0 < share < 0.001:
        return "below 0.1 %"
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.0995 else f"{100 * share:.1f} %"


def said(text: str) -> str:
    """A text of others as a part of a sentence: on one line, and no longer than one reads."""
    line = " ".join(text.split())
    return shortened(line, _TEXT_MAX)
