"""Numbers, times, slices and findings for people to read.

>>> figure(12.345), figure(2_900_000.0), figure(0.000123), figure(-0.0)
('12.3', '2,900,000', '0.000123', '0')
>>> share(0.832), share(0.0004), share(1.0)
('83 %', 'less than 0.1 %', '100 %')
>>> when(1_488_607_200_000, "UTC"), when(1_488_607_200_000, "Asia/Shanghai")
('4 Mar 2017 06:00 UTC', '4 Mar 2017 14:00 Asia/Shanghai')
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from schemas.pane_layout import OTHER, TOGETHER
from stream_app.stages.judge.figures import SPREAD, Pooled
from stream_app.stages.judge.heard import MEAN, PER_PANE, Heard

NAMED_MAX = 3
"""Slices that a sentence names."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DIGITS = 3
_UNITS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"), (1, "millisecond"))


def figure(value: float, apart: float = math.inf) -> str:
    """Three digits that count, never as a power of ten unless very far out; more where two figures that are ``apart``
    only by so much are told together.

    >>> figure(1_008.9, apart=5.2), figure(1_003.13, apart=0.13), figure(899.98, apart=623.0), figure(7.0, apart=0.0)
    ('1,008.9', '1,003.13', '900', '7')
    """
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-6:
        return f"{value:.2e}"
    if size == 0:
        return "0"
    places = _DIGITS - 1 - math.floor(math.log10(size))
    if 0 < apart < size:
        places = max(places, min(_DIGITS - 2 - math.floor(math.log10(apart)), places + _DIGITS))
    return f"{round(value, places):,.0f}" if places <= 0 else _short(f"{value:,.{places}f}")


def exact(value: float) -> str:
    """A whole number with all its digits where it is one, or large.

    >>> exact(51_840.0), exact(23.8095), exact(2.0)
    ('51,840', '23.8', '2')
    """
    return f"{value:,.0f}" if value >= 10 ** (_DIGITS - 1) or value == int(value) else figure(value)


def _short(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def share(of: float) -> str:
    """A share in percent."""
    percent = 100 * of
    if 0 < percent < 0.1:
        return "less than 0.1 %"
    return f"{percent:.0f} %" if percent >= _WHOLE else f"{_short(f'{percent:.1f}')} %"


_WHOLE = 9.95


def when(ms: int, zone: str, named: bool = True) -> str:
    """A time on the stream's clock; ``named`` with the zone."""
    at = datetime.fromtimestamp(ms / 1000, UTC).astimezone(UTC if zone == "UTC" else ZoneInfo(zone))
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year} {at.hour:02}:{at.minute:02}{f' {zone}' if named else ''}"


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

    >>> plural("station"), plural("country"), plural("country+city"), plural("branch"), plural("series")
    ('stations', 'countries', 'slices', 'branches', 'series')
    """
    if not (slicing.isalpha() and slicing.isascii()):
        return "slices"
    if slicing[-1] == "y" and slicing[-2:-1] not in "aeiou":
        return f"{slicing[:-1]}ies"
    if slicing.endswith("series"):
        return slicing
    return f"{slicing}es" if slicing.endswith(("s", "x", "ch", "sh")) else f"{slicing}s"


def slice_words(slicing: str, name: str) -> str:
    """A slice's name for people."""
    if name == TOGETHER:
        return f"all {plural(slicing)} together"
    if name == OTHER:
        return f"{plural(slicing)} without a place of their own"
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
    every = list(dict.fromkeys(member.key[1:] for member in members))
    named = [of for of in every if of[1] != TOGETHER] or every  # beside slices all together are none more
    places -= len(every) - len(named)
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


