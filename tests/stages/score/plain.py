"""A stream of JSON with a path, two texts and an id, and its bodies."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from stream_app.config import Config, parse
from stream_app.stages.batches import Bodies, RawBatch
from stream_app.stages.score.json_columns import JsonColumns, json_columns
from tests.stages.score.bodies import decoded_both_ways

EVENT: dict[str, Any] = {
    "time_field": "at",
    "numeric": ["x", "y.z", "n"],
    "categorical": ["kind"],
    "slicings": [["site"], ["site", "kind"], [], ["n"]],
    "id_field": "id",
}
GOOD = {"at": "2026-03-01T10:20:30.123Z", "x": 1.25, "y": {"z": -7}, "n": 3, "kind": "N", "site": "Zürich", "id": "a-1"}


def config(**event: object) -> Config:
    return parse({"stream": "s", "topics": {"events": "e"}, "event": {**EVENT, **event}})


def raw(*bodies: bytes | None) -> RawBatch:
    return RawBatch("e", 0, np.arange(len(bodies)), list(bodies))


def reader(cfg: Config) -> JsonColumns:
    found = json_columns(cfg.event, ["kind", "site"])
    assert found is not None
    return found


def taken(*bodies: bytes | None, **event: object) -> list[bool]:
    """Which bodies the column reader takes; what it makes of them is what the row decoder does."""
    cfg = config(**event)
    decoded_both_ways(cfg, raw(*bodies))
    return list(reader(cfg).read(Bodies.of(bodies)).read.tolist())


def body(**fields: object) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()


def with_value(field: str, written: str | bytes) -> bytes:
    """The good body with something written as the value of a field."""
    mark = json.dumps(GOOD[field]).encode()
    return body().replace(b'"%s": %s' % (field.encode(), mark), b'"%s": %s' % (field.encode(), _bytes(written)))


def _bytes(written: str | bytes) -> bytes:
    return written if isinstance(written, bytes) else written.encode()
