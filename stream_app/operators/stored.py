"""What people were told, where there is no broker to ask: from the embedded store, as ``score`` or a worker left it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import msgspec

from schemas.incidents import Incident, SilencedIncident, StrangeEvents
from stream_app.config import Config
from stream_app.errors import DriftflowError, Unreachable
from stream_app.operators.reading import Told, read_told, told_of
from stream_app.sinks.reading import open_store

WITHOUT = (
    "after `driftflow score FILE --signals signals.jsonl` say `driftflow incidents --from-file signals.jsonl`; what "
    "`driftflow score FILE --store` left is read without a broker"
)
"""What people can do who have scored a file."""
NOT_ASKED = (
    "an answer goes to the workers of a stream on Kafka; of a file that was scored nothing goes on that could take it "
    "in: there a model learns what is normal now (`driftflow score FILE --bootstrap-until DATE` trains one)"
)
"""Why nothing of a file is accepted, and what there is instead."""

_ROWS = """
SELECT measurement, tags, fields FROM others WHERE measurement IN ('incidents', 'strange_events') ORDER BY time_ms
"""


class _Tags(msgspec.Struct):
    silenced: str = "0"


class _Fields(msgspec.Struct):
    record: str


def told_anywhere(config: Config) -> tuple[Told, str]:
    """What people were told, and where that was read where it is not on the topic: "" where it is.

    Raises:
        Unreachable: there is no broker, and nothing in the embedded store either.
        DriftflowError: as :func:`~stream_app.operators.reading.read_told`.
    """
    try:
        return read_told(config), ""
    except Unreachable as error:
        told = stored(config)
        if told is None:
            raise Unreachable(f"{error}; {WITHOUT}") from None
        return told, f"{error}. What follows is of the store, {config.path(config.sink.path)}"


def stored(config: Config) -> Told | None:
    """What the embedded store has of the stream; None where it has nothing, or there is none."""
    path = config.path(config.sink.path)
    if config.sink.kind != "sqlite" or not path.exists():
        return None
    try:
        with open_store(path) as link:
            told = told_of(record for record in _records(link) if record.stream == config.stream)
    except sqlite3.DatabaseError as error:
        raise DriftflowError(f"{path} (sink.path) cannot be read: {error}") from error
    return told if told.incidents or told.strange else None


def _records(link: sqlite3.Connection) -> Iterator[Incident | StrangeEvents]:
    """Records of the store; what is damaged there is passed over."""
    for measurement, tags, fields in link.execute(_ROWS):
        try:
            kind: type[Incident | StrangeEvents] = StrangeEvents
            if measurement == "incidents":
                kind = SilencedIncident if msgspec.json.decode(tags, type=_Tags).silenced == "1" else Incident
            yield msgspec.json.decode(msgspec.json.decode(fields, type=_Fields).record, type=kind)
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            continue