def finding(of: Pooled, sensitive: frozenset[str], pane_ms: int, past: bool = False) -> str:
    """What is not as it was, in words, as far as they may be told.

    Args:
        sensitive: fields of which no value is told.
        past: whether it is over.
    """
    seen, expected = of.seen, of.expected
    if seen is None or expected is None or not sensitive.isdisjoint(of.features):
        return _location(of, past) if of.detector == "location" else _plain(of, past)
    if of.detector == "stuck":
        at = f" (at {figure(seen, abs(seen) * _STILL)} {of.unit}".rstrip() + ")" if of.slices == 1 else ""
        return f"{_plain(of, past)}{at}"
    if of.measure == PER_PANE:
        return _events(of, seen, expected, pane_ms, past)
    if of.measure == SPREAD:
        return f"{_columns(of)} {'spread' if past else 'spreads'} {figure(seen)} times as widely as usual"
    if of.measure == MEAN:
        what = _location(of, past) if of.detector == "location" else _plain(of, past)
        apart = abs(seen - expected)
        usual = f"{figure(expected, apart)} {of.unit}".rstrip()
        return f"{what} ({figure(seen, apart)} against {usual} for these hours)"
    return f"{_plain(of, past)}: {share(seen)} instead of {share(expected)}"


def _location(of: Pooled, past: bool) -> str:
    """A column's mean. What has moved may be its mean given the other columns, and not the mean as such."""
    be, size, way = "was" if past else "is", of.size_sd, _WAYS.get(of.direction, "not as high")
    if size is None:
        return f"{_columns(of)} {be} {way} than usual"
    if abs(size) < _NO_SIZE or (size > 0) != (of.direction == "up"):
        return f"{_columns(of)} {be} {way} than the other columns let expect"
    return f"{_columns(of)} {be} {_size(size)} σ {way} than usual"


_WAYS = {"up": "higher", "down": "lower"}
_NO_SIZE = 0.1
_STILL = 1e-3
"""Part of a value that is stuck which is told of it."""


def _size(size_sd: float) -> str:
    size = abs(size_sd)
    return f"{size:.1f}" if size < _MANY else figure(size)


_MANY = 10.0


def _events(of: Pooled, seen: float, expected: float, pane_ms: int, past: bool) -> str:
    """How many events come, of each slice where there are several."""
    length, were = _every(duration(pane_ms)), "were" if past else "are"
    if seen < _NONE:
        return f"{'no events came' if past else 'no events come any more'} ({figure(expected)} {length} {were} usual)"
    noun = "event" if figure(seen) == "1" else "events"
    each = " each" if of.slices > 1 else ""
    return f"{'only ' if seen < expected else ''}{figure(seen)} {noun} {length}{each} ({figure(expected)} {were} usual)"


_NONE = 0.005


def _every(length: str) -> str:
    """
    >>> _every("hour"), _every("day"), _every("15 minutes")
    ('an hour', 'a day', 'every 15 minutes')
    """
    if length[0].isdigit():
        return f"every {length}"
    return f"an {length}" if length == "hour" else f"a {length}"


def _plain(of: Pooled, past: bool = False) -> str:
    """What the detector says, after the columns that it is about."""
    says = of.says or f"{of.detector} finds a change"
    for present, before in _PAST if past else ():
        says = re.sub(present, before, says)
    if not of.features or re.search(rf"\b{re.escape(of.features[0])}\b", says):
        return says
    return f"{_columns(of)} {says}" if of.measure == SPREAD else f"{_columns(of)}: {says}"


_PAST = (
    (r"does not change any more", "did not change"),
    (r"\bare\b", "were"),
    (r"\bhas\b", "had"),
    (r"\bmove\b", "moved"),
    (r"\bcomes?\b", "came"),
    (r"\bhave closed\b", "had closed"),
    (r"\bcannot\b", "could not"),
    (r"\bhold\b", "held"),
    (r"\bis not written\b", "was not written"),
    (r"\bfinds\b", "found"),
)
"""What detectors say, once it is over."""


def _columns(of: Pooled) -> str:
    return " and ".join(of.features) or "the slice"
