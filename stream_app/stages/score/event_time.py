"""The time field of an event as milliseconds since the epoch.

A local time that clocks show twice, in the hour that is repeated in autumn, has two readings: the earlier one is the
event time until who knows what came before takes the nearer one (:func:`nearer`). One that clocks skip in spring is
read by the zone's rules, as if they had not been put forward yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from flowlib.table import Bools, Ints
from stream_app.config import EventConfig
from stream_app.config.registries import EPOCHS
from stream_app.stages.score.rejects import Undecodable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE = datetime(1970, 1, 1)
_QUARTER_MS, _DAY_MS = 900_000, 86_400_000
_QUARTERS_KNOWN = 2**16
_UNSURE = 2**62
"""Stands for an offset that is not the same throughout."""
TIME_MAX_MS = 32_503_680_000_000
"""The year 3000: later than that is a unit mix-up, not a time."""


class Millis(int):
    """A time that a format has a type of its own for: milliseconds since the epoch, whatever ``event.time_format``."""


def time_parser(event: EventConfig) -> Callable[[Any], int]:
    """A function from a time field's value to milliseconds since the epoch; raises Undecodable."""
    zone = None if event.timezone == "UTC" else ZoneInfo(event.timezone)
    times, by = EPOCHS.get(event.time_format, (1, 1))

    def from_text(text: Any) -> int:
        if not isinstance(text, str):
            raise Undecodable("bad_time", event.time_field, f"expected text, got {type(text).__name__}")
        try:
            moment = _moment(text, event.time_format)
        except ValueError as error:
            raise Undecodable("bad_time", event.time_field, str(error)[:200]) from None
        return _checked(_millis(moment, zone))

    def from_number(number: Any) -> int:
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not is_number or not abs(number) <= 1e20:  # catches NaN and ints of any size
            raise Undecodable("bad_time", event.time_field, f"expected {event.time_format}, got {str(number)[:50]!r}")
        return _checked(number * times // by if isinstance(number, int) else int(number * times / by))

    def _checked(millis: int) -> int:
        if not 0 <= millis < TIME_MAX_MS:
            raise Undecodable("bad_time", event.time_field, f"{millis} ms is outside the years 1970 to 3000")
        return millis

    parse = from_number if event.time_format.startswith("epoch") else from_text

    def parse_or_missing(value: Any) -> int:
        if value is None:
            raise Undecodable("missing_time", event.time_field, f"the event has no {event.time_field!r}")
        return parse(value) if value.__class__ is not Millis else _checked(value)

    return parse_or_missing


def date_ms(event: EventConfig, text: str) -> int:
    """A date or time in ISO 8601 that a person has typed, in the stream's zone where it names none, as milliseconds
    since the epoch.

    Raises:
        ValueError: it is none, or not of the years 1970 to 3000.
    """
    datetime.fromisoformat(text)  # the parser of events takes numbers too
    try:
        return time_parser(msgspec.structs.replace(event, time_format="iso8601"))(text)
    except Undecodable as error:
        raise ValueError(str(error)) from None


def later_readings(event: EventConfig) -> Callable[[Ints, Sequence[Any]], Ints] | None:
    """What makes the later readings of times; None where no time of the stream can have two.

    The function takes times ``(n,)`` as :func:`time_parser` reads them, and the values of their fields, and returns
    ``(n,)`` the later reading of each, which is the same where there is only one.
    """
    if event.timezone == "UTC" or event.time_format.startswith("epoch"):
        return None
    zone = ZoneInfo(event.timezone)

    def read(times_ms: Ints, values: Sequence[Any]) -> Ints:
        later = times_ms.copy()
        quarters = np.unique(times_ms // _QUARTER_MS)
        repeated = [quarter for quarter in quarters.tolist() if _is_repeated(quarter * _QUARTER_MS, zone)]
        if repeated:
            for i in np.flatnonzero(np.isin(times_ms // _QUARTER_MS, repeated)).tolist():
                if values[i].__class__ is not Millis:
                    moment = _moment(values[i], event.time_format)
                    later[i] = _millis(moment.replace(fold=1), zone)
        return later

    return read


def shown_times(event: EventConfig) -> Callable[[Ints], tuple[Ints, Bools]] | None:
    """What reads many times that name no zone at once; None where they are those of UTC.

    The function takes what clocks show, as milliseconds ``(n,)`` as if it were UTC, and returns event times ``(n,)``
    and which are right: not those within a quarter of an hour in which clocks are changed, or that they show twice.
    """
    if event.timezone == "UTC":
        return None
    zone, known = ZoneInfo(event.timezone), dict[int, int]()

    def offset(quarter: int) -> int:
        if (found := known.get(quarter)) is None:
            if len(known) >= _QUARTERS_KNOWN:
                known.clear()
            known[quarter] = found = _offset_ms(quarter * _QUARTER_MS, zone)
        return found

    def read(shown_ms: Ints) -> tuple[Ints, Bools]:
        right = (shown_ms >= _DAY_MS) & (shown_ms < TIME_MAX_MS - _DAY_MS)
        quarters, place = np.unique(np.where(right, shown_ms, _DAY_MS) // _QUARTER_MS, return_inverse=True)
        offsets = np.array([offset(quarter) for quarter in quarters.tolist()], dtype=np.int64)[place]
        return shown_ms - offsets, right & (offsets != _UNSURE)

    return read


def _offset_ms(shown_ms: int, zone: ZoneInfo) -> int:
    """How far clocks are before UTC throughout a quarter of an hour that they show."""
    moments = [_EPOCH_NAIVE + timedelta(milliseconds=shown_ms + ms) for ms in (0, _QUARTER_MS - 1)]
    found = {moment.replace(tzinfo=zone, fold=fold).utcoffset() for moment in moments for fold in (0, 1)}
    only = found.pop()
    return _UNSURE if found or only is None else only // timedelta(milliseconds=1)


def nearer(time_ms: int, later_ms: int, expected_ms: int) -> int:
    """Which of two readings of a time is nearer to when it is expected; the later one of two equally near."""
    return later_ms if abs(later_ms - expected_ms) <= abs(time_ms - expected_ms) else time_ms


def expected_ms(times: Sequence[int]) -> int:
    """When the event after some is expected: after the last of them, by what lies between them."""
    ordered, last = sorted(times), len(times) - 1
    return times[-1] + 4 * (ordered[last // 2] - ordered[last // 4]) // len(times)


def _moment(text: str, time_format: str) -> datetime:
    return datetime.fromisoformat(text) if time_format == "iso8601" else datetime.strptime(text, time_format)


def _is_repeated(time_ms: int, zone: ZoneInfo) -> bool:
    """Whether clocks will show the same once more, at a time or at the end of its quarter of an hour."""
    for moment in (time_ms, time_ms + _QUARTER_MS - 1):
        local = (_EPOCH + timedelta(milliseconds=moment)).astimezone(zone)
        if _millis(local.replace(tzinfo=None, fold=1), zone) > moment:
            return True
    return False


def _millis(moment: datetime, zone: ZoneInfo | None) -> int:
    if moment.tzinfo is None and zone is None:
        delta = moment - _EPOCH_NAIVE
    else:
        delta = (moment if moment.tzinfo else moment.replace(tzinfo=zone)) - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000
