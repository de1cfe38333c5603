"""Fields that have another name all at once: what stands in bodies in the place of what is missing.

Decoding passes over the fields that no setting names, so one that was renamed is a missing value, and a model trains on
nothing. Here some bodies are read whole: always a few, more where events lack a field. A key that no setting names,
in a body that lacks a field, is a rename where the two were never met together before, nor the one without the other
among the first :data:`FIRST_ROWS` rows.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from flowlib.table import Bools, Ints
from schemas.names import NAME_MAX, NO_VALUE, text_name
from stream_app.config import Config
from stream_app.config.field_names import literal, steps
from stream_app.config.types import nearest
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.score import coercion
from stream_app.stages.score.hiding import Hiding
from stream_app.stages.score.intake import Bad, Sample
from stream_app.stages.score.json_bodies import object_of, readers
from stream_app.stages.score.objects import Objects, nameless
from stream_app.stages.score.rejects import Undecodable

FIRST_ROWS = 1_000
KEYS_MAX = 256
"""Keys that no setting names, of which is known what they were met with."""

_BLOCK, _WHOLE, _LACKING, _LACKING_MAX = 256, 4, 6, 20
"""Rows of a block; bodies of it that are looked at, of events that lack nothing, of others, and of others while one
after the other tells of a rename."""
_AFTER = 1_024
"""Bodies that lack nothing and are all looked at after one that told of a rename: by a few of each block it would take
days until that is known to be over.
"""

_DEPTH_MAX, _LEAVES_MAX = 4, 1_000
_SHAPES_MAX = 64
_NAMED_MAX = 5

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Undecodable)

Path = tuple[str, ...]


@dataclass(slots=True)
class Renames:
    """What is known of the keys of a source partition's bodies.

    Attributes:
        rows: received so far.
        met: key that no setting names to a bit for each field that it was met with, or is usual without.
        present: a bit for each field that was met at all.
        block, whole, lacking: the block, and how many bodies of it were looked at.
        told: whether the last one of an event that lacks something told of a rename.
        after: bodies of events that lack nothing which are all looked at from now on.
    """

    rows: int = 0
    met: dict[str, int] = field(default_factory=dict)
    present: int = 0
    block: int = 0
    whole: int = 0
    lacking: int = 0
    told: bool = False
    after: int = 0

    def to_state(self) -> dict[str, Any]:
        """Plain values, for a snapshot; bits as text: a whole number there has 64, and there may be more fields."""
        met = [[key, f"{bits:x}"] for key, bits in self.met.items()]
        return asdict(self) | {"met": met, "present": f"{self.present:x}"}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Renames:
        """Inverse of :meth:`to_state`."""
        met = {key: int(bits, 16) for key, bits in state["met"]}
        return cls(**{**state, "met": met, "present": int(state["present"], 16)})

    def wants(self, row: int, lacks: bool) -> bool:
        """Whether the body of a row, by its number among all rows, is to be looked at."""
        if row // _BLOCK != self.block:
            self.block, self.whole, self.lacking = row // _BLOCK, 0, 0
        if not lacks:
            wanted = self.after > 0 or self.whole < _WHOLE
            self.whole, self.after = self.whole + wanted, max(self.after - 1, 0)
            return wanted
        wanted = self.lacking < (_LACKING_MAX if self.told else _LACKING)
        self.lacking += wanted
        return wanted

    def enter(self, row: int, absent: int, every: int, strangers: list[str]) -> list[tuple[str, int]]:
        """Take a body in.

        Args:
            row: its number among all rows.
            absent, every: a bit for each field that it lacks, and for each one there is.
            strangers: its keys that no setting names.

        Returns:
            Keys that may be new names, and a bit for each field that each of them may be the name of.
        """
        kept = [key for key in strangers if key in self.met or len(self.met) < KEYS_MAX]
        gone = absent & self.present if row >= FIRST_ROWS else 0
        renamed = [(key, gone & ~self.met.get(key, 0)) for key in kept]
        self.present |= every & ~absent
        for key in kept:
            self.met[key] = self.met.get(key, 0) | (every & ~absent if row >= FIRST_ROWS else every)
        return [(key, fields) for key, fields in renamed if fields]


class Looker:
    """Looks at the bodies of a stream's events.

    Args:
        config: the stream.
        objects: what makes objects of bodies.
    """

    def __init__(self, config: Config, objects: Objects = object_of) -> None:
        event, self._hiding, self._objects = config.event, Hiding(config.event), objects
        # Most bodies of JSON are read so, and quicker.
        self._quick: Callable[[bytes], Any] = msgspec.json.decode if event.format == "json" else objects
        slicing = [name for fields in event.slicings for name in fields]
        self._names = list(dict.fromkeys([*event.numeric, *event.categorical, *slicing]))
        self._paths = [{(literal(name),), steps(name)} for name in self._names]
        self._readers = readers(event, [name for name in self._names if name not in event.numeric])
        configured = [*self._names, event.time_field, *([event.id_field] if event.id_field else [])]
        self._shapes: dict[tuple[str, ...], tuple[int, list[str]]] = {}
        self._known = {(literal(name),) for name in configured} | {steps(name) for name in configured if steps(name)}

    def look(self, state: Renames, raw: RawBatch, events: EventBatch) -> Bad:
        """The rows of a batch that tell of a rename, among those that were looked at.

        Args:
            state: changed in place.
            raw: the records.
            events: those of them that were decoded.
        """
        looked: list[int] = []
        found: list[tuple[int, list[tuple[str, int]]]] = []
        every = () if self._objects is nameless else _to_look_at(state, events.rows + state.rows, _lacking(events))
        for row, lacks in every:
            row -= state.rows
            if state.wants(state.rows + row, lacks) and (body := self._object(raw.values[row])) is not None:
                looked.append(row)
                absent, strangers = self._shape(body)
                renamed = state.enter(state.rows + row, absent, (1 << len(self._names)) - 1, strangers)
                if lacks:  # of others too few are looked at for it to say how many of these are to be
                    state.told = bool(renamed)
                if renamed:
                    state.after = _AFTER
                    found.append((row, renamed))
        state.rows += len(raw)
        rows = np.array([row for row, _ in found], dtype=np.int64)

        def sample(i: int) -> Sample:
            row, renamed = found[i]
            name, key = self._likeliest([(text_name(key), fields) for key, fields in renamed])
            time_ms = int(events.event_time_ms[np.searchsorted(events.rows, row)])
            return Sample(name, f"it has no {name!r}, and {key!r} in its place", time_ms)

        return Bad("unknown_field", "", rows, sample, np.array(looked, dtype=np.int64))

    def _shape(self, body: dict[str, Any]) -> tuple[int, list[str]]:
        """A bit for each field that a body lacks, and its keys that no setting names; most bodies are alike."""
        flat = len(body) <= _LEAVES_MAX and not any(value is None or isinstance(value, dict) for value in body.values())
        keys = tuple(body) if flat else None
        if keys is not None and keys in self._shapes:
            return self._shapes[keys]
        there = [path for path, value in _leaves(body) if value is not None]
        shape = self._absent(set(there)), self._strangers(there)
        if keys is not None:
            if len(self._shapes) >= _SHAPES_MAX:
                self._shapes.clear()
            self._shapes[keys] = shape
        return shape

    def instead(self, name: str, value: bytes | None) -> str:
        """What a body has in the place of a field that it lacks, in words; "" where nothing is known."""
        body = self._object(value)
        keys = self._strangers([path for path, _ in _leaves(body or {})])
        if not keys:
            return ""
        names = [text_name(key) for key in keys]
        near, others = nearest(name, {key: key for key in names}), ", ".join(map(repr, names[:_NAMED_MAX]))
        return f"; did you mean {near!r}?" if near else f"; it has {others}"

    def coerced(self, value: bytes | None) -> tuple[str, str]:
        """The first field of a body that was read leniently, and what it is instead, in words."""
        body = self._object(value) or {}
        for name, find, read in self._readers:
            found = find(body)
            if not read(found)[1]:
                return name, self._hiding.detail(name, f"{name} is {coercion.kind_of(found)}")
        return "", ""

    def _object(self, value: bytes | None) -> dict[str, Any] | None:
        try:
            body = self._quick(value or b"")
        except _UNREADABLE:
            body = None
        try:
            return body if isinstance(body, dict) else self._objects(value or b"")
        except Undecodable:
            return None

    def _strangers(self, paths: list[Path]) -> list[str]:
        """Names of the values of a body that no setting names."""
        names = [".".join(path) for path in paths if path not in self._known]
        return [name if len(name) <= NAME_MAX else text_name(name) for name in names]

    def _absent(self, there: set[Path]) -> int:
        return sum(1 << i for i, paths in enumerate(self._paths) if paths.isdisjoint(there))

    def _likeliest(self, renamed: list[tuple[str, int]]) -> tuple[str, str]:
        pairs = [(name, key) for key, fields in renamed for i, name in enumerate(self._names) if fields >> i & 1]
        return max(pairs, key=lambda pair: difflib.SequenceMatcher(None, *pair).ratio())


def _to_look_at(state: Renames, rows: Ints, lacking: Bools) -> Iterator[tuple[int, bool]]:
    """Rows by their numbers ``(n,)`` of which no others can be looked at, and whether their events lack something: all
    of them from one on that tells of a rename.
    """
    last = -1
    for row, lacks in () if state.after else _candidates(rows, lacking):
        yield row, lacks
        last = row
        if state.after:
            break
    if state.after:
        first = int(np.searchsorted(rows, last, side="right"))
        yield from zip(rows[first:].tolist(), lacking[first:].tolist(), strict=True)


def _candidates(rows: Ints, lacking: Bools) -> list[tuple[int, bool]]:
    """Rows by their numbers ``(n,)`` of which no others can be looked at, and whether their events lack something."""
    some = np.flatnonzero(lacking)
    if not len(some):
        return [(row, False) for row in _first_of_blocks(rows, _WHOLE)]
    lacks = [(row, True) for row in _first_of_blocks(rows[some], _LACKING_MAX)]
    return sorted([*lacks, *((row, False) for row in _first_of_blocks(rows[~lacking], _WHOLE))])


def _first_of_blocks(rows: Ints, most: int) -> list[int]:
    """So many of each block's rows (ascending), the first ones."""
    if not len(rows):
        return []
    blocks = np.arange(rows[0] // _BLOCK, rows[-1] // _BLOCK + 2)
    bounds = np.searchsorted(rows, blocks * _BLOCK).tolist()
    return [row for a, b in pairwise(bounds) for row in rows[a : min(a + most, b)].tolist()]


def _lacking(events: EventBatch) -> Bools:
    """``(n,)`` events that lack a number, a category or a field of a slicing."""
    gaps = np.isnan(events.numeric)
    lacking: Bools = np.zeros(len(gaps), dtype=bool)
    if gaps.any():
        lacking |= gaps.any(axis=1)
    if events.categorical.shape[1]:
        lacking |= (events.categorical == None).any(axis=1)  # noqa: E711
    for column in events.slices:
        if NO_VALUE in "".join(column.names):  # of thousands of names it is seldom in any
            without = np.array([NO_VALUE in name for name in column.names], dtype=bool)
            lacking |= without[column.codes]
    return lacking


def _leaves(body: dict[str, Any], before: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The first values of an object with their paths, in its order; nested ones too, lists as a whole."""
    found = 0
    for key, value in body.items():
        path = (*before, key)
        nested = isinstance(value, dict) and len(path) < _DEPTH_MAX
        for leaf in _leaves(value, path) if nested else ((path, value),):
            if found == _LEAVES_MAX:
                return
            found += 1
            yield leaf
