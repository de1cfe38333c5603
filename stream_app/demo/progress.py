"""The season that the demo plays, and how far a run of it has come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from stream_app.config import Duration


def _ms(date: str) -> int:
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Season:
    """A part of the example's year, in ms of event time.

    Attributes:
        start_ms: events before it are left out.
        live_ms: what comes before is the history that trains the first model; what comes from here on is live traffic.
        end_ms: events from here on are left out.
        step_ms: time between two marks. At a mark the traffic stands until everything that it has brought about is
            done, so that nothing in the run depends on how fast the machine is.
    """

    start_ms: int = _ms("2013-03-01")
    live_ms: int = _ms("2013-09-01")
    end_ms: int = _ms("2014-03-16")
    step_ms: int = Duration.parse("10d")

    def next_mark(self, event_ms: int) -> int:
        """The first mark of the live part that is later than a time."""
        return self.live_ms + ((event_ms - self.live_ms) // self.step_ms + 1) * self.step_ms


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        season: what is played.
        began: wall clock, in seconds since the epoch.
        phase: what is being done.
        waits_for: what the traffic stands for; empty while it moves.
        produced: events sent so far.
        restarts: workers that died and were started again.
        console_url: address of the web page; empty until it is up.
    """

    season: Season
    began: float
    phase: str = "starting"
    waits_for: str = ""
    produced: int = 0
    restarts: int = 0
    console_url: str = ""
