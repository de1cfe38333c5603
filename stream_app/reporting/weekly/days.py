"""A week of event time, and how its times are said. Days are those of UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from flowlib.table import DAY_MS
from stream_app.errors import DriftflowError
from stream_app.terminal import utc

DAYS = 7
_HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Week:
    """Seven whole days, ``(from_ms, to_ms]``: a pane that ends at midnight is of the day before.

    >>> week = Week.ending_with("2017-02-12")
    >>> week.says, week.before.says
    ('6 to 12 February 2017', '30 January to 5 February 2017')
    >>> week.day_of(week.to_ms), week.day_of(week.from_ms + 1)
    (6, 0)
    """

    to_ms: int

    @classmethod
    def ending_with(cls, day: str) -> Week:
        """The week whose last day is ``day``; raises DriftflowError where that is no date."""
        try:
            found = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise DriftflowError(f"--week {day!r} is no date: write the last day of the week as 2026-01-31") from None
        return cls(int(found.timestamp()) * 1000 + DAY_MS)

    @classmethod
    def newest(cls, last_ms: int) -> Week:
        """The week that ends with the last whole day at a time; with the day of that time where it is the first."""
        return cls(max(last_ms // DAY_MS, 1) * DAY_MS)

    @property
    def from_ms(self) -> int:
        """Where it begins, after which times are in it."""
        return max(self.to_ms - DAYS * DAY_MS, 0)

    @property
    def before(self) -> Week:
        """The week before."""
        return Week(self.to_ms - DAYS * DAY_MS)

    @property
    def says(self) -> str:
        """From which day to which."""
        first, last = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (self.from_ms, self.to_ms - 1))
        begins = f"{first.day}"
        if first.month != last.month:
            begins += f" {first:%B}"
        if first.year != last.year:
            begins += f" {first.year}"
        return f"{begins} to {last.day} {last:%B %Y}"

    def day_of(self, time_ms: int) -> int:
        """Which of its days a time belongs to, from 0."""
        return (time_ms - 1 - self.from_ms) // DAY_MS

    def names(self) -> list[str]:
        """Its days, such as ``Mon 6``."""
        return [_short_day(self.from_ms + i * DAY_MS) for i in range(DAYS)]

    def when(self, time_ms: int) -> str:
        """A time as people say it, with the year where that is another than the week's.

        >>> Week.ending_with("2017-02-12").when(1486303200000), Week.ending_with("2018-02-12").when(1486303200000)
        ('Sun 5 February, 14:00', 'Sun 5 February 2017, 14:00')
        """
        year = utc(time_ms, "%Y")
        said = f"{_short_day(time_ms)} {utc(time_ms, '%B')}{'' if year == utc(self.to_ms - 1, '%Y') else f' {year}'}"
        return f"{said}, {utc(time_ms, '%H:%M')}"

    def has(self, time_ms: int) -> bool:
        """Whether a time is in it."""
        return self.from_ms < time_ms <= self.to_ms


def _short_day(time_ms: int) -> str:
    return f"{utc(time_ms, '%a')} {int(utc(time_ms, '%d'))}"


def lasting(ms: int) -> str:
    """A duration in hours, or in days from two on.

    >>> lasting(5_400_000), lasting(3_600_000), lasting(200_000_000)
    ('2 hours', '1 hour', '2 days')
    """
    hours = max(round(ms / _HOUR_MS), 1)
    n, unit = (hours, "hour") if hours < 48 else (round(hours / 24), "day")
    return f"{n:,} {unit}{'' if n == 1 else 's'}"
