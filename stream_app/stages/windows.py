"""Rolling windows per slice: rings of coarser panes. All integers, so nothing drifts.

A ring has buckets of one length; a span of k buckets that ends with a pane covers the bucket that the pane lies in and
the k − 1 before it. Spans share a ring where its buckets are fine enough for them: with the usual spans of a day, a
week and four weeks there are 24 buckets of an hour and 28 of a day.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlib.table import DAY_MS, Ints
from schemas.pane_layout import OTHER, PaneLayout
from stream_app.config import WindowsConfig
from stream_app.stages.merging import SlicingPanes
from stream_app.stages.summary import COLUMNS, MODEL_FREE, WIDTH, summary

BUCKETS_MIN, BUCKETS_MAX = 7, 28
_FEW = 256
_EMPTY, _NEVER = -1, -(2**62)


def bucket_ms(span_ms: int, pane_ms: int) -> int:
    """Length of a ring's buckets: the span cut into the most equal whole-pane parts, at most 28.

    >>> bucket_ms(28 * 24, 6) // 24
    1
    """
    panes = span_ms // pane_ms
    parts = max(k for k in range(1, BUCKETS_MAX + 1) if panes % k == 0)
    return span_ms // parts


def span_name(span_ms: int) -> str:
    """``604800000`` → ``7d``."""
    for unit, size in (("d", DAY_MS), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if span_ms % size == 0:
            return f"{span_ms // size}{unit}"
    return f"{span_ms}ms"


_SUMS = [COLUMNS["log_prob_sum"].start, COLUMNS["log_prob_square_sum"].start]
_COUNTS = [i for i in range(WIDTH) if i not in _SUMS]
_FREE_COUNTS = sum(i < MODEL_FREE for i in _COUNTS)
"""Columns of a summary that are sums, the others, and how many of these do not depend on the model."""

_KINDS = (np.uint16, np.uint32, np.int64)
"""What counts are kept as: the first that holds all of a ring's."""


