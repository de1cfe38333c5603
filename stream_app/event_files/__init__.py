"""Events from files: CSV, JSON lines or Parquet, gzipped or not, as the bytes that would travel on the events topic.

What a file is follows from its bytes, and from its name, in whatever case, only where they leave it open.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from stream_app.config import Config, EventConfig, SchemaRegistryConfig
from stream_app.errors import DriftflowError
from stream_app.event_files.csv_rows import Header, csv_rows
from stream_app.event_files.json_rows import json_rows
from stream_app.event_files.opening import Opened, open_events
from stream_app.event_files.parquet_rows import parquet_rows
from stream_app.event_files.report import Report
from stream_app.stages.score.event_time import time_parser
from stream_app.stages.score.paths import finder
from stream_app.stages.score.rejects import Undecodable
from stream_app.stages.score.texts import Texts

__all__ = ["Report", "Row", "of_files", "read_rows", "read_timed_rows"]

Row = tuple[bytes | None, bytes]
"""Key and value of one event."""

_Fields = dict[str, Any]
_JSON_NAMES = (".json", ".jsonl", ".ndjson")
_CSV_NAMES = (".csv", ".tsv", ".txt")
_KEYS_KNOWN = 10_000
_DOCUMENT = re.compile(r"\s*(\[\s*\{|\{[ \t\r]*\n)")
"""One JSON text of many lines."""


def of_files(config: Config) -> Config:
    """The configuration that rows of files are decoded by: they are JSON, whatever travels on the topic."""
    event = msgspec.structs.replace(config.event, format="json", layout=[], avro_schema="")
    return msgspec.structs.replace(config, event=event, schema_registry=SchemaRegistryConfig())


def read_rows(path: str | Path, config: Config, report: Report | None = None) -> Iterator[Row]:
    """Yield ``(key, value)`` of each event in file order.

    Rows of tables become JSON objects: numbers as numbers, ``event.missing_values`` as null, the time field as in the
    file. JSON lines travel as they are, bad ones too: what reads them reports them.

    Args:
        path: the file; it is read once, from its beginning.
        config: the stream.
        report: takes note of the rows that cannot be read, and of a file that ends early. Without one the first of
            them is an error, after the rows before it.

    Raises:
        DriftflowError: it is no file of events: a sentence with what it is instead.
    """
    key = _key_maker(config.event)
    for fields, value in _events(path, config.event, report):
        yield key(fields), value


def read_timed_rows(
    path: str | Path, config: Config, report: Report | None = None
) -> Iterator[tuple[bytes | None, bytes, int | None]]:
    """Like :func:`read_rows` with the event time in ms, None where it cannot be read."""
    key, parse, find = _key_maker(config.event), time_parser(config.event), finder(config.event.time_field)
    for fields, value in _events(path, config.event, report):
        yield key(fields), value, _time(find(fields), parse)


def _time(value: Any, parse: Callable[[Any], int]) -> int | None:
    try:
        return parse(value)
    except Undecodable:
        return None


def _key_maker(event: EventConfig) -> Callable[[_Fields], bytes | None]:
    """A function from an event's fields to its key: the name of its slice by these fields, whatever the format.

    Without any the id is one, so that an event that comes twice meets itself: each partition knows its own ids.
    """
    texts = Texts(event)
    finders = [finder(name) for name in event.key or event.slicings[0]]
    if not finders and not event.id_field:
        return lambda fields: None
    if not finders:
        find_id = finder(event.id_field)
        return lambda fields: None if (found := find_id(fields)) in (None, "") else texts.name([found]).encode()
    known: dict[tuple[str, ...], bytes] = {}
    all_text = [str] * len(finders)

    def key(fields: _Fields) -> bytes:
        values = tuple([find(fields) for find in finders])
        if [*map(type, values)] == all_text:
            if (found := known.get(values)) is None:
                found = texts.name(values).encode()
                if len(known) < _KEYS_KNOWN:
                    known[values] = found
            return found
        return texts.name(values).encode()

    return key


def _events(path: str | Path, event: EventConfig, report: Report | None) -> Iterator[tuple[_Fields, bytes]]:
    told = report if report is not None else Report()
    try:
        opened = open_events(path)
        told.taken = opened.taken
        with opened.stream:
            for row in _rows(opened, path, event, told):
                if report is None:
                    told.check_all(path)
                told.rows += 1
                yield row
    except (OSError, EOFError, zlib.error) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        if not told.rows:
            raise DriftflowError(f"{path} cannot be read, {reason}: name a whole file of events") from error
        told.ends_early = reason
    if report is None:
        told.check_all(path)
    if told.lost and not told.rows:
        raise DriftflowError(f"{path}: none of its {told.lost:,} rows can be read: {told.dropped.says()}")


def _rows(opened: Opened, path: str | Path, event: EventConfig, report: Report) -> Iterator[tuple[_Fields, bytes]]:
    if not opened.encoding:
        return parquet_rows(opened.stream, event, str(path), report)
    if _is_json(opened.head, path, event):
        return json_rows(opened, report)
    return csv_rows(opened.text(), event, str(path), report)


def _is_json(head: str, path: str | Path, event: EventConfig) -> bool:
    """Whether text is JSON lines, else it is CSV; raises DriftflowError where it is neither."""
    name = re.sub(r"\.gz$", "", str(path).lower())
    if _DOCUMENT.match(head):
        raise DriftflowError(f"{path} is one JSON text, not a line for each event: jq -c '.[]' makes lines of a list")
    if head.lstrip().startswith("{"):
        return True
    has_objects = re.search(r"^\s*\{", head, re.MULTILINE) is not None
    if name.endswith(_JSON_NAMES) and not has_objects:
        raise DriftflowError(f"{path} is called JSON, and none of its first lines is an object: name a file of events")
    return has_objects and not name.endswith(_CSV_NAMES) and not Header.fits(head.lstrip(), event)
