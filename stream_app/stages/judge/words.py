"""Numbers, times, slices and findings for people to read.

>>> figure(12.345), figure(2_900_000.0), figure(0.000123), figure(-0.0)
('12.3', '2,900,000', '0.000123', '0')
>>> share(0.832), share(0.0004), share(1.0)
('83 %', 'less than 0.1 %', 'all')
>>> when(1_488_607_200_000, "UTC"), when(1_488_607_200_000, "Asia/Shanghai")
('4 Mar 2017 06:00 UTC', '4 Mar 2017 14:00 Asia/Shanghai')
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from schemas.pane_layout import OTHER
from stream_app.stages.judge.figures import SPREAD, Pooled
from stream_app.stages.judge.threads import MEAN, PER_PANE, Heard

TOGETHER = "__all__"
"""Slice name of the sums over all slices."""
NAMED_MAX = 3
"""Slices that a sentence names."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DIGITS = 3
_UNITS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"), (1, "millisecond"))


def figure(value: float) -> str:
    """Three digits that count, never as a power of ten unless very far out."""
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-6:
        return f"{value:.2e}"
    if size >= 10 ** (_DIGITS - 1):
        digits = max(len(f"{size:.0f}") - _DIGITS, 0)
        return f"{round(value, -digits):,.0f}"
    places = _DIGITS - 1 - math.floor(math.log10(size)) if size else 0
    text = f"{value:.{places}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).removeprefix("-") if not size else _short(text)


def _short(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def share(of: float) -> str:
    """A share in percent."""
    if of >= 0.9995:
        return "all"
    if of < 0.001:
        return "less than 0.1 %"
    return f"{of:.0%}".replace("%", " %") if of >= 0.1 else f"{100 * of:.1f} %"


def when(ms: int, zone: str) -> str:
    """A time on the stream's clock."""
    at = datetime.fromtimestamp(ms / 1000, UTC).astimezone(UTC if zone == "UTC" else ZoneInfo(zone))
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year} {at.hour:02}:{at.minute:02} {zone}"


def duration(ms: int) -> str:
    """A length of time in the largest unit that it has a whole number of.

    >>> duration(3_600_000), duration(90_000), duration(7 * 86_400_000)
    ('hour', '90 seconds', '7 days')
    """
    for unit_ms, name in _UNITS:
        if ms % unit_ms == 0 and ms:
            n = ms // unit_ms
            return name if n == 1 else f"{n} {name}s"
    return "moment"


def plural(slicing: str) -> str:
    """Several slices of a slicing.

    >>> plural("station"), plural("country"), plural("country+city"), plural("branch")
    ('stations', 'countries', 'slices', 'branches')
    """
    if not (slicing.isalpha() and slicing.isascii()):
        return "slices"
    if slicing[-1] == "y" and slicing[-2:-1] not in "aeiou":
        return f"{slicing[:-1]}ies"
    return f"{slicing}es" if slicing.endswith(("s", "x", "ch", "sh")) else f"{slicing}s"


def slice_words(slicing: str, name: str) -> str:
    """A slice's name for people."""
    if name == TOGETHER:
        return f"all {plural(slicing)} together"
    if name == OTHER:
        return f"events of {plural(slicing)} without a place of their own"
    return "all events" if name == slicing == "all" else name


def listed(names: Sequence[str], more: int, noun: str) -> str:
    """Some names, and how many more there are.

    >>> listed(["Dongsi", "Tiantan"], 8, "stations"), listed(["Dongsi", "Tiantan"], 0, ""), listed(["Dongsi"], 0, "")
    ('Dongsi, Tiantan and 8 more stations', 'Dongsi and Tiantan', 'Dongsi')
    """
    if more:
        return f"{', '.join(names)} and {more:,} more {noun}"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def subject(members: Sequence[Heard], places: int, of_slicing: int) -> str:
    """Which slices it is about.

    Args:
        members: most evidence first, one at least.
        places: slices of theirs.
        of_slicing: slices that the first one's slicing has.
    """
    named = list(dict.fromkeys(member.key[1:] for member in members))
    slicing = named[0][0]
    of_one = [name for of, name in named if of == slicing and not name.startswith("__")]
    if len(of_one) == len(named) == of_slicing > NAMED_MAX:
        return f"all {of_slicing:,} {plural(slicing)}"
    first = NAMED_MAX if places <= NAMED_MAX else NAMED_MAX - 1
    noun = plural(slicing) if len(of_one) == len(named) else "slices"
    more = places - len(named[:first])
    return listed([slice_words(*place) for place in named[:first]], more, noun if more > 1 else _one(noun, slicing))


def _one(noun: str, slicing: str) -> str:
    return "slice" if noun == "slices" else slicing


def finding(of: Pooled, sensitive: frozenset[str], pane_ms: int) -> str:
    """What is not as it was, in words: what a member's slice is said to have, such as ``TEMP is 4.1 σ higher than usual
    (12.3 against 3.5 °C for these hours)``.

    Args:
        sensitive: fields of which no value is told.
    """
    hidden = not sensitive.isdisjoint(of.features)
    seen, expected = (None, None) if hidden else (of.seen, of.expected)
    if hidden and of.measure != MEAN:
        return f"{_columns(of)}: {of.detector} has changed"
    if of.measure == MEAN:
        return _mean(of, seen, expected)
    if seen is None or expected is None:
        return _plain(of)
    if of.measure == SPREAD:
        return f"{_columns(of)} spreads {figure(seen)} times as widely as usual"
    if of.measure == PER_PANE:
        return (
            f"{figure(seen)} events come in {_a(duration(pane_ms))}, against {figure(expected)} usual for these hours"
        )
    if of.measure.startswith("share"):
        return f"{_plain(of)}: {_percent(seen)}, against {_percent(expected)} usual"
    return _plain(of)


def _mean(of: Pooled, seen: float | None, expected: float | None) -> str:
    against = "" if seen is None or expected is None else _against(seen, expected, of.unit)
    if of.detector != "location" or of.size_sd is None:
        return f"{_plain(of)}{against}"
    way = "higher" if of.size_sd > 0 else "lower"
    return f"{_columns(of)} is {figure(abs(of.size_sd))} σ {way} than usual{against}"


def _against(seen: float, expected: float, unit: str) -> str:
    return f" ({figure(seen)} against {figure(expected)}{' ' + unit if unit else ''} for these hours)"


def _plain(of: Pooled) -> str:
    """What the detector says, without its name before it, and with the columns unless it names them."""
    says = of.says.removeprefix(f"{of.detector}: ") or f"{of.detector} has changed"
    return says if not of.features or of.features[0] in says else f"{_columns(of)}: {says}"


def _columns(of: Pooled) -> str:
    return " and ".join(of.features) or of.detector


def _a(length: str) -> str:
    if length[0].isdigit():
        return length
    return f"an {length}" if length == "hour" else f"a {length}"


def _percent(of: float) -> str:
    return "100 %" if of >= 0.9995 else "0 %" if of <= 0 else share(of)
