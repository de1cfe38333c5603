"""Rows of a CSV file. A row that cannot be read is counted with its line, and the next line is read as if it were not.

The standard library's reader in strict mode takes the lines apart, as many at a time as a row has. polars and pyarrow
are faster, and of no use here: neither says which line it could not read, and one stray quote costs them all rows after
it, polars without a word (https://github.com/pola-rs/polars/issues/21519).
"""

from __future__ import annotations

import csv
import difflib
import functools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO, Any

import msgspec

from stream_app.config import EventConfig
from stream_app.config.field_names import literal
from stream_app.errors import DriftflowError
from stream_app.event_files.cells import cell_maker
from stream_app.event_files.opening import LINE_MAX, describe
from stream_app.event_files.report import Report
from stream_app.stages.score.event_time import time_parser
from stream_app.stages.score.rejects import Undecodable

DELIMITERS = ",;\t|"
_LOOK_AHEAD = 1_000
"""Most lines of one row: a quote that is not closed within so many is a stray one."""
_SHOWN_CHARS = 80

Fields = dict[str, Any]


def csv_rows(text: IO[str], event: EventConfig, path: str, report: Report) -> Iterator[tuple[Fields, bytes]]:
    """Yield each row as a JSON object, decoded and encoded; close the text.

    Raises:
        DriftflowError: the first line has no column with the time, or one column twice.
    """
    csv.field_size_limit(LINE_MAX)
    with text:
        lines = _Lines(text)
        header = Header.of(lines, event, path)
        makers = [(name, cell_maker(name, event), i) for i, name in enumerate(header.names) if name]
        encode = msgspec.json.Encoder().encode
        for number, cells in _Rows(lines, header, event, report):
            fields = {name: make(cells[i]) for name, make, i in makers}
            report.number = number
            yield fields, encode(fields)


class _Lines:
    """The lines with their numbers, from 1; some can be given back."""

    def __init__(self, text: IO[str]) -> None:
        self._read = functools.partial(text.readline, LINE_MAX)
        self._back: deque[str] = deque()
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        back = self._back
        while line := back.popleft() if back else self._read():
            self.number += 1
            yield line

    def ahead(self, n: int) -> str:
        """The n-th line from here on, "" at the end; none of them is taken."""
        while len(self._back) <= n:
            line = self._read()
            if not line:
                return ""
            self._back.append(line)
        return self._back[n]

    def skip(self, n: int) -> None:
        """Take lines that were looked at."""
        for _ in range(n):
            self._back.popleft()
        self.number += n


class Header:
    """The first line that is not blank.

    Attributes:
        names: of the columns, without blanks around them; "" for one that has none, which is left out.
        delimiter: between cells: the one of ``,``, ``;``, tab and ``|`` that makes a column of the time field.
        spaced: a blank follows each delimiter, here and in the rows.
    """

    def __init__(self, names: list[str], delimiter: str, spaced: bool) -> None:
        self.names, self.delimiter, self.spaced = names, delimiter, spaced

    @classmethod
    def of(cls, lines: _Lines, event: EventConfig, path: str) -> Header:
        """Read it from the first lines; raises DriftflowError."""
        line = next((line for line in lines if line.strip()), "")
        header = cls._fitting(line, event)
        if header is None:
            likely = max((cls._split(line, delimiter) for delimiter in DELIMITERS), key=lambda one: len(one.names))
            raise DriftflowError(no_time(likely.names, event, path))
        check_names(header.names, event, path)
        return header

    @classmethod
    def fits(cls, head: str, event: EventConfig) -> bool:
        """Whether the first line of a text has a column with the time."""
        return cls._fitting(head.splitlines()[0], event) is not None

    @classmethod
    def _fitting(cls, line: str, event: EventConfig) -> Header | None:
        headers = (cls._split(line, delimiter) for delimiter in DELIMITERS)
        return next((header for header in headers if literal(event.time_field) in header.names), None)

    @classmethod
    def _split(cls, line: str, delimiter: str) -> Header:
        raw = line.rstrip("\r\n").split(delimiter)
        spaced = len(raw) > 1 and all(name.startswith(" ") for name in raw[1:])
        with suppress(csv.Error):
            raw = next(csv.reader([line], delimiter=delimiter, skipinitialspace=spaced, strict=True), [])
        return cls([name.strip() for name in raw], delimiter, spaced)

    def cells(self, lines: Iterator[str]) -> list[str]:
        """The cells of a row that begins at the first of some lines; raises csv.Error."""
        reader = csv.reader(lines, delimiter=self.delimiter, skipinitialspace=self.spaced, strict=True)
        return next(reader, [])


