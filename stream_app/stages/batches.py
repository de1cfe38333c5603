"""What the stages take in: frozen, columnar, shapes in the docstrings.

SCORE: ``RawBatch`` (bytes) → ``EventBatch`` (columns) → ``ScoredBatch`` (columns and scores). WATCH:
``PartialMessage``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, overload

import numpy as np

from flowlib.table import Bools, Coded, Floats, Ints, Objects, Table
from schemas.intake import RawHeaders


class Bodies(Sequence[bytes | None]):
    """n message bodies as one buffer and their bounds; a body becomes an object only where somebody asks for it.

    Attributes:
        buffer: what they lie in, one after the other or not.
        first: ``(n,)`` int64, where each begins.
        size: ``(n,)`` int64, its bytes; −1 is a tombstone.

    >>> bodies = Bodies.of([b"{}", None, b"[1]"])
    >>> len(bodies), bodies[1], bodies[2], list(bodies[:2])
    (3, None, b'[1]', [b'{}', None])
    """

    __slots__ = ("buffer", "first", "size")

    def __init__(self, buffer: bytes, first: Ints, size: Ints) -> None:
        self.buffer, self.first, self.size = buffer, first, size

    @classmethod
    def of(cls, values: Iterable[bytes | None]) -> Bodies:
        """Bodies that lie somewhere; those that lie in one buffer as they are."""
        if isinstance(values, Bodies):
            return values
        values = list(values)
        size = np.array([-1 if value is None else len(value) for value in values], dtype=np.int64)
        ends = np.cumsum(np.maximum(size, 0))
        return cls(b"".join([value for value in values if value]), ends - np.maximum(size, 0), size)

    def __len__(self) -> int:
        return len(self.size)

    @overload
    def __getitem__(self, index: int) -> bytes | None: ...

    @overload
    def __getitem__(self, index: slice) -> Bodies: ...

    def __getitem__(self, index: int | slice) -> bytes | Bodies | None:
        if isinstance(index, slice):
            return Bodies(self.buffer, self.first[index], self.size[index])
        first, size = int(self.first[index]), int(self.size[index])
        return None if size < 0 else self.buffer[first : first + size]


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Consecutive records of one source partition, as fetched.

    Attributes:
        topic, partition: the source partition.
        offsets: ``(n,)`` int64, ascending.
        values: n message bodies, :class:`Bodies` where they come in one buffer; None is a tombstone.
    """

    topic: str
    partition: int
    offsets: Ints
    values: Sequence[bytes | None]

    def __len__(self) -> int:
        return len(self.values)

    def since(self, offset: int) -> RawBatch:
        """The records at or above an offset."""
        if not len(self) or self.offsets[0] >= offset:
            return self
        first = int(np.searchsorted(self.offsets, offset))
        return RawBatch(self.topic, self.partition, self.offsets[first:], self.values[first:])


