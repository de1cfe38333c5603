"""JSON lines: they travel as they are, bad ones too. What reads them reports them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from stream_app.event_files.opening import LINE_MAX, Opened
from stream_app.event_files.report import Report


def json_rows(opened: Opened, report: Report) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield each line that is not blank: its fields, none where it is no JSON object, and its bytes in UTF-8."""
    decode = msgspec.json.Decoder().decode
    whole = True
    for line in _lines(opened):
        report.number += whole  # a line that is too long comes in pieces
        whole = line.endswith(b"\n")
        value = line.strip()
        if not value:
            continue
        try:
            fields = decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            fields = _lenient(value)
        yield fields if isinstance(fields, dict) else {}, value


def _lines(opened: Opened) -> Iterator[bytes]:
    if opened.encoding == "utf-8":
        yield from iter(lambda: opened.stream.readline(LINE_MAX), b"")
        return
    with opened.text() as text:
        for line in iter(lambda: text.readline(LINE_MAX), ""):
            yield line.encode(errors="replace")


def _lenient(value: bytes) -> Any:
    """The fields of a body with literals that JSON has not, such as NaN: its key must not depend on them."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None
