"""The time field of an event as milliseconds since the epoch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from stream_app.config import EventConfig
from stream_app.stages.score.rejects import Undecodable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE = datetime(1970, 1, 1)
_TIME_MAX_MS = 32_503_680_000_000  # the year 3000: later than that is a unit mix-up, not a time


def time_parser(event: EventConfig) -> Callable[[Any], int]:
    """A function from a time field's value to milliseconds since the epoch; raises Undecodable."""
    zone = None if event.timezone == "UTC" else ZoneInfo(event.timezone)

    def from_text(text: Any) -> int:
        if not isinstance(text, str):
            raise Undecodable("bad_time", event.time_field, f"expected text, got {type(text).__name__}")
        try:
            if event.time_format == "iso8601":
                moment = datetime.fromisoformat(text)
            else:
                moment = datetime.strptime(text, event.time_format)
        except ValueError as error:
            raise Undecodable("bad_time", event.time_field, str(error)[:200]) from None
        return _checked(_millis(moment, zone))

    def from_number(number: Any) -> int:
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not is_number or not abs(number) <= 1e17:  # catches NaN and ints of any size
            raise Undecodable("bad_time", event.time_field, f"expected {event.time_format}, got {str(number)[:50]!r}")
        return _checked(int(number * 1000) if event.time_format == "epoch_s" else int(number))

    def _checked(millis: int) -> int:
        if not 0 <= millis < _TIME_MAX_MS:
            raise Undecodable("bad_time", event.time_field, f"{millis} ms is outside the years 1970 to 3000")
        return millis

    parse = from_number if event.time_format.startswith("epoch") else from_text

    def parse_or_missing(value: Any) -> int:
        if value is None:
            raise Undecodable("missing_time", event.time_field, f"the event has no {event.time_field!r}")
        return parse(value)

    return parse_or_missing


def _millis(moment: datetime, zone: ZoneInfo | None) -> int:
    if moment.tzinfo is None and zone is None:
        delta = moment - _EPOCH_NAIVE
    else:
        delta = (moment if moment.tzinfo else moment.replace(tzinfo=zone)) - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000
