"""Bodies of a small stream, and what decoding makes of them."""

from __future__ import annotations

import json

import numpy as np

from stream_app.config import parse
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.rejects import Reject

EVENT = {"time_field": "at", "numeric": ["amount", "TEMP"], "categorical": ["wd"], "slicings": [["station"], []]}


def decode(*bodies: bytes, **event: object) -> tuple[EventBatch, list[Reject]]:
    config = parse({"stream": "s", "topics": {"events": "e"}, "event": {**EVENT, **event}})
    return Decoder(config).decode(RawBatch("e", 0, np.arange(len(bodies)), list(bodies)))


def body(**fields: object) -> bytes:
    return json.dumps({"at": "2013-03-01", "station": "Dongsi", "amount": 1.5, "TEMP": 2, "wd": "N", **fields}).encode()


def slices_of(events: EventBatch) -> list[list[str]]:
    """The names of the slices of each event."""
    return [list(names) for names in zip(*(column.objects().tolist() for column in events.slices), strict=True)]


def coerced(events: EventBatch) -> list[int]:
    assert events.coerced is not None
    return list(events.coerced.tolist())
