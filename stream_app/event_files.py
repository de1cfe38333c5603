"""Events from files: CSV or JSON lines, gzipped or not, as the bytes that would travel on the events topic."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from stream_app.config import Config, EventConfig
from stream_app.errors import DriftflowError
from stream_app.stages.score.event_time import time_parser
from stream_app.stages.score.rejects import Undecodable

Row = tuple[bytes | None, bytes]
"""Key and value of one event."""

_MISSING = frozenset(("", "NA", "N/A", "NaN", "nan", "null", "None"))
_LINE_MAX = 64 * 1024 * 1024
_INT_MAX = 2**63 - 1
"""JSON writers and readers agree on whole numbers up to here; larger ones become floats."""


def read_rows(path: str | Path, config: Config) -> Iterator[Row]:
    """Yield ``(key, value)`` of each event in file order.

    CSV rows become JSON objects: numbers as numbers, ``""`` and ``NA`` as null, the time field as in the file. JSON
    lines travel as they are, bad ones too: what reads them reports them.

    Raises:
        DriftflowError: the file cannot be read to its end, or is a CSV without the time field.
    """
    for fields, value in _events(path, config.event):
        yield _key(fields, config.event), value


def read_timed_rows(path: str | Path, config: Config) -> Iterator[tuple[bytes | None, bytes, int | None]]:
    """Like :func:`read_rows` with the event time in ms, None where it cannot be read."""
    parse = time_parser(config.event)
    for fields, value in _events(path, config.event):
        yield _key(fields, config.event), value, _time(fields, config.event.time_field, parse)


def _time(fields: dict[str, Any], name: str, parse: Callable[[Any], int]) -> int | None:
    try:
        return parse(fields.get(name))
    except Undecodable:
        return None


def _key(fields: dict[str, Any], event: EventConfig) -> bytes | None:
    names = event.key or event.slicings[0]
    if not names:
        return None
    return "|".join(_text(fields.get(name)) for name in names).encode()


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _events(path: str | Path, event: EventConfig) -> Iterator[tuple[dict[str, Any], bytes]]:
    name, count = str(path).removesuffix(".gz"), 0
    try:
        with _open(path) as stream:
            events = _csv_events(stream, event, str(path)) if name.endswith(".csv") else _json_events(stream)
            for row in events:
                yield row
                count += 1
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        where = f" after {count:,} events" if count else ""
        raise DriftflowError(f"{path} cannot be read{where}, {reason}: name a whole file of events") from error


def _open(path: str | Path) -> IO[bytes]:
    opened: Any = (gzip.open if str(path).endswith(".gz") else open)(path, "rb")
    stream: IO[bytes] = opened
    return stream


def _json_events(stream: IO[bytes]) -> Iterator[tuple[dict[str, Any], bytes]]:
    decode = msgspec.json.Decoder().decode
    while line := stream.readline(_LINE_MAX):
        value = line.strip()
        if not value:
            continue
        try:
            fields = decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            fields = None
        yield fields if isinstance(fields, dict) else {}, value


def _csv_events(stream: IO[bytes], event: EventConfig, path: str) -> Iterator[tuple[dict[str, Any], bytes]]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    rows = csv.reader(text)
    header = next(rows, [])
    if event.time_field not in header:
        raise DriftflowError(f"{path}: no column {event.time_field!r} (event.time_field); it has: {', '.join(header)}")
    makers = [_cell_maker(name, event) for name in header]
    encode = msgspec.json.Encoder().encode
    for cells in rows:
        if cells:
            fields = {name: make(cell) for name, make, cell in zip(header, makers, cells, strict=False)}
            yield fields, encode(fields)
    text.close()


def _cell_maker(name: str, event: EventConfig) -> Callable[[str], Any]:
    if name == event.time_field:
        return _number_or_text if event.time_format.startswith("epoch") else _text_or_null
    texts = {*event.categorical, *(field for fields in event.slicings for field in fields), event.id_field}
    return _text_or_null if name in texts and name not in event.numeric else _number_or_text


def _text_or_null(cell: str) -> str | None:
    return None if cell in _MISSING else cell


def _number_or_text(cell: str) -> float | int | str | None:
    if cell in _MISSING:
        return None
    try:
        whole = int(cell)
        if -_INT_MAX <= whole <= _INT_MAX:
            return whole
    except ValueError:
        pass
    try:
        number = float(cell)
    except ValueError:
        return cell
    # JSON has no infinity; left as text it is reported instead of vanishing as null.
    return number if math.isfinite(number) else cell
