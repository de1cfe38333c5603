"""Files become bodies of each format, and are read back as what they were."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stream_app.errors import DriftflowError
from stream_app.event_files import of_files, read_rows
from stream_app.stages.batches import RawBatch
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.formats.encoding import encoder_of
from stream_app.stages.score.rejects import Undecodable
from tests.stages.score.formats.making import GOOD, PLAIN, config, of_float32, of_msgpack


@pytest.mark.parametrize(("format_", "expected"), [("float32", of_float32(GOOD)), ("msgpack", of_msgpack(GOOD))])
def test_bodies_of_json_as_others(format_: str, expected: bytes) -> None:
    stream = config(format_)
    body = encoder_of(stream.event)(json.dumps(GOOD).encode())
    assert body == expected
    events, rejects = Decoder(stream).decode(RawBatch("e", 0, np.arange(1), [body]))
    assert (len(events), rejects) == (1, [])
    assert encoder_of(of_files(stream).event)(b"nope") == b"nope"


@pytest.mark.parametrize(
    ("change", "says"),
    [({"station": "Dongsi"}, "station is 'Dongsi'"), ({"TEMP": 1e39}, "does not fit"), ({"at": None}, "does not fit")],
    ids=["text", "large", "no time"],
)
def test_what_float32_has_no_form_for(change: dict[str, object], says: str) -> None:
    with pytest.raises(Undecodable) as caught:
        encoder_of(config("float32").event)(json.dumps({**GOOD, **change}).encode())
    assert says in caught.value.detail


def test_avro_is_not_made_of_files(tmp_path: Path) -> None:
    with pytest.raises(DriftflowError, match="files are sent as json, msgpack or float32"):
        encoder_of(config("avro", tmp_path, PLAIN).event)


@pytest.mark.parametrize("format_", ["float32", "msgpack"])
def test_files_are_read_as_json_whatever_the_topic_has(format_: str, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text(json.dumps(GOOD) + "\n")
    stream = config(format_)
    values = [value for _, value in read_rows(tmp_path / "events.jsonl", stream)]
    events, rejects = Decoder(of_files(stream)).decode(RawBatch("e", 0, np.arange(1), values))
    assert (events.numeric.tolist(), rejects) == ([[9.0, -0.5]], [])
