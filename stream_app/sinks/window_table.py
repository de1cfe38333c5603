"""Windows in the embedded store: ten thousand series get a row each at every pane.

Rows lie by time, so that those of a pane are written side by side: in the order of the series each would change a page
of its own. Where a series goes on is found by the days on which it has rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

import msgspec

from flowlib.table import DAY_MS
from stream_app.sinks.files import damaged
from stream_app.stages.outputs import Field, Point
from stream_app.stages.point_blocks import WindowBlock
from stream_app.stages.points import window_groups

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
        slices, times_ms = [windows.names[i] for i in group.cells], [windows.ends_ms[i] for i in group.cells]
        made.append(Windows(shared, slices, times_ms, _objects(group.names, group.columns)))
    return made


def check_texts(texts: Iterable[str]) -> None:
    """Raises ValueError for lone surrogates, which SQLite would refuse in the midst of a batch."""
    "".join(texts).encode()


def _objects(names: tuple[str, ...], columns: list[list[Field]]) -> list[str]:
    """Rows of columns as JSON, each as :func:`object_of` makes it."""
    rows = list(map(_struct(names), *columns))
    return _ENCODER.encode_lines(rows).decode().split("\n")[:-1]


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
        self._ids: dict[Tags, _Ids] = {}
        self._days: dict[int, int] = {}

    def forget(self) -> None:
        """Remember nothing of the file."""
        self._ids.clear()
        self._days.clear()

    def write(self, windows: Iterable[Windows]) -> None:
        """Insert windows; those of the same series and time are replaced, by the last of them."""
        if len(self._days) > _KNOWN_MAX:
            self.forget()
        rows = list[tuple[int, int, str]]()
        for shared, slices, times_ms, fields in windows:
            ids = self._ids.get(shared) or self._ids.setdefault(shared, _Ids(self._db, shared))
            rows += zip(times_ms, map(ids.__getitem__, slices), fields, strict=True)
        rows.sort(key=itemgetter(0, 1))
        whole = len(rows) - len(rows) % _ROWS_AT_ONCE
        for at in range(0, whole, _ROWS_AT_ONCE):
            self._db.execute(_WRITE_MANY, list(chain.from_iterable(rows[at : at + _ROWS_AT_ONCE])))
        self._db.executemany(_WRITE, rows[whole:])
        known = self._days.get
        days = sorted({(number, day) for time_ms, number, _ in rows if known(number) != (day := time_ms // DAY_MS)})
        self._db.executemany("INSERT OR IGNORE INTO window_days (series_id, day) VALUES (?, ?)", days)
        self._days.update(days)


class _Ids(dict[str, int]):
    """Slice to the id of its series, which is made where there is none."""

    def __init__(self, db: sqlite3.Connection, shared: Tags) -> None:
        super().__init__()
        self._db, self._shared = db, shared

    def __missing__(self, slice_: str) -> int:
        tags = ((_SLICE, slice_), *self._shared)
        series = series_of(tags)
        self._db.execute("INSERT OR IGNORE INTO series (series, tags) VALUES (?, ?)", (series, object_of(tags)))
        found = self._db.execute("SELECT id FROM series WHERE series = ?", (series,)).fetchone()
        if found is None:
            raise damaged("a series that is in it is not found")
        number = self[slice_] = int(found[0])
        return number
