"""An even share of a file's rows, whatever kind of file it is, before anybody has said what its columns mean."""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from stream_app.config import EventConfig
from stream_app.errors import DriftflowError
from stream_app.event_files.csv_rows import DELIMITERS
from stream_app.event_files.json_rows import json_rows
from stream_app.event_files.opening import LINE_MAX, Opened, open_events
from stream_app.event_files.parquet_rows import parquet_rows
from stream_app.event_files.report import Report

ROWS_MAX, CELLS_MAX = 40_000, 1_000_000
"""Most rows that are kept, and most values in them."""
_READ_MAX, _CELLS_READ_MAX = 300_000, 6_000_000
"""Most rows that are looked at, and most values in them."""
_RUN = 256
"""Rows that are kept or left out together: neighbours tell how rows follow each other."""
_HEAD_LINES = 20
_SPREAD = 2_654_435_761  # Knuth's multiplicative hash: no period of a file meets that of the sample


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows and where they come from.

    Attributes:
        rows: kept rows, in their order, as name to value: texts of a table's cells, values of JSON.
        runs: for each the run it is of: rows of one run were neighbours.
        seen: rows looked at.
        whole: whether these are all that there are.
        kind: ``CSV``, ``JSON lines``, ``Parquet`` or ``rows``.
        unreadable: rows that could not be read.
        delimiter: of a CSV file.
        twice: names that more than one column of a table has; no row has these columns.
    """

    rows: list[dict[str, Any]]
    runs: list[int]
    seen: int
    whole: bool
    kind: str
    unreadable: int = 0
    delimiter: str = ""
    twice: tuple[str, ...] = ()


class Thinned:
    """Keeps an even share of rows: runs of neighbours, half as many each time that there are too many."""

    def __init__(self, most: int = ROWS_MAX) -> None:
        self._most, self._share, self.seen = most, 2**32, 0
        self.kept: list[tuple[int, Any]] = []

    def add(self, row: Any) -> None:
        """Take a row in."""
        run = self.seen // _RUN
        self.seen += 1
        if (run * _SPREAD) % 2**32 < self._share:
            self.kept.append((run, row))
            while len(self.kept) > self._most and self._share > 1:
                self._share //= 2
                self.kept = [each for each in self.kept if (each[0] * _SPREAD) % 2**32 < self._share]


def sample_of(path: Path) -> Sample:
    """Sample a file.

    Raises:
        DriftflowError: it is no file of events, with a sentence about what it is and what to do.
    """
    try:
        opened = open_events(path)
        with opened.stream:
            kind = _kind(opened, path)
            return {"CSV": _of_csv, "JSON lines": _of_json, "Parquet": _of_parquet}[kind](opened, path)
    except (OSError, EOFError, zlib.error) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise DriftflowError(f"{path} cannot be read, {reason}: name a whole file of events") from error


def sample_of_rows(rows: Iterable[Mapping[str, Any]]) -> Sample:
    """Sample rows that are there already."""
    kept = Thinned()
    for row in rows:
        kept.add(row)
    return _sample(kept, "rows", whole=True)


def _kind(opened: Opened, path: Path) -> str:
    head = opened.head.lstrip()
    if not opened.encoding:
        return "Parquet"
    if re.match(r"\[\s*\{|\{[ \t\r]*\n", head):
        raise DriftflowError(f"{path} is one JSON text, not a line for each event: jq -c '.[]' makes lines of a list")
    lines = head.splitlines()
    if sum(line.lstrip().startswith("{") for line in lines) * 2 > len(lines):
        return "JSON lines"
    return "CSV"


def _sample(kept: Thinned, kind: str, *, whole: bool, unreadable: int = 0, delimiter: str = "") -> Sample:
    rows, runs = [row for _, row in kept.kept], [run for run, _ in kept.kept]
    if kept.seen <= len(rows):
        runs = [0] * len(rows)  # all are neighbours
    return Sample(rows, runs, kept.seen, whole, kind, unreadable, delimiter)


def _most(columns: int) -> int:
    return max(200, min(ROWS_MAX, CELLS_MAX // max(columns, 1)))


def _to_read(columns: int) -> int:
    return max(2_000, min(_READ_MAX, _CELLS_READ_MAX // max(columns, 1)))


# JSON lines and Parquet ------------------------------------------------------------------------------------------


def _of_json(opened: Opened, path: Path) -> Sample:
    return _of_objects(json_rows(opened, Report()), path, "JSON lines")


def _of_parquet(opened: Opened, path: Path) -> Sample:
    try:
        from pyarrow import parquet  # 170 MB that only those need who have such files

        names = parquet.read_schema(path).names
    except ImportError:
        names = ["-"]  # the reader says what to install
    except Exception as error:  # pyarrow's own, of which there are many
        raise DriftflowError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
    twice = _twice(names)
    first = next((str(name) for name in names if name not in twice), "-")
    anything = EventConfig(time_field=first.replace("\\", "\\\\").replace(".", "\\."), numeric=["-"])
    rows = parquet_rows(opened.stream, anything, str(path), Report())
    told = (({name: value for name, value in fields.items() if name not in twice}, body) for fields, body in rows)
    return replace(_of_objects(told if twice else rows, path, "Parquet"), twice=twice)


def _of_objects(rows: Iterator[tuple[dict[str, Any], bytes]], path: Path, kind: str) -> Sample:
    kept, empty, first = Thinned(), 0, next(rows, None)
    if first is None:
        raise DriftflowError(f"{path} is empty: name a file of events")
    kept = Thinned(_most(_width(first[0])))
    most, whole = _to_read(_width(first[0])), True
    for fields, _ in _chain(first, rows):
        if not fields:
            empty += 1
            continue
        kept.add(fields)
        if kept.seen >= most:
            whole = next(rows, None) is None
            break
    if not kept.seen:
        raise DriftflowError(f"{path}: none of its {empty:,} lines is a JSON object with fields: name a file of events")
    return _sample(kept, kind, whole=whole, unreadable=empty)


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _width(fields: Mapping[str, Any]) -> int:
    return sum(_width(value) if isinstance(value, dict) else 1 for value in fields.values())


# CSV -------------------------------------------------------------------------------------------------------------


def _of_csv(opened: Opened, path: Path) -> Sample:
    csv.field_size_limit(LINE_MAX)
    delimiter = delimiter_of(opened.head)
    with opened.text() as text:
        rows = csv.reader(text, delimiter=delimiter, skipinitialspace=True)
        names = [name.strip() for name in next((row for row in rows if any(map(str.strip, row))), [])]
        _check_names(names, path, delimiter)
        twice = _twice(names)
        places = [(i, name) for i, name in enumerate(names) if name and name not in twice]
        kept, bad, most, whole = Thinned(_most(len(names))), 0, _to_read(len(names)), True
        try:
            for cells in rows:
                if len(cells) == len(names):
                    kept.add(cells)
                else:
                    bad += bool(cells)
                if kept.seen >= most:
                    whole = next(rows, None) is None
                    break
        except csv.Error:
            bad += 1  # what follows is left to the reader, which goes on after such a line
            whole = False
    if not kept.seen:
        raise DriftflowError(f"{path} has a line of names and no row that has as many cells: name a file of events")
    kept.kept = [(run, {name: cells[i] for i, name in places}) for run, cells in kept.kept]
    return replace(_sample(kept, "CSV", whole=whole, unreadable=bad, delimiter=delimiter), twice=twice)


def _twice(names: list[str]) -> tuple[str, ...]:
    """Names that are there more than once, each once."""
    return tuple(dict.fromkeys(name for name in names if name and names.count(name) > 1))


def delimiter_of(head: str) -> str:
    """What stands between the cells: that of which most lines have as many as the first, and more than any other.

    >>> delimiter_of("a;b;c\\n1,5;2;3\\n"), delimiter_of("a b\\n1 2\\n")
    (';', ',')
    """
    lines = [line for line in head.splitlines() if line.strip()][:_HEAD_LINES]
    if len(lines) > 2:
        lines = lines[:-1]  # the last one may be cut
    best, most = DELIMITERS[0], (0.0, 1)
    for delimiter in DELIMITERS:
        widths = [len(next(csv.reader([line], delimiter=delimiter), [])) for line in lines]
        if widths and widths[0] > 1:
            like = sum(width == widths[0] for width in widths) / len(widths)
            if (like, widths[0]) > most:
                best, most = delimiter, (like, widths[0])
    return best


def _check_names(names: list[str], path: Path, delimiter: str) -> None:
    """Raise DriftflowError where the first line holds values."""
    given = [name for name in names if name]
    numbers = [name for name in given if _is_value(name)]
    counted = numbers and all(name.isdecimal() for name in numbers)
    in_turn = counted and [int(name) for name in numbers] in (
        list(range(len(numbers))),
        list(range(1, len(numbers) + 1)),
    )
    if numbers and len(numbers) * 2 > len(given) and not (in_turn and len(numbers) > 1):
        made = delimiter.join(f"c{i}" for i in range(1, min(len(names), 6) + 1)) + ("…" if len(names) > 6 else "")
        quoted = delimiter.join(names)[:80]
        raise DriftflowError(
            f"{path} has no line of names, its first line is {quoted!r}: put one before it, such as "
            f"(echo '{made}'; cat {path.name}) > named.csv, with the column of the time called time"
        )
    if names[0].startswith("#"):
        raise DriftflowError(f"{path} begins with a comment: take such lines out, grep -v '^#' {path.name} > plain.csv")
    if len(names) == 1 and len(names[0].split()) > 2:
        raise DriftflowError(
            f"{path} has no delimiter between its cells ({names[0][:80]!r}): write it with commas, such as "
            f"tr -s ' ' ',' < {path.name} > commas.csv"
        )


def _is_value(text: str) -> bool:
    """Whether a text is a number or a date, which names of columns are not."""
    try:
        float(text.replace(",", "."))
    except ValueError:
        return re.fullmatch(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?", text) is not None
    return True


def is_json_object(body: bytes) -> dict[str, Any] | None:
    """The fields of a body that is a JSON object; None where it is none."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