def no_time(names: list[str], event: EventConfig, path: str) -> str:
    """The sentence about a table without the time field."""
    wanted, by_folded = literal(event.time_field), {name.casefold(): name for name in names}
    near = difflib.get_close_matches(wanted.casefold(), by_folded, 1)
    hint = f"did you mean {by_folded[near[0]]!r}" if near else f"it has: {', '.join(names)[:500]}"
    return f"{path}: no column {wanted!r} (event.time_field); {hint}"


def check_names(names: list[str], event: EventConfig, path: str) -> None:
    """Raise DriftflowError where a column that the stream uses is there twice."""
    fields = [name for fields in (*event.slicings, event.key) for name in fields]
    used = {event.time_field, event.id_field, *event.numeric, *event.categorical, *fields} - {""}
    for name in sorted(map(literal, used)):
        if names.count(name) > 1:
            raise DriftflowError(f"{path}: column {name!r} is there {names.count(name)} times: give each a name")


class _Rows:
    """Rows, each of one line or more, with the number of the first."""

    def __init__(self, lines: _Lines, header: Header, event: EventConfig, report: Report) -> None:
        self._lines, self._header, self._report = lines, header, report
        self._make_time = cell_maker(literal(event.time_field), event)
        self._parse_time: Callable[[Any], int] = time_parser(event)
        self._time = header.names.index(literal(event.time_field))
        self._may_be_shown = not event.sensitive

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        lines, width, delimiter = self._lines, len(self._header.names), self._header.delimiter
        plain = not self._header.spaced
        for line in lines:
            number = lines.number
            if plain and '"' not in line:
                cells: list[str] | None = line.rstrip("\r\n").split(delimiter)
            else:
                cells = self._quoted(line)
            if cells is None:
                continue
            if not (line.isascii() and lines.number == number) and not self._is_text(number, cells):
                continue
            if len(cells) == width:
                yield number, cells
            elif line.strip():
                wrong = f"{len(cells)} cells, the header has {width}{self._shown(line)}"
                self._report.unreadable(number, "another number of cells than the header", wrong)

    def _quoted(self, line: str) -> list[str] | None:
        """The cells of a row that may go on in the lines after this one; None where its quotes do not fit."""
        number = self._lines.number
        with suppress(csv.Error):
            return self._header.cells(iter((line,)))
        taken = 0

        def feed() -> Iterator[str]:
            nonlocal taken
            yield line
            while taken < _LOOK_AHEAD and not self._is_row(following := self._lines.ahead(taken)) and following:
                taken += 1
                yield following

        cells: list[str] = []
        with suppress(csv.Error):
            cells = self._header.cells(feed())
        if len(cells) == len(self._header.names):
            self._lines.skip(taken)
            return cells
        wrong = f"a quote that is not closed, or not at the end of its cell{self._shown(line)}"
        self._report.unreadable(number, "quotes that do not fit", wrong)
        return None

    def _shown(self, line: str) -> str:
        """The beginning of a line, as the end of a sentence; nothing where any of its values may be sensitive."""
        return f": {line.strip()[:_SHOWN_CHARS]!r}" if self._may_be_shown else ""

    def _is_row(self, line: str) -> bool:
        """Whether a line is a row by itself: then no quote before it goes on in it."""
        try:
            cells = self._header.cells(iter((line,)))
            if len(cells) != len(self._header.names):
                return False
            self._parse_time(self._make_time(cells[self._time]))
        except (csv.Error, Undecodable):
            return False
        return True

    def _is_text(self, number: int, cells: list[str]) -> bool:
        """Whether all of a row is UTF-8; otherwise it is counted."""
        try:
            "".join(cells).encode()
        except UnicodeEncodeError:
            raw = self._header.delimiter.join(cells).encode(errors="surrogateescape")
            self._report.unreadable(number, "not UTF-8", describe(raw))
            return False
        return True
