"""A store of which bytes were overwritten: what is written to it is a sentence, or does no harm."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from stream_app.errors import SinkError
from stream_app.sinks.base import Batch
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.stages.point_blocks import WindowBlock
from tests.sinks.making import point
from tests.stages.test_point_blocks import windows


def batch(pane: int) -> Batch:
    """Windows of many slices, and points of other measurements."""
    made = replace(windows(150), ends_ms=[pane * 3_600_000] * 150)
    return Batch([*WindowBlock.of("s", made), *(replace(point(n), measurement="others") for n in range(20))])


def test_bytes_overwritten_anywhere_are_a_sentence_or_do_no_harm(tmp_path: Path, seed: int) -> None:
    chance, path, errors = random.Random(seed), tmp_path / "s.sqlite", list[str]()
    sink = SQLiteSink(path)
    for pane in range(4):
        sink.write(batch(pane))
    sink.close()
    whole = path.read_bytes()
    for _ in range(30):
        blob, size = bytearray(whole), chance.choice((1, 8, 4_096))
        start = chance.randrange(len(blob))
        blob[start : start + size] = chance.randbytes(size)
        path.write_bytes(blob)
        try:
            use(path)
        except SinkError as error:
            errors.append(str(error))
    assert errors, f"seed {seed}: nothing was damaged"
    assert all("s.sqlite" in error for error in errors), f"seed {seed}"


def use(path: Path) -> None:
    sink = SQLiteSink(path)
    try:
        for pane in (3, 4):
            sink.write(batch(pane))
    finally:
        with suppress(sqlite3.Error):  # the drainer says so
            sink.close()


def test_a_series_that_its_index_does_not_have_is_a_sentence(tmp_path: Path) -> None:
    """One row more is made of it otherwise, or a point is taken for bad."""
    sink = SQLiteSink(tmp_path / "s.sqlite")
    with closing(sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)) as link:
        link.execute("CREATE TRIGGER gone AFTER INSERT ON series BEGIN DELETE FROM series; END")
    with pytest.raises(SinkError, match=r"s\.sqlite cannot be written: a series .* not found; move that file away"):
        sink.write(batch(0))
    sink.close()
