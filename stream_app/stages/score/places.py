"""What a source partition remembers of its slices: who has a place, who waits for one, and who had none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowlib.table import Coded, Ints
from stream_app.stages.score.pools import Lookup, looked_up
from stream_app.stages.score.sketch import Newcomers
from stream_app.stages.score.strangers import Crowd, parts_of

NEVER = int(np.iinfo(np.int64).min)
"""The newest pane of a name without a place."""


@dataclass(slots=True)
class Table:
    """The places of one slicing.

    Attributes:
        newcomers: names that wait for a place.
        values: of each of several fields, how many names with a place have a value; in no snapshot.
        places: name to the newest pane that it has come in, in the order in which they got their places.
        since: of names that had to wait: the pane from which their place counts, as long as an older one is open.
        crowds: who had no place, by the start of the pane.
        oldest_ms: no name's newest pane is older; in no snapshot.
        full_of: a model's slices, where all places were found to be theirs; in no snapshot.
        found: what ``places`` has of names with numbers; in no snapshot.
    """

    newcomers: Newcomers
    values: list[Counter[str]]
    places: dict[str, int] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)
    crowds: dict[int, Crowd] = field(default_factory=dict)
    oldest_ms: int = 0
    full_of: frozenset[str] | None = None
    found: Lookup = field(default_factory=lambda: Lookup(NEVER))

    def newest_of(self, names: Coded) -> Ints:
        """By code the newest pane of each name, :data:`NEVER` where it has no place."""
        return self.found.of(names, lambda texts: looked_up(texts, self.places, NEVER))

    def move(self, name: str, pane_ms: int) -> None:
        """That pane is the newest that a name has come in."""
        self.places[name] = pane_ms
        self.found.forget()

    def take(self, name: str, pane_ms: int) -> None:
        """A name gets a place; that pane is the newest that it has come in."""
        self.move(name, pane_ms)
        self.oldest_ms = min(self.oldest_ms, pane_ms)
        self.full_of = None
        if self.values:
            for part, counts in zip(parts_of(name), self.values, strict=False):
                counts[part] += 1

    def give_back(self, name: str) -> None:
        """It has one no longer."""
        del self.places[name]
        self.found.forget()
        self.since.pop(name, None)
        self.full_of = None
        if self.values:
            for part, counts in zip(parts_of(name), self.values, strict=False):
                counts[part] -= 1
                if not counts[part]:
                    del counts[part]

    def idle(self, before_ms: int) -> list[str]:
        """Names whose newest pane starts before then; the places are gone through only where there may be one."""
        if self.oldest_ms >= before_ms:
            return []
        idle = [name for name, newest_ms in self.places.items() if newest_ms < before_ms]
        self.oldest_ms = before_ms
        if len(idle) < len(self.places):
            self.oldest_ms = min(newest_ms for newest_ms in self.places.values() if newest_ms >= before_ms)
        return idle

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot."""
        return {
            "places": [list(self.places), np.array(list(self.places.values()), dtype=np.int64)],
            "since": list(self.since.items()),
            "newcomers": self.newcomers.to_state(),
            "crowds": [[start, crowd.to_state()] for start, crowd in sorted(self.crowds.items())],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`to_state`."""
        names, newest = state["places"]
        for name, pane_ms in zip(names, np.array(newest).tolist(), strict=True):
            self.take(name, pane_ms)
        self.since.update(state["since"])
        self.newcomers.restore(state["newcomers"])
        self.crowds.update((start, Crowd.from_state(crowd)) for start, crowd in state["crowds"])


@dataclass(slots=True)
class Places:
    """The places of a source partition.

    Attributes:
        newest_ms: newest pane that an event has gone to; −1 before the first.
        reached: how many times it has become newer, up to one more than the panes that newcomers wait for.
        tables: one for each slicing; none before the first batch.
        restored: the tables of a snapshot, until the first batch; what bounds them is in the configuration.
    """

    newest_ms: int = -1
    reached: int = 0
    tables: list[Table] = field(default_factory=list)
    restored: list[dict[str, Any]] = field(default_factory=list)

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot."""
        tables = [table.to_state() for table in self.tables] or self.restored
        return {"newest_ms": self.newest_ms, "reached": self.reached, "tables": tables}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Places:
        """Inverse of :meth:`to_state`."""
        return cls(state["newest_ms"], state["reached"], restored=state["tables"])
