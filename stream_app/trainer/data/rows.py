"""The rows that a request names, as they come from the topic, each with its place there and its record key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from flowlib.table import Bools, Ints, Objects, Table
from stream_app.stages.batches import EventBatch
from stream_app.stages.dropped import Dropped

DELETED = "deleted"
"""The reason of offsets that retention had deleted before they were read."""


@dataclass(slots=True)
class RecordKeys:
    """Record keys of rows that were read, by partition; in the order of their offsets."""

    _offsets: dict[int, list[Ints]] = field(default_factory=dict)
    _keys: dict[int, list[bytes | None]] = field(default_factory=dict)

    def add(self, partition: int, offsets: Ints, keys: Sequence[bytes | None]) -> None:
        """Take in the keys of consecutive records."""
        self._offsets.setdefault(partition, []).append(offsets)
        self._keys.setdefault(partition, []).extend(keys)

    def of(self, partitions: Ints, offsets: Ints) -> Objects | None:
        """``(n,)`` the keys of n rows, None for a row without; None where no record has one."""
        found = np.full(len(offsets), None, dtype=object)
        for partition, parts in self._offsets.items():
            keys = np.empty(len(self._keys[partition]), dtype=object)
            keys[:] = self._keys[partition]
            known, rows = np.concatenate(parts), np.flatnonzero(partitions == partition)
            if len(rows) and len(known):
                at = np.minimum(np.searchsorted(known, offsets[rows]), len(known) - 1)
                there = known[at] == offsets[rows]
                found[rows[there]] = keys[at[there]]
        return found if any(key is not None for key in found) else None


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows in order of time, then partition and offset.

    Attributes:
        table: the events.
        partitions, offsets: ``(n,)`` int64, where each stands on the topic.
        keys: ``(n,)`` object, record keys (bytes or None); None where no record has one.
        rejected: what else was asked for and is not among them, and why.
        asked: offsets that were asked for; 0 is not known.
        from_ms, to_ms: event times that were asked for; 0 is not known.
    """

    table: Table
    partitions: Ints
    offsets: Ints
    keys: Objects | None = None
    rejected: Dropped = field(default_factory=Dropped)
    asked: int = 0
    from_ms: int = 0
    to_ms: int = 0

    def __len__(self) -> int:
        return len(self.table)

    @classmethod
    def of(cls, table: Table) -> Rows:
        """Rows that stand on no topic, as if they were on one partition from offset 0 on."""
        n = len(table)
        return cls(table, np.zeros(n, dtype=np.int64), np.arange(n, dtype=np.int64), asked=n)

    def take(self, rows: Bools | Ints) -> Rows:
        """The chosen rows (mask or indices), in order."""
        keys = None if self.keys is None else self.keys[rows]
        return replace(
            self, table=self.table.take(rows), partitions=self.partitions[rows], offsets=self.offsets[rows], keys=keys
        )

    @property
    def deleted(self) -> int:
        """Offsets that retention had deleted."""
        return sum(reason.rows for reason in self.rejected if reason.name == DELETED)


def gather(
    batches: Iterable[EventBatch],
    start_ms: int,
    end_ms: int,
    keys: RecordKeys | None = None,
    rejected: Dropped | None = None,
    asked: int = 0,
) -> Rows:
    """Join batches into rows of ``[start_ms, end_ms)``. Their order does not depend on how the batches were fetched, so
    training on them is repeatable.

    Args:
        batches: what was read.
        start_ms, end_ms: event times that are wanted.
        keys: the record keys, where they were kept.
        rejected, asked: see :class:`Rows`.
    """
    rejected = rejected if rejected is not None else Dropped()
    parts = [batch for batch in batches if len(batch)]
    if not parts:
        return replace(Rows.of(Table.of(np.zeros((0, 0)))), rejected=rejected, asked=asked)
    slices = [np.stack([column.objects() for column in part.slices], axis=1) for part in parts]
    times = np.concatenate([part.event_time_ms for part in parts])
    offsets = np.concatenate([part.offsets for part in parts])
    partitions = np.concatenate([np.full(len(part), part.partition, dtype=np.int64) for part in parts])
    order = np.lexsort((offsets, partitions, times))
    order = order[(times[order] >= start_ms) & (times[order] < end_ms)]
    table = Table(
        np.concatenate([part.numeric for part in parts])[order],
        np.concatenate([part.categorical for part in parts])[order],
        np.concatenate([names[:, 0] for names in slices])[order],
        times[order],
        np.concatenate([names[:, 1:] for names in slices])[order],
    )
    partitions, offsets = partitions[order], offsets[order]
    found = keys.of(partitions, offsets) if keys else None
    return Rows(table, partitions, offsets, found, rejected, asked, start_ms, end_ms)


def joined(first: Table, second: Table) -> Table:
    """The rows of both, in order of time."""
    if not len(first) or not len(second):
        return first if len(first) else second
    others = None
    if first.others is not None and second.others is not None:
        others = np.concatenate([first.others, second.others])
    table = Table(
        np.concatenate([first.numeric, second.numeric]),
        np.concatenate([first.categories, second.categories]),
        np.concatenate([first.slices, second.slices]),
        np.concatenate([first.time_ms, second.time_ms]),
        others,
    )
    return table.take(np.argsort(table.time_ms, kind="stable"))
