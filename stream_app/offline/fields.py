"""Whether a file's events have the fields that the configuration names."""

from __future__ import annotations

from pathlib import Path

from stream_app.config import Config
from stream_app.event_files import Report, read_rows
from stream_app.stages.score.first_events import FirstEvents


def check_fields(config: Config, file: Path) -> None:
    """Look at the first events of a file, and no further than it takes.

    Raises:
        FieldsMissing: none of them has one of the fields.
        DriftflowError: it is no file of events.
    """
    first = FirstEvents(config.event)
    for _, value in read_rows(file, config, Report()):
        first.take([value])
        if first.enough:
            break
    first.check()
