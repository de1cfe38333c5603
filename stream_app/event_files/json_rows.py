"""JSON lines: they travel as they are, bad ones too. What reads them reports them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from stream_app.event_files.opening import LINE_MAX, Opened
from stream_app.event_files.report import Report
from stream_app.stages.score.json_bodies import object_of
from stream_app.stages.score.rejects import Undecodable


def json_rows(opened: Opened, report: Report) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield each line that is not blank: its fields, none where it is no JSON object, and its bytes in UTF-8."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    whole = True
    for line in _lines(opened):
        report.number += whole  # a line that is too long comes in pieces
        whole = line.endswith(b"\n")
        value = line.strip()
        if not value:
            continue
        yield _fields(decode, value), value


def _fields(decode: Callable[[bytes], Any], value: bytes) -> dict[str, Any]:
    """What an object holds, by the careful reading where need be: the key must not depend on a NaN somewhere else."""
    try:
        fields: dict[str, Any] = decode(value)
        return fields
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return object_of(value)
    except Undecodable:
        return {}


def _lines(opened: Opened) -> Iterator[bytes]:
    if opened.encoding == "utf-8":
        yield from iter(lambda: opened.stream.readline(LINE_MAX), b"")
        return
    with opened.text() as text:
        for line in iter(lambda: text.readline(LINE_MAX), ""):
            yield line.encode(errors="replace")
