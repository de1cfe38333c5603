"""Bodies of a small stream, and what decoding makes of them."""

from __future__ import annotations

import json
from unittest.mock import patch

import numpy as np

from stream_app.config import Config, parse
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.score.decoding import COLUMN_READERS, Decoder
from stream_app.stages.score.rejects import Reject

EVENT = {"time_field": "at", "numeric": ["amount", "TEMP"], "categorical": ["wd"], "slicings": [["station"], []]}


def decode(*bodies: bytes, **event: object) -> tuple[EventBatch, list[Reject]]:
    config = parse({"stream": "s", "topics": {"events": "e"}, "event": {**EVENT, **event}})
    return decoded_both_ways(config, RawBatch("e", 0, np.arange(len(bodies)), list(bodies)))


def decoded_both_ways(config: Config, raw: RawBatch) -> tuple[EventBatch, list[Reject]]:
    """What is made of a batch with the column reader of its format, which is what the row decoder makes of it alone."""
    found, alone = Decoder(config).decode(raw), row_by_row(config).decode(raw)
    assert_alike(*found, *alone)
    return found


def row_by_row(config: Config) -> Decoder:
    """A decoder without a column reader."""
    with patch.dict(COLUMN_READERS, clear=True):
        return Decoder(config)


def assert_alike(events: EventBatch, rejects: list[Reject], others: EventBatch, refused: list[Reject]) -> None:
    """Bit by bit."""
    assert rejects == refused
    for name in ("rows", "offsets", "event_time_ms", "numeric", "coerced", "later_ms"):
        one, other = (getattr(batch, name) for batch in (events, others))
        assert (one is None) == (other is None)
        assert one is None or (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes()), name
    assert events.categorical.tolist() == others.categorical.tolist()
    assert events.ids == others.ids
    for column, like in zip(events.slices, others.slices, strict=True):
        assert (column.codes.dtype, column.codes.tolist(), column.names) == (np.int64, like.codes.tolist(), like.names)


def body(**fields: object) -> bytes:
    return json.dumps({"at": "2013-03-01", "station": "Dongsi", "amount": 1.5, "TEMP": 2, "wd": "N", **fields}).encode()


def slices_of(events: EventBatch) -> list[list[str]]:
    """The names of the slices of each event."""
    return [list(names) for names in zip(*(column.objects().tolist() for column in events.slices), strict=True)]


def coerced(events: EventBatch) -> list[int]:
    assert events.coerced is not None
    return list(events.coerced.tolist())
