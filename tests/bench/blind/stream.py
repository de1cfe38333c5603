"""The honest stream that the kinds spoil: twelve stations, one event an hour each, all on one source partition."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from flowlib.density import Density
from stream_app.config import Config
from tests.bench.detect import product
from tests.bench.detect.streams import HOUR_MS, START_MS

STATIONS = tuple(f"station {n:02d}" for n in range(12))
FEATURES = ("amount", "load", "speed", "level")
REFERENCE_DAYS, LIVE_DAYS = 30, 12
ZONE = "Europe/Berlin"


@dataclass(frozen=True)
class Event:
    """One honest event, before it is written down.

    Attributes:
        time_ms: when it happened.
        station: whose it is.
        values: of the features, by name; anything that JSON can say.
    """

    time_ms: int
    station: str
    values: dict[str, Any]

    def body(self, **fields: Any) -> bytes:
        """As JSON, some fields replaced; a field that is ``...`` is left out."""
        row = {"id": self.id, "time": stamp(self.time_ms), "station": self.station, **self.values, **fields}
        return msgspec.json.encode({name: value for name, value in row.items() if value is not ...})

    def at(self, time_ms: int) -> Event:
        """The same at another time."""
        return replace(self, time_ms=time_ms)

    @property
    def id(self) -> str:
        """Its id."""
        return f"{self.station}/{self.time_ms}"


def stamp(time_ms: int) -> str:
    """ISO 8601 with an offset."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()


def local_stamp(time_ms: int) -> str:
    """ISO 8601 without an offset, as clocks in :data:`ZONE` show it."""
    return datetime.fromtimestamp(time_ms / 1000, ZoneInfo(ZONE)).replace(tzinfo=None).isoformat()


def config(**event: Any) -> Config:
    """The stream's configuration; ``event`` are settings of that section over the usual ones."""
    usual = {"time_format": "iso8601", "slicings": [["station"]], "key": ["station"], "id_field": "id"}
    return product.config_of(FEATURES, model={"max_steps": 60}, event={**usual, **event})


def honest(
    days: int = LIVE_DAYS, start_ms: int = START_MS + REFERENCE_DAYS * 24 * HOUR_MS, seed: int = 1
) -> list[Event]:
    """Events in order of time, each at a moment of its own within its hour."""
    rng = np.random.default_rng(seed)
    factor = np.linalg.cholesky(0.5 * np.eye(len(FEATURES)) + 0.5)
    events = []
    for hour in range(days * 24):
        values = np.round(20.0 + rng.standard_normal((len(STATIONS), len(FEATURES))) @ factor.T, 4)
        moments = np.sort(rng.choice(HOUR_MS // 1000, len(STATIONS), replace=False)) * 1000
        for n, station in enumerate(rng.permutation(STATIONS).tolist()):
            row = dict(zip(FEATURES, values[n].tolist(), strict=True))
            events.append(Event(start_ms + hour * HOUR_MS + int(moments[n]), station, row))
    return events


@functools.cache
def model() -> Density:
    """The model that the trainer makes of the days before; of every configuration here the columns are the same."""
    before = honest(REFERENCE_DAYS, START_MS, seed=0)
    return product.train(config(), [(event.station.encode(), event.body()) for event in before])
