"""Parquet: the same events as the same rows in CSV, in JSON lines, and on a topic."""

from __future__ import annotations

import builtins
import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from stream_app.errors import DriftflowError
from stream_app.event_files import read_rows, read_timed_rows
from stream_app.offline.replay import batches
from stream_app.stages.score.decoding import Decoder
from tests.event_files.files import config, read, said
from tests.stages.score.bodies import slices_of

AT = dt.datetime(2026, 1, 1, 12)


def table(path: Path, **columns: Any) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def test_values_of_every_type(tmp_path: Path) -> None:
    path = table(
        tmp_path / "e.PARQUET",
        at=[AT],
        shop=pa.array(["a"]).dictionary_encode(),
        x=pa.array([1.5], pa.float32()),
        whole=[2**62],
        price=[Decimal("12.50")],
        number=[Decimal("7")],
        day=[dt.date(2026, 1, 2)],
        clock=[dt.time(1, 2)],
        span=[dt.timedelta(seconds=90)],
        text=[b"abc"],
        raw=[b"\xff"],
        deep=[{"x": [1.0, float("nan")], "at": AT}],
        flag=[True],
        nothing=pa.array([None], pa.int8()),
        nan=[float("nan")],
        inf=[float("-inf")],
        nanoseconds=pa.array([1_767_268_800_123_456_789], pa.timestamp("ns", "Europe/Berlin")),
    )
    assert read(path)[0] == [
        {
            "at": "2026-01-01T12:00:00",
            "shop": "a",
            "x": 1.5,
            "whole": 2**62,
            "price": 12.5,
            "number": 7,
            "day": "2026-01-02",
            "clock": "01:02:00",
            "span": 90.0,
            "text": "abc",
            "raw": "/w==",
            "deep": {"x": [1.0, None], "at": "2026-01-01T12:00:00"},
            "flag": True,
            "nothing": None,
            "nan": None,
            "inf": "-inf",
            "nanoseconds": "2026-01-01T12:00:00.123456+00:00",
        }
    ]


@pytest.mark.parametrize(
    ("kind", "at"),
    [("naive", AT), ("aware", AT.replace(tzinfo=dt.UTC)), ("text", AT.isoformat()), ("day", dt.date(2026, 1, 1))],
)
@pytest.mark.parametrize("time_format", ["iso8601", "epoch_ms", "epoch_s", "%Y-%m-%d %H:%M"])
def test_a_moment_is_what_the_time_format_expects(tmp_path: Path, kind: str, at: Any, time_format: str) -> None:
    path = table(tmp_path / "e.parquet", at=[at], x=[1.0])
    ((_, _, time_ms),) = read_timed_rows(path, config(time_format=time_format, timezone="Europe/Berlin"))
    noon = 1_767_268_800_000
    berlin = noon - 3_600_000
    zoned = time_format.startswith("%")  # a pattern without a zone is read in event.timezone
    wanted = {"naive": berlin, "aware": berlin if zoned else noon, "text": berlin, "day": berlin - 12 * 3_600_000}[kind]
    assert time_ms == (None if kind == "text" and time_format != "iso8601" else wanted)


def test_a_row_that_python_cannot_hold_is_counted_with_its_number(tmp_path: Path) -> None:
    far = pa.array([0, 2**62, 1], pa.timestamp("us"))
    text = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(np.array([0, 1, 2, 3], np.int32)), pa.py_buffer(b"ab\xff")]
    )
    events, report = read(table(tmp_path / "e.parquet", at=far, shop=text, x=[1, 2, 3]))
    assert [event["x"] for event in events] == [1]
    ((reason, n, example),) = said(report)
    assert (reason, n, report.total) == ("unreadable: a value out of range", 2, 3)
    assert example.startswith("row 2: ")


def test_columns_that_do_not_fit_are_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DriftflowError, match=r"no column 'at' \(event.time_field\); did you mean 'AT'"):
        read(table(tmp_path / "e.parquet", AT=[1], x=[1]))
    twice = pa.table([[1], [2], [3]], names=["at", "x", "x"])
    parquet.write_table(twice, tmp_path / "e.parquet")
    with pytest.raises(DriftflowError, match="column 'x' is there 2 times"):
        read(tmp_path / "e.parquet")


def test_a_cut_or_damaged_file_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    rng = np.random.default_rng(0)
    rows = pa.table({"at": [AT] * 20_000, "x": rng.standard_normal(20_000)})
    parquet.write_table(rows, path, row_group_size=5_000)
    blob = path.read_bytes()
    path.write_bytes(blob[:-100])
    with pytest.raises(DriftflowError, match=r"e\.parquet cannot be read, it is damaged: .*: name a whole file"):
        read(path)
    middle = len(blob) // 2
    path.write_bytes(blob[:middle] + bytes(40_000) + blob[middle + 40_000 :])
    events, report = read(path)
    assert 0 < len(events) < 20_000
    assert report.ends_early.startswith("it is damaged: ")


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = table(tmp_path / "e.parquet", at=[AT], x=[1]), builtins.__import__

    def without(name: str, *given: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *given)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DriftflowError, match=r"is a Parquet file, .*pip install 'driftflow\[parquet\]'"):
        read(path)


NUMBERS = st.none() | st.floats(-1e6, 1e6, width=32) | st.integers(-(2**53), 2**53).map(float)
TEXTS = st.none() | st.sampled_from(["NA", " null ", "", "a,b", 'say "x"', "é", "7", "7.0", "x\ny"])
ROWS = st.lists(st.tuples(NUMBERS, TEXTS, TEXTS), min_size=1, max_size=20)


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_every_format_gives_the_same_events(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("formats")
    columns: dict[str, list[Any]] = {"at": [(AT + dt.timedelta(hours=i)).isoformat() for i in range(len(rows))]}
    columns |= dict(zip(("x", "shop", "kind"), map(list, zip(*rows, strict=True)), strict=True))
    events = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    quoted = [",".join(_cell(value) for value in event.values()) for event in events]
    (folder / "e.csv").write_text("\n".join([",".join(columns), *quoted]), encoding="utf-8", newline="")
    (folder / "e.jsonl").write_text("\n".join(map(json.dumps, events)), encoding="utf-8")
    types = [pa.string(), pa.float64(), pa.string(), pa.string()]
    arrays = [pa.array(values, kind) for values, kind in zip(columns.values(), types, strict=True)]
    parquet.write_table(pa.table(arrays, names=list(columns)), folder / "e.parquet")
    read_of = {kind: _decoded(folder / f"e.{kind}") for kind in ("csv", "jsonl", "parquet")}
    assert read_of["csv"] == read_of["jsonl"] == read_of["parquet"]
    assert len(read_of["csv"][0]) == len(rows)


def _cell(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else repr(value)
    return '"' + text.replace('"', '""') + '"'


def _decoded(path: Path) -> tuple[Any, ...]:
    """Keys, and what the decoder makes of the bodies as they would be on the topic."""
    cfg = config()
    keys = [key for key, _ in read_rows(path, cfg)]
    found: list[Any] = []
    for raw in batches(cfg, read_rows(path, cfg)):
        batch, rejects = Decoder(cfg).decode(raw)
        numbers = np.where(np.isnan(batch.numeric), np.inf, batch.numeric).tolist()
        found.append([numbers, batch.categorical.tolist(), slices_of(batch), batch.event_time_ms.tolist()])
        found.append([reject.reason for reject in rejects])
    return keys, found
