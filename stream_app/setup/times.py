"""Which column says when, and how its times are written."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np

from flowlib.table import Ints
from stream_app.config import EventConfig
from stream_app.setup.columns import Column
from stream_app.stages.score.event_time import time_parser
from stream_app.stages.score.rejects import Undecodable

NONE = -1
_TRIED = 200
_FITS = 0.98
_EPOCHS = {"epoch_s": 1.0, "epoch_ms": 1e3, "epoch_us": 1e6, "epoch_ns": 1e9}
_FROM_S, _TO_S = 631_152_000, 4_102_444_800  # 1990 to 2100: what else is a time looks like a measurement
_COMPACT = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_DATES = (
    *("%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y-%m-%d", "%Y.%m.%d", "%Y%m%d"),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%m-%y", "%y/%m/%d", "%y-%m-%d"),
    *("%d %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%b %d, %Y", "%b %d %Y", "%d-%b-%y", "%d %B %Y", "%B %d, %Y", "%B %d %Y"),
    *("%a, %d %b %Y", "%a %d %b %Y", "%a %b %d, %Y", "%Y-%m", "%m/%Y", "%b %Y", "%B %Y"),
)
_CLOCKS = (
    *("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%H:%M:%S,%f", "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S.%f %p"),
    *("%H%M%S", "%H%M", "%H.%M.%S", "%H.%M", "%H"),
)
_BETWEEN = (" ", "T", ":", ", ", "-", "_", "  ")
_ZONES = ("", "%z", " %z", "Z", " UTC", " GMT")
_OFFSET = re.compile(r"(?<=[\d ])[+-]\d\d:?\d\d$")
_EXAMPLES = {
    **dict.fromkeys(("%d", "%m", "%Y", "%y", "%H", "%M", "%S", "%f", "%I"), "9"),
    **dict.fromkeys(("%b", "%B", "%a", "%p"), "a"),
}
"""Directive to a sign of its kind."""
_LIKE_TIME = re.compile(r"\d.*[-/.:, ].*\d|\d{8}")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?")
_BEST = frozenset({"timestamp", "time", "datetime", "ts", "date"})
_WORDS = _BEST | {
    "when",
    "at",
    "day",
    "created",
    "occurred",
    "observed",
    "sampled",
    "measured",
    "epoch",
    "utc",
    "event",
}
_LATER = frozenset(
    {"updated", "modified", "ingested", "processed", "received", "loaded", "birth", "expires", "expiry", "end", "ended"}
    | {"until", "due", "dob", "inserted", "deleted", "finish", "finished", "stop", "valid"}
)


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """A column that holds times.

    Attributes:
        name: of the column.
        format: as ``event.time_format`` has it.
        times_ms: ``(n,)`` of the rows, NONE where there is none.
        others: formats that fit as well.
        has_clock: whether it says more than the day.
        score: how likely it is the one, larger is more.
    """

    name: str
    format: str
    times_ms: Ints
    others: tuple[str, ...]
    has_clock: bool
    score: float


def time_columns(columns: Sequence[Column], is_table: bool) -> list[TimeColumn]:
    """The columns that hold times, the likeliest first.

    Args:
        columns: of the sample.
        is_table: whether values are cells of text, so that digits may be a date.
    """
    found = [made for column in columns for made in [_time_column(column, is_table)] if made is not None]
    return sorted(found, key=lambda each: -each.score)


def of_format(column: Column, time_format: str) -> Ints:
    """``(n,)`` the times of a column, NONE where there is none or it is written otherwise."""
    parse = time_parser(EventConfig(time_field="-", numeric=["-"], time_format=time_format))
    known: dict[Any, int] = {}
    epoch = time_format.startswith("epoch")

    def read(value: Any, number: float) -> int:
        if value is None or isinstance(value, list | dict):
            return NONE
        if value not in known:
            told = (number if not np.isnan(number) else value) if epoch else value
            try:
                known[value] = parse(int(told) if epoch and told == np.floor(told) else told)
            except (Undecodable, TypeError, OverflowError):
                known[value] = NONE
        return known[value]

    pairs = zip(column.values, column.numbers.tolist(), strict=True)
    return np.array([read(value, number) for value, number in pairs], dtype=np.int64)


def _time_column(column: Column, is_table: bool) -> TimeColumn | None:
    if column.present < 0.5 * len(column.values) or column.booleans or column.nested:
        return None
    formats = formats_of(column, is_table)
    if not formats:
        return None
    times = of_format(column, formats[0])
    good = times[times != NONE]
    if len(good) < _FITS * column.present or len(np.unique(good)) < min(2, len(column.values)):
        return None
    has_clock = bool(np.any(good % 86_400_000 != good[0] % 86_400_000))
    if formats[0].startswith("epoch") and not _named(column) and sortedness(times) < 0.95:
        return None
    ordered = _ordered(column, formats) if len(formats) > 1 else formats
    if ordered[0] != formats[0]:
        times = of_format(column, ordered[0])
    score = _name_score(column) + sortedness(times) + (0.8 if has_clock else 0.0) + column.present / len(times)
    return TimeColumn(column.name, ordered[0], times, tuple(ordered[1:]), has_clock, score)


def _ordered(column: Column, formats: list[str]) -> list[str]:
    """Formats that fit, the one first by which rows come in order of time."""
    orders = {each: sortedness(of_format(column, each)) for each in formats}
    best = sorted(formats, key=lambda each: -orders[each])
    return best[:1] if orders[best[0]] > orders[best[1]] + 0.02 else formats


def is_clock(column: Column) -> bool:
    """Whether its texts are times of day without a date."""
    return column.n_numbers == 0 and bool(column.texts) and all(map(_CLOCK.fullmatch, list(column.texts)[:_TRIED]))


def sortedness(times: Ints) -> float:
    """Share of neighbours in order of time, those at the same time too."""
    good = times[times != NONE]
    return float(np.mean(np.diff(good) >= 0)) if len(good) > 1 else 1.0


def _named(column: Column) -> bool:
    joined = "".join(sorted(column.words))
    return bool(column.words & _WORDS) or any(part in joined for part in ("time", "date", "stamp"))


def _name_score(column: Column) -> float:
    if column.words & _LATER:
        return -0.7
    if column.words <= _BEST | {"event", "utc", "local", "ms", "s"} and column.words & _BEST:
        return 1.0
    return 0.6 if _named(column) else 0.0


def formats_of(column: Column, is_table: bool) -> list[str]:
    """The formats that fit nearly all of a column's values; none where these are no times."""
    told = list(column.counts)
    tried = told[:: max(1, len(told) // _TRIED)]
    if column.is_number:
        return _of_numbers(column, tried, is_table)
    if sum(bool(_LIKE_TIME.search(text)) for text in tried) < _FITS * len(tried) or not tried:
        return []
    if _share(tried, "iso8601") >= _FITS:
        return ["iso8601"]
    first = next((text for text in tried if len(text) == max(map(len, tried))), tried[0])
    return [each for each in _patterns(first) if _share(tried, each) >= _FITS]


def _of_numbers(column: Column, tried: list[str], is_table: bool) -> list[str]:
    width = {len(text) for text in tried}
    if is_table and len(width) == 1 and all(text.isdecimal() for text in tried):
        compact = _COMPACT.get(width.pop())
        plausible = all("1950" <= text[:4] <= "2100" for text in tried)
        if compact and plausible and _share(tried, compact) >= _FITS and len(tried) > 1:
            return [compact]
    middle = float(np.nanmedian(column.numbers))
    for name, per in _EPOCHS.items():
        if _FROM_S * per <= middle < _TO_S * per:
            return [name]
    return []


def _patterns(text: str) -> list[str]:
    """Every strptime pattern that fits a text. Those of another shape are not tried: each costs its regular expression.

    >>> _patterns("31.12.2026 23:59")
    ['%d.%m.%Y %H:%M']
    """
    shape = _shape(_OFFSET.sub("%z", text))
    return [pattern for pattern in _by_shape().get(shape, ()) if _fits(text, pattern)]


def _shape(text: str) -> str:
    """Digits, letters and an offset from UTC by one sign each, however many they are; what stands between stays."""
    parts = text.replace("%z", "\0")
    return re.sub(r"[A-Za-z]+", "a", re.sub(r"\d+", "9", parts)).replace("\0", "z")


@cache
def _by_shape() -> dict[str, list[str]]:
    """Shape to the patterns that have it, in the order in which they are tried."""
    dates = [date + zone for date in _DATES for zone in _ZONES]
    moments = [
        date + between + clock + zone
        for date, between, clock in itertools.product(_DATES, _BETWEEN, _CLOCKS)
        for zone in _ZONES
    ]
    found: dict[str, list[str]] = {}
    for pattern in (*dates, *moments):
        example = pattern
        for directive, stands in _EXAMPLES.items():
            example = example.replace(directive, stands)
        found.setdefault(_shape(example), []).append(pattern)
    return found


def _share(texts: list[str], time_format: str) -> float:
    return sum(_fits(text, time_format) for text in texts) / max(len(texts), 1)


def _fits(text: str, time_format: str) -> bool:
    try:
        iso = time_format == "iso8601"
        moment = datetime.fromisoformat(text) if iso else datetime.strptime(text, time_format)
    except ValueError:
        return False
    return 1970 <= moment.year < 2200
