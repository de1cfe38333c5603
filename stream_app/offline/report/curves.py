"""Values of the columns that incidents blame, beside what the model expected of them: read once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flowlib.density import Density
from flowlib.table import DAY_MS, Floats, Ints
from schemas.incidents import Incident
from schemas.pane_layout import OTHER, TOGETHER
from stream_app.config import Config
from stream_app.offline.reading import Reading
from stream_app.stages.batches import EventBatch

STEPS_MAX = 160
_BEFORE_MS = 14 * DAY_MS
_HIDDEN_MS = 60 * DAY_MS


@dataclass(frozen=True)
class Curve:
    """A column in the slices of an incident, in steps of equal length; NaN where a step has no value.

    Attributes:
        feature: the column; "" for the number of events.
        where: its slices in words.
        unit: of its values.
        starts_ms: ``(m + 1,)`` where each step begins, and where the last one ends.
        seen: ``(m,)`` mean value.
        expected, spread: ``(m,)`` what is usual then, and the standard deviation of a single value; NaN where nothing
            is known.
    """

    feature: str
    where: str
    unit: str
    starts_ms: Ints
    seen: Floats
    expected: Floats
    spread: Floats


def curves_of(
    config: Config, reading: Reading, densities: Mapping[str, Density], incidents: Sequence[Incident], last_ms: int
) -> dict[str, Curve]:
    """The curve of each incident by its id; none of one that is about no number, or about a sensitive column.

    Raises:
        DriftflowError: what is read cannot be.
    """
    wanted = [made for incident in incidents if (made := _Wanted.of(config, densities, incident, last_ms))]
    if wanted:
        for events in reading.events():
            for one in wanted:
                one.take(events)
    return {one.incident.id: one.curve() for one in wanted}


class _Wanted:
    """Gathers what one curve needs."""

    def __init__(self, config: Config, density: Density, incident: Incident, number: int, last_ms: int) -> None:
        self.incident, self._config, self._number = incident, config, number
        self._reference = density.references[number]
        self._column = config.event.numeric.index(incident.feature) if incident.feature else -1
        of_column = [member for member in incident.members if member.feature == incident.feature]
        names = {member.slice for member in of_column or incident.members}
        self._names = None if names & {TOGETHER, OTHER} else names
        self._starts_ms = _steps(config, incident, last_ms)
        m = len(self._starts_ms) - 1
        self._sums, self._counts = np.zeros((3, m)), np.zeros(m)

    @classmethod
    def of(cls, config: Config, densities: Mapping[str, Density], incident: Incident, last_ms: int) -> _Wanted | None:
        slicings = [member.slicing for member in incident.members if member.slicing in config.slicing_names]
        density = densities.get(incident.model_id) or next(iter(densities.values()))
        known = incident.feature in ("", *config.event.numeric) and incident.feature not in config.event.sensitive
        if not (slicings and known):
            return None
        return cls(config, density, incident, config.slicing_names.index(slicings[0]), last_ms)

    def take(self, events: EventBatch) -> None:
        """The next events."""
        starts = self._starts_ms
        here = (events.event_time_ms >= starts[0]) & (events.event_time_ms < starts[-1])
        if not here.any():
            return
        slices = events.slices[self._number]
        if self._names is not None:
            here &= np.array([name in self._names for name in slices.names], dtype=bool)[slices.codes]
        values = events.numeric[:, self._column] if self._column >= 0 else np.ones(len(events))
        rows = np.flatnonzero(here & np.isfinite(values))
        step = np.searchsorted(starts, events.event_time_ms[rows], side="right") - 1
        np.add.at(self._counts, step, 1.0)
        np.add.at(self._sums[0], step, values[rows])
        if self._column >= 0:
            known = self._reference.index([name or "" for name in slices.names])[slices.codes[rows]]
            usual = self._reference.expected_value(known, starts[step], starts[step + 1])[:, self._column]
            np.add.at(self._sums[1], step, usual)
            np.add.at(self._sums[2], step, self._reference.expected_sd(known)[:, self._column])

    def curve(self) -> Curve:
        """What has come together."""
        event, feature = self._config.event, self.incident.feature
        if self._column < 0:
            none = np.full(len(self._counts), np.nan)
            return Curve("", self._where(), "", self._starts_ms, self._counts.copy(), none, none)
        with np.errstate(invalid="ignore", divide="ignore"):
            seen, expected, spread = self._sums / self._counts
        return Curve(feature, self._where(), event.units.get(feature, ""), self._starts_ms, seen, expected, spread)

    def _where(self) -> str:
        if self._names is None:
            return "all events"
        names = sorted(name or "all events" for name in self._names)
        return names[0] if len(names) == 1 else f"{len(names):,} slices"


def _steps(config: Config, incident: Incident, last_ms: int) -> Ints:
    """From some time before it began to some time after it ended, in whole panes, no more than can be told apart."""
    pane_ms = int(config.windows.pane)
    hidden = min(max(incident.opened_pane_ms - incident.since_ms, 0), _HIDDEN_MS)
    lasted = max(incident.pane_end_ms - incident.opened_pane_ms, 0)
    before = max(hidden + _BEFORE_MS, lasted // 2)
    from_ms = max(incident.opened_pane_ms - before, 0) // pane_ms * pane_ms
    to_ms = max(min(incident.pane_end_ms + before // 2, last_ms), from_ms + pane_ms)
    panes = -(-(to_ms - from_ms) // pane_ms)
    step_ms = -(-panes // STEPS_MAX) * pane_ms
    return np.arange(from_ms, to_ms + step_ms, step_ms, dtype=np.int64)
