"""Summaries of names without end, in bounded memory: which of them come most often, and how many there are.

Both depend on the names and their order alone; hashes are the same in every process.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from flowlib.table import Ints

HASHES_MAX = 256
"""Hashes that stand for a set of names: its size is known to within 6 % or so."""

_RANGE = 2**64
_COLUMNS = ("count", "error", "panes", "last_ms")


class Distinct:
    """How many different texts: exactly up to :data:`HASHES_MAX`, from there on by how close together the smallest of
    their hashes lie (k minimum values; Bar-Yossef, Jayram, Kumar, Sivakumar & Trevisan 2002).

    Args:
        hashes: those of an earlier one.
    """

    def __init__(self, hashes: Iterable[int] = ()) -> None:
        self.hashes = sorted(hashes)

    def add(self, text: str) -> None:
        """A text; one that was there before changes nothing."""
        value = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
        kept = self.hashes
        if len(kept) == HASHES_MAX and value >= kept[-1]:
            return
        place = bisect_left(kept, value)
        if place == len(kept) or kept[place] != value:
            kept.insert(place, value)
            del kept[HASHES_MAX:]

    def __len__(self) -> int:
        kept = self.hashes
        return len(kept) if len(kept) < HASHES_MAX else (HASHES_MAX - 1) * _RANGE // (kept[-1] + 1)


@dataclass(slots=True)
class Newcomer:
    """A name that is followed.

    Attributes:
        count: times it has come, or more.
        error: by how many ``count`` may be too large.
        panes: different panes that it has come in since it has been followed.
        last_ms: start of the newest of them.
    """

    count: int
    error: int
    panes: int = 0
    last_ms: int = -1

    @property
    def sure(self) -> int:
        """Times it has come for certain."""
        return self.count - self.error


class Newcomers:
    """The names that come most often, by *space-saving* (Metwally, Agrawal & El Abbadi 2005): of n times that any name
    has come, each name with more than n / ``most`` of them is there. Where there is no room for one more, the name with
    fewest gives way, the one that has not come for longest among those.

    Args:
        most: names that are followed at once.
        lasting: panes that a name must have come in to be among the :attr:`lasted`.

    Attributes:
        lasted: names that have come in so many different panes.
    """

    def __init__(self, most: int, lasting: int) -> None:
        self._most, self._lasting = most, lasting
        self._names: dict[str, Newcomer] = {}
        self._by_count: dict[int, OrderedDict[str, None]] = {}  # each in the order in which they came last
        self._least, self._oldest_ms = 0, 0
        self.lasted: set[str] = set()

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __getitem__(self, name: str) -> Newcomer:
        return self._names[name]

    def add(self, name: str, pane_ms: int) -> None:
        """A name has come, in the pane that starts then. Panes are counted in ascending order: an older one is none."""
        known = self._names.get(name)
        if known is None:
            floor = self._make_room() if len(self._names) >= self._most else 0
            known = self._names[name] = Newcomer(floor + 1, floor, 1, pane_ms)
            if pane_ms < self._oldest_ms:
                self._oldest_ms = pane_ms
        else:
            self._take_out(name, known.count)
            known.count += 1
            if pane_ms > known.last_ms:
                known.panes, known.last_ms = known.panes + 1, pane_ms
        if known.panes >= self._lasting:
            self.lasted.add(name)
        same = self._by_count.get(known.count)
        if same is None or self._least not in self._by_count:
            self._put_in(name, known.count)
        else:  # it is not below the least
            same[name] = None

    def remove(self, name: str) -> None:
        """Follow a name no longer."""
        self._take_out(name, self._names.pop(name).count)
        self.lasted.discard(name)
        if self._least not in self._by_count:
            self._least = min(self._by_count, default=0)

    def forget(self, before_ms: int) -> None:
        """Follow those no longer whose newest pane starts before then."""
        if self._oldest_ms >= before_ms:
            return
        for name in [name for name, known in self._names.items() if known.last_ms < before_ms]:
            self.remove(name)
        self._oldest_ms = min((known.last_ms for known in self._names.values()), default=before_ms)

    def _make_room(self) -> int:
        """Let one go; how often it has come, or less."""
        least = self._least
        same = self._by_count[least]
        name, _ = same.popitem(last=False)
        if not same:
            del self._by_count[least]
        del self._names[name]
        if self.lasted:
            self.lasted.discard(name)
        return least

    def _put_in(self, name: str, count: int) -> None:
        same = self._by_count.get(count)
        if same is None:
            same = self._by_count[count] = OrderedDict()
        same[name] = None
        if self._least not in self._by_count or count < self._least:
            self._least = count  # what was taken out of the least comes back one above it

    def _take_out(self, name: str, count: int) -> None:
        same = self._by_count[count]
        del same[name]
        if not same:
            del self._by_count[count]

    def to_state(self) -> list[Any]:
        """Plain values for a snapshot: names by count, those of one count in the order in which they came last."""
        names = [name for count in sorted(self._by_count) for name in self._by_count[count]]
        rows = [[getattr(self._names[name], column) for column in _COLUMNS] for name in names]
        return [names, np.array(rows, dtype=np.int64).reshape(-1, len(_COLUMNS))]

    def restore(self, state: list[Any]) -> None:
        """Go on from :meth:`to_state`; the least of more than there is room for now are left out."""
        names, rows = state
        kept: Ints = np.array(rows)
        for name, row in list(zip(names, kept.tolist(), strict=True))[-self._most :]:
            known = self._names[name] = Newcomer(*row)
            self._put_in(name, known.count)
            if known.panes >= self._lasting:
                self.lasted.add(name)
