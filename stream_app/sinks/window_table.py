"""Windows in the embedded store: ten thousand series get a row each at every pane.

Rows lie by time, so that those of a pane are written side by side: in the order of the series each would change a page
of its own. Where a series goes on is found by the days on which it has rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np

from flowlib.table import DAY_MS, Coded, Floats, Ints, Objects
from stream_app.sinks.files import damaged
from stream_app.stages.outputs import Point
from stream_app.stages.point_blocks import WindowBlock
from stream_app.stages.points import WindowGroup, window_groups

try:
    from stream_app.native import _points
except ImportError:  # no compiler when driftflow was installed
    _points = None  # type: ignore[assignment]

MEASUREMENT = "windows"
SCHEMA = """
CREATE TABLE series (id INTEGER PRIMARY KEY, series TEXT NOT NULL UNIQUE, tags TEXT NOT NULL);
CREATE TABLE windows (
    time_ms INTEGER NOT NULL,
    series_id INTEGER NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (time_ms, series_id)
) WITHOUT ROWID;
CREATE TABLE window_days (
    series_id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    PRIMARY KEY (series_id, day)
) WITHOUT ROWID;
"""

_ROWS_AT_ONCE = 500
"""Of one statement: one step of SQLite without the interpreter's lock, where a row each would ask for it every time."""

_WRITE = "INSERT OR REPLACE INTO windows (time_ms, series_id, fields) VALUES (?, ?, ?)"
_WRITE_MANY = _WRITE + ", (?, ?, ?)" * (_ROWS_AT_ONCE - 1)
_KNOWN_MAX = 1_000_000
"""Series whose ids are remembered."""

_NO_DAY = np.iinfo(np.int64).min

_SLICE = "slice"
_WITHIN = str.maketrans({",": "\\,", "\\": "\\\\"})
_ENCODER = msgspec.json.Encoder()

Tags = tuple[tuple[str, str], ...]


class Windows(NamedTuple):
    """Points of windows that differ in slice, time and the values of their fields.

    Attributes:
        shared: the tags but for the slice, which comes first.
        slices, times_ms, fields: of each point; fields as JSON.
    """

    shared: Tags
    slices: Sequence[str]
    times_ms: Sequence[int]
    fields: Sequence[str]


def is_window(point: Point) -> bool:
    """Whether a point belongs into this table."""
    return point.measurement == MEASUREMENT and [name for name, _ in point.tags[:1]] == [_SLICE]


def windows_of(block: WindowBlock) -> list[Windows]:
    """What is stored of a block, the same as of its points."""
    windows, made = block.windows(), list[Windows]()
    check_texts([block.stream, windows.slicing, *windows.spans, *windows.names])
    for group in window_groups(windows):
        shared = (("slicing", windows.slicing), ("span", windows.spans[group.span]), ("stream", block.stream))
        every, cells = len(group.cells) == len(windows.names), group.cells.tolist()
        slices = windows.names if every else [windows.names[i] for i in cells]
        times_ms = windows.ends_ms if every else [windows.ends_ms[i] for i in cells]
        made.append(Windows(shared, slices, times_ms, _objects(group)))
    return made


def check_texts(texts: Iterable[str]) -> None:
    """Raises ValueError for lone surrogates, which SQLite would refuse in the midst of a batch."""
    "".join(texts).encode()


def _objects(group: WindowGroup) -> list[str]:
    """The fields of each cell as JSON, each as :func:`object_of` makes it."""
    if _points is None:
        rows = list(map(_struct(group.names), *group.values()))
        return _ENCODER.encode_lines(rows).decode().split("\n")[:-1]
    return _points.rows(len(group.cells), _before(group.names), [_written(column) for column in group.columns])


def _written(column: Ints | Floats | Objects) -> Ints | bytes | tuple[Ints, list[bytes]]:
    """A column as ``native/points`` takes it."""
    if column.dtype == np.int64:
        return np.ascontiguousarray(column)
    if column.dtype == np.float64:
        return _ENCODER.encode(column.tolist())
    texts = column.tolist()
    alike = texts.count(texts[0]) == len(texts)  # as nearly always
    coded = Coded.alike(len(texts), texts[0]) if alike else Coded.of(texts)
    return coded.codes, [_ENCODER.encode(text) for text in coded.names]


@lru_cache(64)
def _before(names: tuple[str, ...]) -> list[bytes]:
    """What stands before each field of an object, and behind the last."""
    keys = [_ENCODER.encode(name) + b":" for name in names]
    return [b"{" + keys[0], *(b"," + key for key in keys[1:]), b"}"]


