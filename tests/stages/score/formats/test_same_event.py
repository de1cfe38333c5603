"""One event is one event in every format: the same columns, names and ids, whatever the bytes."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.score.columns import NothingRead
from stream_app.stages.score.decoding import DECODERS, Decoder
from tests.stages.score.formats.making import MISSING, PLAIN, T0, as_plain, config, of_avro, of_float32, of_msgpack

NUMBERS = st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False)
CODES = st.none() | st.integers(MISSING + 1, 2**31 - 1)
EVENTS = st.lists(
    st.fixed_dictionaries(
        {"at": st.integers(0, T0), "PM2.5": NUMBERS, "TEMP": NUMBERS, "wd": CODES, "station": CODES, "id": CODES}
    ),
    max_size=20,
)
ENCODERS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "json": msgspec.json.encode,
    "float32": of_float32,
    "msgpack": of_msgpack,
    "avro": lambda event: of_avro(PLAIN, as_plain(event)),
}


def decoder(format_: str) -> Decoder:
    """Of the stream of that format; a schema is read once."""
    with tempfile.TemporaryDirectory() as folder:
        schema = PLAIN if format_ == "avro" else None
        return Decoder(config(format_, Path(folder), schema))


DECODER = {format_: decoder(format_) for format_ in ENCODERS}


def as_told(batch: EventBatch) -> dict[str, Any]:
    """What a batch says, without how it is kept."""
    assert batch.coerced is not None
    return {
        "rows": batch.rows.tolist(),
        "times": batch.event_time_ms.tolist(),
        "numeric": [[None if np.isnan(x) else x for x in row] for row in batch.numeric.tolist()],
        "slices": [column.objects().tolist() for column in batch.slices],
        "categorical": np.asarray(batch.categorical).tolist(),
        "ids": batch.ids,
        "coerced": batch.coerced.tolist(),
    }


def test_every_format_is_here() -> None:
    assert ENCODERS.keys() == DECODERS.keys()


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_the_same_events_in_every_format(events: list[dict[str, Any]]) -> None:
    told = {}
    for name, encode in ENCODERS.items():
        bodies = [encode(event) for event in events]
        batch, rejects = DECODER[name].decode(RawBatch("e", 0, np.arange(len(bodies), dtype=np.int64), bodies))
        assert not rejects, (name, rejects[0])
        told[name] = as_told(batch)
    for name in ENCODERS:
        assert told[name] == told["json"], name


@pytest.mark.parametrize("name", ENCODERS)
def test_names_stand_in_the_order_in_which_they_come_whoever_reads_them(name: str) -> None:
    """Else the order of what follows from a batch hangs on whether each of its rows is plainly as it should be."""
    fields = ("PM2.5", "TEMP", "wd", "station", "id")
    bodies = [ENCODERS[name]({"at": T0, **dict.fromkeys(fields, n)}) for n in (7, 3, -5, 7, 12, 3)]
    batch, rejects = DECODER[name].decode(RawBatch("e", 0, np.arange(len(bodies)), bodies))
    assert not rejects
    assert (batch.slices[0].names, batch.slices[0].codes.tolist()) == (["7", "3", "-5", "12"], [0, 1, 2, 0, 3, 1])


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.data())
def test_columns_and_rows_are_one(events: list[dict[str, Any]], data: st.DataObject) -> None:
    """Bodies that were damaged, among others: whatever a column reader takes, the row decoder makes the same of it."""
    for name, encode in ENCODERS.items():
        bodies = [encode(event) for event in events]
        for i in data.draw(st.lists(st.integers(0, max(len(bodies) - 1, 0)), max_size=4)) if bodies else ():
            at = data.draw(st.integers(0, len(bodies[i]) - 1))
            bodies[i] = bodies[i][:at] + data.draw(st.binary(max_size=3)) + bodies[i][at + 1 :]
        made, alone = DECODER[name], copy.copy(DECODER[name])
        alone._columns = NothingRead(2, 2, True)
        raw = RawBatch("e", 0, np.arange(len(bodies), dtype=np.int64), bodies)
        (batch, rejects), (by_rows, refused) = made.decode(raw), alone.decode(raw)
        assert as_told(batch) == as_told(by_rows), name
        assert rejects == refused, name