class PartialMessage(NamedTuple):
    """A record of the partials topic, as fetched."""

    offset: int
    value: bytes | None
    headers: RawHeaders


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Decoded events of one source partition.

    Attributes:
        rows: ``(n,)`` int64, position of each event in its RawBatch.
        offsets: ``(n,)`` int64.
        event_time_ms: ``(n,)`` int64.
        numeric: ``(n, d)`` float64, NaN for missing; see :func:`flowlib.table.doubles`.
        categorical: ``(n, k)`` object array of str or None.
        slices: for each slicing the slice names of the n events.
        ids: n event ids, or None where no id field is configured.
        coerced: ``(n,)`` int64, fields of each event that were read leniently; None for none.
        later_ms: ``(n,)`` int64, the event time where a local time that clocks show twice is the second of the two,
            else ``event_time_ms``; None for none.
    """

    topic: str
    partition: int
    rows: Ints
    offsets: Ints
    event_time_ms: Ints
    numeric: Floats
    categorical: Objects
    slices: tuple[Coded, ...]
    ids: list[str] | None = None
    coerced: Ints | None = None
    later_ms: Ints | None = None

    def __len__(self) -> int:
        return len(self.offsets)

    def take(self, index: Ints) -> EventBatch:
        """The events at the positions ``(m,)``, in this order."""
        taken: dict[str, Any] = {name: values[index] for name, values in self._columns() if values is not None}
        ids = None if self.ids is None else [self.ids[i] for i in index.tolist()]
        return replace(self, ids=ids, slices=tuple(names.take(index) for names in self.slices), **taken)

    def followed_by(self, other: EventBatch) -> EventBatch:
        """These events and then those of another batch of the partition, decoded alike."""
        pairs = zip(self._columns(), other._columns(), strict=True)
        joined: dict[str, Any] = {name: np.concatenate([a, b]) for (name, a), (_, b) in pairs if a is not None}
        ids = None if self.ids is None else [*self.ids, *(other.ids or [])]
        slices = tuple(a.followed_by(b) for a, b in zip(self.slices, other.slices, strict=True))
        return replace(self, ids=ids, slices=slices, **joined)

    def _columns(self) -> list[tuple[str, Any]]:
        names = ("rows", "offsets", "event_time_ms", "numeric", "categorical", "coerced", "later_ms")
        return [(name, getattr(self, name)) for name in names]

    def table(self) -> Table:
        """The events as a model scores them, in the first slicing alone."""
        first = self.slices[0]
        return Table(self.numeric, self.categorical, first.objects(), self.event_time_ms, None, first)


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """Events with their scores.

    Attributes:
        model: the model id of each row.
        log_prob: ``(n,)`` float64 nats in raw space.
        p_value: ``(n,)`` float64 in (0, 1]; small is strange.
        pooled: ``(n,)`` bool, all slices together say more of the p-value than the slice's own reference rows.
        pit: ``(n, d)`` int64, the bin of each latent coordinate in a PIT histogram.
        missing: ``(n, d)`` bool.
        base, group: ``(n, d + 1)``, ``(n, k)`` int64 event scores and groups of categories; see
            :mod:`flowlib.channels`.
        pairs: model id to the pairs of columns ``(p, 2)`` whose dependence it watches.
        value: ``(n, d)`` int64, values centred and scaled by the model, whole numbers; 0 where missing. See
            :func:`flowlib.reference.values.value_counts`.
        contributions: of each flagged row ``(d + k,)`` nats that an ordinary value in each column would gain.
        scorable: ``(n,)`` bool; where it is False the other columns are neutral (p-value 1, the rest 0).
        flagged: ``(n,)`` bool, scorable rows with a p-value at or below the level that the event rule follows.
        adaptive: ``(n,)`` bool, scorable rows with a p-value at or below their slice's adaptive level.
        level: ``(n,)`` float64, the level that a flagged row was compared with; else ``event_rule.alpha``.
    """

    events: EventBatch
    model: Coded
    log_prob: Floats
    p_value: Floats
    pooled: Bools
    pit: Ints
    missing: Bools
    base: Ints
    group: Ints
    value: Ints
    contributions: dict[int, Floats]
    scorable: Bools
    flagged: Bools
    adaptive: Bools
    level: Floats
    pairs: Mapping[str, Ints] = field(default_factory=dict)

    @classmethod
    def unscored(cls, events: EventBatch, model: Coded, replaced: bool = False) -> ScoredBatch:
        """Neutral values for every event, to be filled in; ``replaced``: columns that a model makes will be others, and
        cannot be written to.
        """
        (n, d), k = events.numeric.shape, events.categorical.shape[1]

        def zeros(width: int) -> Ints:
            zero = np.zeros((1 if replaced else n, width), dtype=np.int64)
            return np.broadcast_to(zero, (n, width)) if replaced else zero

        return cls(
            events=events,
            model=model,
            log_prob=np.zeros(n),
            p_value=np.ones(n),
            pooled=np.zeros(n, bool),
            pit=zeros(d),
            missing=np.isnan(events.numeric),
            base=zeros(d + 1),
            group=zeros(k),
            value=zeros(d),
            contributions={},
            scorable=np.zeros(n, bool),
            flagged=np.zeros(n, bool),
            adaptive=np.zeros(n, bool),
            level=np.ones(n),
        )
