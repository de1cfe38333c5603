"""Settings of event time: panes, clocks, and how long events are waited for."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from stream_app.config.types import Duration, Positive, Section, days

_PANES_AHEAD = 24


class WindowsConfig(Section, frozen=True):
    """Panes, rolling spans and lateness, all in event time."""

    pane: Duration = Duration(3_600_000)
    """The step of all statistics: panes are counted, merged, and looked at by the detectors."""
    spans: Annotated[list[Duration], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: [days(1), days(7), days(28)]
    )
    """Rolling windows, whole numbers of panes, ascending."""
    lateness: Duration = Duration(0)
    """A pane stays open so long after the clock of its source partition has passed its end; what comes later is counted
    as late."""
    clock: Annotated[int, Meta(ge=1, le=256)] = 16
    """The clock of a source partition is the median of so many events, the last ones that were on time: half of them
    must be wrong to move it, and panes close half as many events later. The first ones of a partition wait for one
    another. With 1 it is the newest event, which a single wrong time moves by ``max_future``."""
    max_future: Duration | None = None
    """An event further ahead of the clock than this is held until the clock comes near it, unless many in a row say the
    same (default: 24 panes and ``lateness``). One more than a pane ahead does not move the clock by itself."""
    idle_after: Duration = Duration(30_000)
    """Wall-clock silence after which a source partition is passed over."""
    max_slices: Positive = 10_000
    """Slices of a slicing that have a place on a source or partials partition; those beyond share the slice
    ``__other__``. Those that the model in service knows come first; one without an event for the longest span leaves.
    """
    newcomer_panes: Positive = 3
    """Any other slice waits until it has come in so many different panes, and those with most events get what places
    there are. At the beginning of a stream and where the model knows no slice, half of the places are given at once."""
    max_open_panes: Positive = 64
    """Panes that one source partition keeps open, whatever ``lateness`` asks for. The oldest one closes when one more
    would open, and that is counted (``closed_early``); what comes for it later is late."""

    @property
    def ahead_ms(self) -> int:
        """``max_future``, or its default, in milliseconds."""
        return int(self.lateness) + _PANES_AHEAD * int(self.pane) if self.max_future is None else int(self.max_future)