@lru_cache(64)
def _struct(names: tuple[str, ...]) -> type[msgspec.Struct]:
    places = [f"f{i}" for i in range(len(names))]
    return msgspec.defstruct("Fields", places, rename=dict(zip(places, names, strict=True)), gc=False)


def object_of(pairs: Sequence[tuple[str, object]]) -> str:
    """Pairs as a JSON object."""
    return _ENCODER.encode(dict(pairs)).decode()


def series_of(tags: Iterable[tuple[str, str]]) -> str:
    """The series of some tags: ``name=value`` joined by commas, with a backslash before those within a value.

    >>> series_of((("slice", "a,b=c"), ("stream", "s")))
    'slice=a\\\\,b=c,stream=s'
    """
    return ",".join([f"{name}={value if value.isalnum() else value.translate(_WITHIN)}" for name, value in tags])


class WindowTable:
    """Writes windows, inside the transactions of others.

    What it remembers of the file may be wrong after a transaction that was rolled back: :meth:`forget` it then.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._series: dict[Tags, _Series] = {}

    def forget(self) -> None:
        """Remember nothing of the file."""
        self._series.clear()

    def write(self, windows: Iterable[Windows]) -> None:
        """Insert windows; those of the same series and time are replaced, by the last of them."""
        if sum(map(len, self._series.values())) > _KNOWN_MAX:
            self.forget()
        ids, times, fields = list[Ints](), list[Ints](), list[str]()
        for shared, slices, times_ms, own in windows:
            series = self._series.get(shared) or self._series.setdefault(shared, _Series(self._db, shared))
            times.append(np.array(times_ms, dtype=np.int64))
            ids.append(series.ids(slices, times[-1]))
            fields += own
        if fields:
            self._insert(np.concatenate(ids), np.concatenate(times), fields)

    def _insert(self, ids: Ints, times_ms: Ints, fields: list[str]) -> None:
        """Rows in the order in which they lie in the file; of two in one place the later one comes later."""
        later, same = times_ms[1:] > times_ms[:-1], times_ms[1:] == times_ms[:-1]
        if not np.all(later | (same & (ids[1:] > ids[:-1]))):  # mostly they come so
            order = np.lexsort((ids, times_ms))
            ids, times_ms, fields = ids[order], times_ms[order], [fields[i] for i in order.tolist()]
        values: list[object] = [None] * (3 * len(fields))
        values[0::3], values[1::3], values[2::3] = times_ms.tolist(), ids.tolist(), fields
        size = 3 * _ROWS_AT_ONCE
        whole = len(values) - len(values) % size
        for at in range(0, whole, size):
            self._db.execute(_WRITE_MANY, values[at : at + size])
        rest = iter(values[whole:])
        self._db.executemany(_WRITE, zip(rest, rest, rest, strict=True))


class _Series(dict[str, int]):
    """Slice to the place of its series among those that are remembered; of each its id and the day that was last
    written down for it.
    """

    def __init__(self, db: sqlite3.Connection, shared: Tags) -> None:
        super().__init__()
        self._db, self._shared = db, shared
        self._ids, self._days = np.zeros(16, dtype=np.int64), np.zeros(16, dtype=np.int64)

    def ids(self, slices: Sequence[str], times_ms: Ints) -> Ints:
        """Ids of the series of some slices, made where there is none; their days are in the file then."""
        places, days = np.fromiter(map(self.__getitem__, slices), np.int64, len(slices)), times_ms // DAY_MS
        ids, new = self._ids[places], np.flatnonzero(self._days[places] != days)
        if len(new):
            pairs = sorted({*zip(ids[new].tolist(), days[new].tolist(), strict=True)})
            self._db.executemany("INSERT OR IGNORE INTO window_days (series_id, day) VALUES (?, ?)", pairs)
            self._days[places[new]] = days[new]
        return ids

    def __missing__(self, slice_: str) -> int:
        tags = ((_SLICE, slice_), *self._shared)
        series = series_of(tags)
        self._db.execute("INSERT OR IGNORE INTO series (series, tags) VALUES (?, ?)", (series, object_of(tags)))
        found = self._db.execute("SELECT id FROM series WHERE series = ?", (series,)).fetchone()
        if found is None:
            raise damaged("a series that is in it is not found")
        place = len(self)
        if place == len(self._ids):
            self._ids, self._days = np.resize(self._ids, 2 * place), np.resize(self._days, 2 * place)
        self._ids[place], self._days[place] = int(found[0]), _NO_DAY
        self[slice_] = place
        return place
