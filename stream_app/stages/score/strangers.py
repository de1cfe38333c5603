"""Who has no place in a pane: how many names there are, and which field of the slicing they are new in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from schemas.names import text_name
from schemas.records import Strangers
from stream_app.stages.score.sketch import Distinct

EXAMPLES_MAX = 5
"""Names that stand for the rest, the first ones."""


def parts_of(name: str) -> list[str]:
    """What the name of a slice says of each of several fields; of one that was cut the last ones are not there."""
    return name.split("|")


@dataclass(slots=True)
class Crowd:
    """The names without a place in one pane of one slicing.

    Attributes:
        events: theirs.
        names: the different ones.
        values: of each of several fields, the different values that no name with a place has; of one field these are
            the names.
        examples: the first names.
    """

    events: int = 0
    names: Distinct = field(default_factory=Distinct)
    values: list[Distinct] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    def add(self, name: str, values: Sequence[Collection[str]]) -> None:
        """An event of a name without a place.

        Args:
            name: its slice.
            values: of each of several fields, the values that names with a place have; none of one field.
        """
        self.events += 1
        self.names.add(name)
        if len(self.examples) < EXAMPLES_MAX and name not in self.examples:
            self.examples.append(name)
        if not values:
            return
        if not self.values:
            self.values = [Distinct() for _ in values]
        for part, known, new in zip(parts_of(name), values, self.values, strict=False):
            if part not in known:
                new.add(part)

    def record(self, slicing: str, fields: Sequence[str]) -> Strangers:
        """What is said of them, with the field that has most new values, the first such one."""
        counts = [len(new) for new in self.values or [self.names]]
        most = int(np.argmax(counts))
        return Strangers(
            slicing=slicing,
            names=len(self.names),
            events=self.events,
            field=text_name(fields[most]),
            values=counts[most],
            examples=list(self.examples),
        )

    def to_state(self) -> list[Any]:
        """Plain values for a snapshot."""
        hashes = [np.array(one.hashes, dtype=np.uint64) for one in (self.names, *self.values)]
        return [self.events, hashes, self.examples]

    @classmethod
    def from_state(cls, state: list[Any]) -> Crowd:
        """Inverse of :meth:`to_state`."""
        events, hashes, examples = state
        names, *values = [Distinct(np.array(one).tolist()) for one in hashes]
        return cls(events, names, values, list(examples))
