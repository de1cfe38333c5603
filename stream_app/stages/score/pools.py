"""Texts with numbers that last: what is known of each is found by its number, batch after batch, without its hash.

Of ten thousand slices nearly every event of a batch has another one. A dict then costs each stage a look at a text and
its hash somewhere in memory; an array by number costs a tenth of that. The dicts stay the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowlib.table import Bools, Coded, Ints, Objects

try:
    from stream_app.native import _panes
except ImportError:  # no compiler when driftflow was installed
    _panes = None  # type: ignore[assignment]

POOL_MAX = 2**18
"""Texts of a pool, about; beyond, another one begins."""

NOT_ASKED = int(np.iinfo(np.int64).min)
_LOOKUPS_MAX = 16


def looked_up(names: list[Any], known: dict[str, int], none: int) -> Ints:
    """What is known of some texts, ``none`` where nothing is."""
    if _panes is None:
        return Coded(_NONE, names).looked_up(known, none)
    found = np.empty(len(names), dtype=np.int64)
    _panes.look_up(known, names, none, found)
    return found


_NONE: Ints = np.zeros(0, dtype=np.int64)


class Pool:
    """Texts by number, in the order in which they were added."""

    __slots__ = ("_lookups", "_size", "_texts")

    def __init__(self) -> None:
        self._texts, self._size = np.empty(1_024, dtype=object), 0
        self._lookups: dict[int, tuple[Mapping[Any, int], Lookup]] = {}

    def __len__(self) -> int:
        return self._size

    def add(self, *texts: str | None) -> int:
        """Some more; the number of the first, those of the others follow."""
        first, last = self._size, self._size + len(texts)
        if last > len(self._texts):
            more: Objects = np.empty(max(last - len(self._texts), first), dtype=object)
            self._texts = np.concatenate([self._texts, more])
        self._texts[first:last] = texts
        self._size = last  # now they are there: nothing may come in between
        return first

    def lookup_of(self, known: Mapping[Any, int]) -> Lookup:
        """What is remembered of something that never changes, such as the slices of a model."""
        if id(known) not in self._lookups:
            if len(self._lookups) >= _LOOKUPS_MAX:
                self._lookups.clear()
            self._lookups[id(known)] = known, Lookup(NOT_ASKED)
        return self._lookups[id(known)][1]

    def column(self, codes: Ints, numbers: Ints) -> Pooled:
        """A column by the numbers of its different texts."""
        return Pooled(codes, self._texts[numbers].tolist(), numbers, self)


@dataclass(frozen=True, slots=True)
class Pooled(Coded):
    """A column of texts of a pool.

    Attributes:
        numbers: ``(m,)`` int64 of ``names`` in the pool.
        pool: theirs.
    """

    numbers: Ints
    pool: Pool

    def take(self, rows: Bools | Ints) -> Pooled:
        """The chosen rows (mask or indices), in order."""
        return Pooled(self.codes[rows], self.names, self.numbers, self.pool)

    def looked_up(self, known: Mapping[Any, int], none: int) -> Ints:
        """See :class:`~flowlib.table.Coded`; of what is known nothing may change."""
        return self.pool.lookup_of(known).of(self, lambda names: Coded(_NONE, names).looked_up(known, none))

    def ordered(self, codes: Ints, places: Ints) -> Pooled:
        """These codes into some of the texts, in another order."""
        return self.pool.column(codes, self.numbers[places])


class Lookup:
    """Remembers by number what is known of the texts of a pool. One is forgotten only with all others.

    Args:
        none: what is "nothing".
    """

    __slots__ = ("_known", "_none", "_pool")

    def __init__(self, none: int = -1) -> None:
        self._none, self._known = none, _NONE
        self._pool: Pool | None = None

    def forget(self) -> None:
        """Something that was known is so no longer."""
        self._pool, self._known = None, _NONE

    def of(self, column: Coded, look: Callable[[list[Any]], Ints], room: int = POOL_MAX) -> Ints:
        """By code what is known of each text.

        Args:
            column: where its texts are in no pool, or in one with more than ``room``, nothing is remembered.
            look: is asked for the texts of which nothing is known yet.
        """
        if not isinstance(column, Pooled) or len(column.pool) > max(room, len(column.names)):
            return look(column.names)
        self._make_room(column.pool)
        found = self._known[column.numbers]
        new = np.flatnonzero(found == self._none)
        if len(new):
            names = column.names
            found[new] = look(names if len(new) == len(names) else [names[i] for i in new.tolist()])
            self._known[column.numbers[new]] = found[new]
        return found

    def put(self, column: Coded, codes: Ints, values: Ints) -> None:
        """Something else is known of some texts of a column. Where they have no numbers here, as in a batch with events
        that were held, they may yet have had some before.
        """
        if isinstance(column, Pooled) and column.pool is self._pool and len(column.pool) <= len(self._known):
            self._known[column.numbers[codes]] = values
        elif len(codes):
            self.forget()

    def _make_room(self, pool: Pool) -> None:
        if pool is not self._pool:
            self._pool, self._known = pool, _NONE
        if len(pool) > len(self._known):
            more = np.full(len(pool) + len(pool) // 4 - len(self._known), self._none, dtype=np.int64)
            self._known = np.concatenate([self._known, more])
