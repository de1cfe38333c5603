"""A stream, requests of its workers, and the messages that carry them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from flowlib.artifact import Ed25519PrivateKey
from flowlib.table import DAY_MS, Coded
from schemas.codecs import Envelope, encode_event
from schemas.records import OffsetRange, RetrainRequest
from stream_app.config import Config
from stream_app.models.signing import sign
from stream_app.stages.batches import EventBatch
from stream_app.trainer.requests.believing import Asked
from stream_app.trainer.requests.checking import Held, Seen
from tests.trainer.test_answering import DAYS, config_in, request, rows

WRITER = "/driftflow/s/judge"
WIDTH = 4
"""Partials partitions: JUDGE asks on signals partition 4."""

LATER = DAYS * DAY_MS + 28 * DAY_MS + 1
"""A pane after the cooldown of a model that was made for :func:`ask`."""


def stream_in(folder: Path, **trainer: Any) -> Config:
    """A stream with names for its topics; the events topic is ``e``."""
    config = config_in(folder, **{"budget_per_day": 2, "promotion": "auto", **trainer})
    names = {"signals": "s.signals", "models": "s.models", "dead_letters": "s.dead-letters", "partitions": WIDTH}
    return msgspec.structs.replace(config, topics=msgspec.structs.replace(config.topics, **names))


def ask(number: int = 0, pane_ms: int | None = None, model_id: str = "", **fields: Any) -> RetrainRequest:
    """A request; those of different numbers have different ids."""
    made = request(model_id, number=number)
    return msgspec.structs.replace(
        made, requested_pane_ms=made.requested_pane_ms if pane_ms is None else pane_ms, **fields
    )


def asked(made: RetrainRequest, writer: str = WRITER) -> Asked:
    """A request that is believed."""
    return Asked(made, writer)


def range_of(partition: int = 0, start: int = 0, end: int = 10, topic: str = "e", **times: int) -> OffsetRange:
    """Offsets of the events topic."""
    return OffsetRange(
        topic=topic, partition=partition, start=start, end=end, **{"start_ms": 0, "end_ms": 100, **times}
    )


def message(
    made: RetrainRequest, key: Ed25519PrivateKey | None, source: str = WRITER, partition: int = WIDTH, offset: int = 0
) -> Any:
    """A request as a client fetches it, signed where there is a key."""
    wire = encode_event(Envelope(made, made.id, source, made.requested_pane_ms))
    wire = wire if key is None else sign(wire, key)
    return record(wire.value, list(wire.headers), partition, offset)


def record(value: bytes | None, headers: Any = (), partition: int = WIDTH, offset: int = 0) -> Any:
    """A record of the signals topic."""
    return SimpleNamespace(topic="s.signals", partition=partition, offset=offset, value=value, headers=headers)


def seen(newest_ms: int | None = 10**14, first: int = 0, end: int = 10**6) -> Seen:
    """A topic of one partition."""
    return Seen(1, {0: Held(first, end)}, newest_ms)


def batches() -> list[EventBatch]:
    """The rows that answer :func:`ask`, as a topic hands them out."""
    table, index = rows(), np.arange(DAYS * 24)
    slices = (Coded.of(table.slices),)
    return [EventBatch("e", 0, index, index, table.time_ms, table.numeric, table.categories, slices)]
