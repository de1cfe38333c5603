"""What waits for a person: since when, what has come of the events meanwhile, and what follows from yes and no."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.models.waiting import if_approved, if_rejected
from stream_app.sinks.reading import open_store
from stream_app.terminal import utc


@dataclass(frozen=True)
class Meanwhile:
    """What the model in service has made of the events since a model waits.

    Attributes:
        scored, alarms: events, and those of them with p ≤ .01.
        until_ms: end of the newest pane.
    """

    scored: int
    alarms: int
    until_ms: int


@dataclass(frozen=True)
class Waits:
    """A model that waits for a person.

    Attributes:
        notice: that says so.
        said_ms: when it was sent, by the clock; 0 where that is not known.
        waited_ms: for so long, by the clock.
        meanwhile: None where that is not known here: no embedded store, or no pane since.
        yes, no: what follows from each.
    """

    notice: ModelNotice
    said_ms: int
    waited_ms: int
    meanwhile: Meanwhile | None
    yes: str
    no: str

    def says(self) -> list[str]:
        """All of it, a line each."""
        name, now = self.notice.model_id, self.meanwhile
        lasted = f" for {_lasted(self.waited_ms)}" if self.said_ms else ""
        if now is None:
            events = "what has come of the events meanwhile is not known here: the embedded store has no pane since"
        else:
            events = (
                f"up to {utc(now.until_ms)} the model in service has found {now.alarms / now.scored:.2%} of "
                f"{now.scored:,} events as strange as 1% should be"
            )
        return [
            f"waits for a person{lasted}; {events}",
            f"yes (driftflow models approve {name}): {self.yes}",
            f"no (driftflow models reject {name}): {self.no}",
        ]


def _lasted(ms: int) -> str:
    minutes = ms // 60_000
    if minutes >= 2 * 24 * 60:
        return f"{minutes // (24 * 60):,} days"
    return f"{minutes // 60} hours" if minutes >= 2 * 60 else f"{minutes} minutes"


def waits_of(config: Config, notice: ModelNotice, said_ms: int) -> Waits:
    """A model that waits, with what there is to know before one decides.

    Args:
        config: the stream.
        notice: that it waits.
        said_ms: when that was sent, by the clock; 0 where it is not known.
    """
    return Waits(
        notice,
        said_ms,
        max(time.time_ns() // 1_000_000 - said_ms, 0) if said_ms else 0,
        _meanwhile(config, notice),
        if_approved(notice, config.trainer.promotion),
        if_rejected(notice),
    )


def _meanwhile(config: Config, notice: ModelNotice) -> Meanwhile | None:
    path = config.path(config.sink.path)
    if config.sink.kind != "sqlite" or not notice.parent_id or not path.is_file():
        return None
    from stream_app.sinks.realised import alarms_since  # SciPy comes with it

    try:
        with open_store(path) as link:
            scored, alarms, until_ms = alarms_since(link, config.stream, notice.parent_id, notice.created_ms)
    except sqlite3.Error:
        return None
    return Meanwhile(scored, alarms, until_ms) if scored else None
