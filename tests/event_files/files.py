"""Files of events for the tests, and what is read of them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from stream_app.config import Config, EventConfig, TopicsConfig
from stream_app.event_files import Report, read_rows

ROWS = [f"2026-01-{1 + i // 24:02d}T{i % 24:02d}:00:00,s{i % 3},{i}.5" for i in range(400)]
"""400 lines of a CSV with the header ``at,shop,x``."""


def config(**event: Any) -> Config:
    fields: dict[str, Any] = {"time_field": "at", "numeric": ["x"], "categorical": ["kind"], "slicings": [["shop"]]}
    return Config(stream="s", topics=TopicsConfig(events="e"), event=EventConfig(**(fields | event)))


def write(path: Path, text: str | bytes) -> Path:
    """A file with this content, gzipped where its name says so."""
    blob = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(blob) if path.suffix == ".gz" else blob)
    return path


def read(path: Path, **event: Any) -> tuple[list[Any], Report]:
    """The decoded values of a file that may have rows that cannot be read, and the report on them."""
    report = Report()
    return [json.loads(value) for _, value in read_rows(path, config(**event), report)], report


def said(report: Report) -> list[tuple[str, int, str]]:
    """Reasons with their rows and examples, those of most rows first."""
    return [(reason.name, reason.rows, reason.example) for reason in report.dropped]
