"""What a stream's panels ask InfluxDB, in InfluxQL: 1.8, 2 (by the bucket's name) and 3 take it.

A name of a stream has letters, digits, ``.``, ``_`` and ``-`` only, so that it stands in a query as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from flowlib.pit import PIT_BINS

Shape = Literal["table", "time_series"]

IN_RANGE = "$timeFilter"
MOST_ROWS, MOST_LINES = 100, 40
"""Rows of a table; lines of a panel that has one for each slice."""

_OPEN = """("state" = 'open' OR "state" = 'update') AND "silenced" = '0'"""
_THREADED = """"thread" != ''"""
_MESSAGE = ("state", "severity", "kind", "silenced", "summary", "slices", "share", "since_ms")
_SLICES = """"slicing" =~ /^$slicing$/ AND "slice" =~ /^$slice$/"""


class Queries:
    """The queries about one stream.

    What is open is counted by ``thread``: what several partitions tell of one fault is one. InfluxQL groups inner
    queries by what outer ones group by, so that it has to be the same in all messages of an incident: those that were
    stored before there was this tag are left out.

    Args:
        stream: its name.
    """

    open_rows: ClassVar = ("severity", "kind", "summary", "slices", "share", "since_ms", "id")
    all_rows: ClassVar = ("state", "severity", "kind", "silenced", "summary", "slices", "since_ms", "id")

    def __init__(self, stream: str) -> None:
        self._of = f""""stream" = '{stream}'"""

    def newest(self, measurement: str, columns: Sequence[str]) -> str:
        """A table of rows in the chosen time, the newest first: one series, since LIMIT counts each by itself."""
        return f"SELECT {_listed(columns)} FROM {self._where(measurement)} ORDER BY time DESC LIMIT {MOST_ROWS}"

    def open_incidents(self) -> str:
        """Those that have not ended and are not silenced, whatever the time; of a thread the one that began first.
        Unsorted: InfluxDB 1 does not order what comes of other queries, so the table does.
        """
        others = [name for name in self.open_rows if name != "since_ms"]
        each = f'SELECT min("since_ms") AS "since_ms", {_listed(others)} FROM ({self._threads("", _THREADED)})'
        return f'SELECT {_listed(self.open_rows)} FROM ({each} WHERE {_OPEN} GROUP BY "thread")'

    def all_incidents(self) -> str:
        """The newest message of each that spoke in the chosen time; unsorted too."""
        return f"SELECT {_listed(self.all_rows)} FROM ({self._threads(IN_RANGE)})"

    def open_count(self, severity: str) -> str:
        """How many are open, whatever the time."""
        return f'SELECT count("message") FROM ({self._open_messages(severity)} GROUP BY "thread")'

    def open_each(self, severity: str) -> str:
        """A series for each open incident, for an alert that has one instance for each."""
        return f'{self._open_messages(severity)} GROUP BY "id", "thread"'

    def opened(self) -> str:
        """Incidents by when they opened."""
        where, by = self._where("incidents", """"state" = 'open' AND "silenced" = '0'"""), "time($__interval)"
        each = f'SELECT max("message") AS "message" FROM {where} GROUP BY {by}, "severity", "kind", "thread" fill(none)'
        return f'SELECT count("message") FROM ({each}) WHERE {IN_RANGE} GROUP BY {by}, "severity", "kind" fill(0)'

    def share(self, part: str, whole: str, span: str = "$span") -> str:
        """A count's share of another one, over the time, of each slice."""
        return self._by_slice(f'sum("{part}") / sum("{whole}")', span)

    def whole_share(self, part: str, whole: str) -> str:
        """A count's share of another one, of all chosen slices and the whole time: panes, each event once."""
        where = self._where("windows", f"""{_SLICES} AND "span" = 'pane'""")
        return f'SELECT sum("{part}") / sum("{whole}") FROM {where}'

    def strangest(self) -> str:
        """Slices with the largest share of strange events in the chosen time."""
        where = self._where("windows", """"slicing" =~ /^$slicing$/ AND "span" = 'pane'""")
        # 1.0: InfluxDB 1 calls a quotient of whole numbers whole where another query asks for it, and takes 0 for it.
        inner = f'SELECT 1.0 * sum("p_le_01") / sum("scored") AS "share" FROM {where} GROUP BY "slice"'
        return f'SELECT top("share", "slice", 20) AS "share" FROM ({inner})'

    def level(self, field: str, how: str, span: str = "$span") -> str:
        """A field over the time, of each slice."""
        return self._by_slice(f'{how}("{field}")', span)

    def moved(self) -> str:
        """How far the histogram of each feature is from flat, over each span of the time: half the sum of the distances
        of its bins. A day's histogram stands at the day's end, which is the day before's last moment.
        """
        names = [f"h{k:02d}" for k in range(PIT_BINS)]
        sums = ", ".join(f'sum("{name}") AS "{name}"' for name in names)
        where = self._where("pit", '"feature" =~ /^$feature$/')
        counts = f'SELECT {sums} FROM {where} GROUP BY time(${{span:text}}, 1ms), "feature" fill(none)'
        whole = f'SELECT {_listed(names)}, {" + ".join(map(_quoted, names))} AS "n" FROM ({counts})'
        apart = " + ".join(f'abs("{name}" / "n" - {1 / PIT_BINS})' for name in names)
        return f'SELECT 0.5 * ({apart}) FROM ({whole}) GROUP BY "feature"'

    def counted(self, counter: str) -> str:
        """By how much a running total grew, of all partitions together."""
        grown = f'non_negative_difference(max("{counter}")) AS "n"'
        each = f'SELECT {grown} FROM {self._where("counters")} GROUP BY time($__interval), "partition" fill(none)'
        return f'SELECT sum("n") FROM ({each}) WHERE {IN_RANGE} GROUP BY time($__interval) fill(none)'

    def held(self) -> str:
        """How many events wait."""
        newest = f'SELECT last("held") AS "n" FROM {self._where("counters")} GROUP BY time($__interval), "partition"'
        return f'SELECT sum("n") FROM ({newest} fill(none)) WHERE {IN_RANGE} GROUP BY time($__interval) fill(none)'

    def anomalies(self) -> str:
        """Events at or below the event rule, of each slice."""
        where = self._where("anomalies", '"slice" =~ /^$slice$/')
        groups = f'GROUP BY time($__interval), "slice" fill(0) SLIMIT {MOST_LINES}'
        return f'SELECT count("p_value") FROM {where} {groups}'

    def notes(self, measurement: str, field: str, condition: str) -> str:
        """Moments of the chosen time, with a text."""
        return f'SELECT "{field}" FROM {self._where(measurement, condition)}'

    def values_of(self, tag: str, among: str = "") -> str:
        """Values of a tag of the windows, for a variable; those beside the chosen value of another tag."""
        beside = f' AND "{among}" =~ /^${among}$/' if among else ""
        return f'SHOW TAG VALUES FROM "windows" WITH KEY = "{tag}" WHERE {self._of}{beside}'

    def _by_slice(self, what: str, span: str) -> str:
        where = self._where("windows", f"""{_SLICES} AND "span" = '{span}'""")
        return f'SELECT {what} FROM {where} GROUP BY time($__interval), "slice" fill(none) SLIMIT {MOST_LINES}'

    def _where(self, measurement: str, condition: str = "", times: str = IN_RANGE) -> str:
        return f'"{measurement}" WHERE ' + " AND ".join(filter(None, (self._of, condition, times)))

    def _open_messages(self, severity: str) -> str:
        where = f"""{_OPEN} AND "severity" = '{severity}'"""
        return f'SELECT max("message") AS "message" FROM ({self._threads("", _THREADED)}) WHERE {where}'

    def _threads(self, times: str, condition: str = "") -> str:
        """The newest message of each incident: by its number, since two messages of one pane have one time."""
        where = self._where("incidents", condition, times)
        return f'SELECT max("message") AS "message", {_listed(_MESSAGE)} FROM {where} GROUP BY "id"'


def _quoted(name: str) -> str:
    return f'"{name}"'


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_quoted, names))
