"""Whether the events of a file or a topic have the fields that the configuration names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stream_app.config import Config
from stream_app.event_files import Report, of_files, read_rows
from stream_app.setup.rejected import check_first
from stream_app.stages.score.first_events import FirstEvents

if TYPE_CHECKING:
    from stream_app.kafka.history import Past


def check_fields(config: Config, source: Path | Past) -> None:
    """Look at the first events of a file or a topic, and no further than it takes; those of a file are tried too.

    Raises:
        FieldsMissing: none of them has one of the fields.
        MostRejected: most rows of a file are no events by this configuration: why, and what would be right.
        DriftflowError: it is no file of events, or the broker does not answer.
    """
    if not isinstance(source, Path):
        from stream_app.kafka.first_events import look_at_first  # a client of a broker

        look_at_first(config).check()
        return
    first = FirstEvents(config.event)
    for _, value in read_rows(source, config, Report()):
        first.take([value])
        if first.enough:
            break
    first.check()
    config = of_files(config)
    check_first(config, (value for _, value in read_rows(source, config, Report())))