@dataclass(slots=True)
class Ring:
    """Buckets of one length over all slices of a slicing. They are most of what WATCH remembers.

    Attributes:
        bucket_ms: their length.
        counts, sums: ``(k, M, 14)`` and ``(k, M, 2)`` int64, bucket totals for up to M slices; columns:
            :mod:`stream_app.stages.summary`.
        bucket: ``(k,)`` int64, which bucket number each place of the ring holds.
    """

    bucket_ms: int
    counts: npt.NDArray[Any]
    sums: Ints
    bucket: Ints

    @classmethod
    def empty(cls, bucket_ms: int, k: int) -> Ring:
        """A ring of k buckets for no slices yet."""
        counts, sums = np.zeros((k, 0, len(_COUNTS)), _KINDS[0]), np.zeros((k, 0, len(_SUMS)), np.int64)
        return cls(bucket_ms, counts, sums, np.full(k, _EMPTY, np.int64))

    def grow(self, m: int) -> None:
        """Make room for m slices."""
        have = self.counts.shape[1]
        if m > have:
            room = max(m, have + have // 8, 16)
            self.counts, self.sums = self._longer(self.counts, room), self._longer(self.sums, room)

    def _longer(self, table: npt.NDArray[Any], m: int) -> npt.NDArray[Any]:
        """With room for m slices; buckets that hold nothing take no memory."""
        longer = np.zeros((len(table), m, table.shape[2]), dtype=table.dtype)
        for place in np.flatnonzero(self.bucket != _EMPTY).tolist():
            longer[place, : table.shape[1]] = table[place]
        return longer

    def rows(self, places: Any, slices: Any) -> Ints:
        """Summaries ``(…, 16)`` at some places."""
        counts = self.counts[places, slices]
        out = np.empty((*counts.shape[:-1], WIDTH), dtype=np.int64)
        out[..., _COUNTS], out[..., _SUMS] = counts, self.sums[places, slices]
        return out

    def _put(self, place: int, slices: Ints, rows: Ints) -> None:
        """Add summaries ``(m, 16)`` of distinct slices to a bucket."""
        counts = self.counts[place, slices] + rows[:, _COUNTS]
        largest = int(counts.max(initial=0))
        if largest > np.iinfo(self.counts.dtype).max:
            self.counts = self.counts.astype(next(kind for kind in _KINDS if largest <= np.iinfo(kind).max))
        self.counts[place, slices] = counts
        self.sums[place, slices] += rows[:, _SUMS]

    def add(self, starts_ms: Ints, slices: Ints, rows: Ints, spans_ms: list[int]) -> list[Ints]:
        """Add summaries ``(n, m, 16)`` of n panes and m distinct slices to the buckets of the panes, of which any may
        be new.

        Returns:
            For each span the sums ``(n, m, 16)`` over the span that ends with the bucket of each pane, as far as it is
            known then.
        """
        if len(starts_ms) == 1:
            return self._add_one(int(starts_ms[0]) // self.bucket_ms, slices, rows, spans_ms)
        now, k = starts_ms // self.bucket_ms, len(self.bucket)
        order = self.bucket.argsort()
        numbers = np.concatenate([self.bucket[order], now])
        # Sums of all up to each bucket of before, then up to each pane: a span is the difference of two of them.
        sums = np.zeros((1 + len(numbers), len(slices), WIDTH), dtype=np.int64)
        sums[1 : k + 1], sums[k + 1 :] = self.rows(order[:, None], slices), rows
        np.add.accumulate(sums, axis=0, out=sums)
        firsts = [numbers.searchsorted(now - span // self.bucket_ms, side="right") for span in spans_ms]
        self._keep(now, slices, rows)
        return [sums[k + 1 :] - sums[first] for first in firsts]

    def _add_one(self, now: int, slices: Ints, rows: Ints, spans_ms: list[int]) -> list[Ints]:
        """:meth:`add` of one pane: of very many slices, mostly. Spans ascend, so each adds to the one before."""
        self._keep(np.array([now]), slices, rows)
        m = len(slices)
        part: Any = slice(0, m) if m and slices[0] == 0 and slices[-1] == m - 1 and _ascends(slices) else slices
        totals, total, newest = list[Ints](), np.zeros((m, WIDTH), dtype=np.int64), now + 1
        for oldest in (now + 1 - span // self.bucket_ms for span in spans_ms):
            places = np.flatnonzero((self.bucket >= oldest) & (self.bucket < newest))
            if m <= _FEW:
                total += self.rows(places[:, None], slices).sum(axis=0)
            else:  # all of them at once would not stay in the cache
                for place in places.tolist():
                    total += self.rows(place, part)
            newest = min(newest, oldest)
            totals.append(total[None].copy())
        return totals

    def _keep(self, now: Ints, slices: Ints, rows: Ints) -> None:
        """Move panes into their buckets ``(n,)``, ascending; of two that share a place the later one stays."""
        first, of_bucket = np.zeros(1, dtype=np.int64), rows
        if len(now) > 1:
            first = np.concatenate([first, np.flatnonzero(now[1:] != now[:-1]) + 1])
            of_bucket = np.add.reduceat(rows, first, axis=0)
        last = {number % len(self.bucket): (j, number) for j, number in enumerate(now[first].tolist())}
        for place, (j, number) in last.items():
            if self.bucket[place] != number:
                self.counts[place], self.sums[place], self.bucket[place] = 0, 0, number
            self._put(place, slices, of_bucket[j])

    def keep(self, numbers: Ints) -> None:
        """Only these slices stay, numbered anew."""
        self.counts, self.sums = self.counts[:, numbers], self.sums[:, numbers]

    def forget_model(self, slices: Ints) -> None:
        """Zero the model-dependent columns: likelihoods of two models are never summed."""
        self.counts[:, slices, _FREE_COUNTS:] = 0
        self.sums[:, slices] = 0


def _ascends(numbers: Ints) -> bool:
    return bool((numbers[1:] > numbers[:-1]).all())


def rings(spans: list[int], pane_ms: int) -> dict[int, tuple[int, int]]:
    """Each span, ascending, to the length and number of buckets of the ring that it is read from.

    >>> hour, day = 3_600_000, 24 * 3_600_000
    >>> [(length // hour, k) for length, k in rings([day, 7 * day, 28 * day], hour).values()]
    [(1, 24), (24, 28), (24, 28)]
    """
    sizes: dict[int, int] = {}
    chosen: dict[int, int] = {}
    for span in sorted(spans, reverse=True):
        shared = [length for length in sizes if span % length == 0 and span // length >= BUCKETS_MIN]
        chosen[span] = min(shared, default=bucket_ms(span, pane_ms))
        sizes[chosen[span]] = max(sizes.get(chosen[span], 0), span // chosen[span])
    return {span: (chosen[span], sizes[chosen[span]]) for span in sorted(spans)}


@dataclass(slots=True)
class SlicingWindows:
    """All rings of one slicing, with the names and models of its slices.

    Attributes:
        rings: by the length of their buckets.
        of_span: each span to the length of the buckets it is read from.
        index: slice name to its number.
        model: of each slice.
        last: ``(M,)`` of up to M slices the start of the last pane with events, or of the bucket that this lies in.
    """

    rings: dict[int, Ring]
    of_span: dict[int, int]
    index: dict[str, int] = field(default_factory=dict)
    model: list[str] = field(default_factory=list)
    last: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @classmethod
    def empty(cls, windows: WindowsConfig) -> SlicingWindows:
        """Windows of no slices yet."""
        chosen = rings([int(span) for span in windows.spans], int(windows.pane))
        sizes = dict(chosen.values())
        return cls(
            {length: Ring.empty(length, k) for length, k in sizes.items()},
            {span: length for span, (length, _) in chosen.items()},
        )

    def admit(self, models: Mapping[str, str]) -> Ints:
        """Make room for slices that are to be entered, by the model of each. Where it is another than in its last pane,
        what depends on the model is forgotten; the numbers of these slices.
        """
        if len({*self.model, *models.values()}) == 1 and models.keys() <= self.index.keys():  # as nearly always
            return np.zeros(0, dtype=np.int64)
        index, fresh = self.index, list[int]()
        for name, model in models.items():
            i = index.setdefault(name, len(index))
            if i == len(self.model):
                self.model.append(model)
            elif self.model[i] != model:
                self.model[i] = model
                fresh.append(i)
        self._make_room(len(index))
        numbers = np.array(fresh, dtype=np.int64)
        if fresh:
            for ring in self.rings.values():
                ring.forget_model(numbers)
        return numbers

    def _make_room(self, m: int) -> None:
        """For m slices."""
        if m > len(self.last):
            self.last = np.pad(self.last, (0, max(m, 16, 2 * len(self.last)) - len(self.last)), constant_values=_NEVER)
        for ring in self.rings.values():
            ring.grow(m)

    def has_room(self, names: Collection[str], model_id: str, slices_max: int) -> bool:
        """Whether slices that have events change nothing here: they are known, and their model was this one in their
        last pane, or they have no place.
        """
        index, model = self.index, self.model
        if {*self.model} == {model_id} and index.keys() >= {*names}:
            return True
        full = len(index) >= slices_max
        return all(model[index[name]] == model_id if name in index else full or name == OTHER for name in names)

    def enter(self, panes: SlicingPanes, layout: PaneLayout) -> tuple[Ints, Ints]:
        """Add final panes of slices that were admitted to every ring.

        Returns:
            ``(m,)`` the number of each cell's slice, and ``(s + 1, m, 16)`` its pane itself and the sums over each span
            that ends with it.
        """
        numbers = np.fromiter(map(self.index.__getitem__, panes.names), dtype=np.int64, count=len(panes.names))
        starts, rows = np.array(panes.starts_ms, dtype=np.int64), summary(layout, panes.rows)
        slices, pane, place = numbers, np.zeros(len(rows), dtype=np.int64), np.arange(len(rows))
        if len(starts) > 1:
            slices, place = np.unique(numbers, return_inverse=True)
            pane = np.repeat(np.arange(len(starts)), np.diff(panes.edges))
        each = np.zeros((len(starts), len(slices), WIDTH), dtype=np.int64)
        each[pane, place] = rows
        totals = dict[int, Ints]()
        for length, ring in self.rings.items():
            spans = [span for span, of in self.of_span.items() if of == length]
            for span, total in zip(spans, ring.add(starts, slices, each, spans), strict=True):
                totals[span] = total[pane, place]
        seen = np.flatnonzero(rows[:, COLUMNS["seen"].start])
        self.last[numbers[seen]] = starts[pane[seen]]  # the last of them counts
        return numbers, np.stack([rows, *(totals[span] for span in self.of_span)])

    def idle(self, pane_start_ms: int) -> Ints:
        """Numbers of the slices without events in the longest span that ends with a pane, as far as was entered."""
        span, length = max(self.of_span.items())
        last = self.last[: len(self.index)] // length
        return np.flatnonzero(last <= pane_start_ms // length - span // length)

    def keep(self, numbers: Ints) -> None:
        """Only the slices of these numbers stay, ascending: they are numbered anew."""
        stay, names = numbers.tolist(), list(self.index)
        self.index = {names[i]: k for k, i in enumerate(stay)}
        self.model, self.last = [self.model[i] for i in stay], self.last[numbers]
        for ring in self.rings.values():
            ring.keep(numbers)

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot."""
        m = len(self.index)
        rings = [[ring.bucket_ms, ring.counts[:, :m], ring.sums[:, :m], ring.bucket] for ring in self.rings.values()]
        return {"rings": rings, "of_span": list(self.of_span.items()), "slices": list(self.index), "model": self.model}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> SlicingWindows:
        """Inverse of :meth:`to_state`."""
        rings = {length: Ring(length, *(np.array(column) for column in columns)) for length, *columns in state["rings"]}
        index, of_span = {name: i for i, name in enumerate(state["slices"])}, dict(state["of_span"])
        longest = rings[max(of_span.items())[1]]
        seen = longest.counts[:, :, _COUNTS.index(COLUMNS["seen"].start)] > 0
        last = np.where(seen, longest.bucket[:, None] * longest.bucket_ms, _NEVER).max(axis=0, initial=_NEVER)
        return cls(rings, of_span, index, list(state["model"]), last)
