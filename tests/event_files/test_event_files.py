"""Events from files: what a row becomes, and the sentence where a file cannot be read to its end."""

from __future__ import annotations

import gzip
import json
import random
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from stream_app.config import Config, EventConfig, TopicsConfig
from stream_app.errors import DriftflowError
from stream_app.event_files import Report, read_rows, read_timed_rows


def config(**event: Any) -> Config:
    fields: dict[str, Any] = {"time_field": "at", "numeric": ["x"], "categorical": ["kind"], "slicings": [["shop"]]}
    return Config(stream="s", topics=TopicsConfig(events="e"), event=EventConfig(**(fields | event)))


def rows(path: Path, text: str | bytes, **event: Any) -> list[tuple[bytes | None, Any]]:
    """Keys and decoded values of a file with this content."""
    blob = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(blob) if path.suffix == ".gz" else blob)
    return [(key, json.loads(value)) for key, value in read_rows(path, config(**event))]


@pytest.mark.parametrize("name", ["events.csv", "events.csv.gz"])
def test_a_csv_row_is_a_json_object_with_its_types(tmp_path: Path, name: str) -> None:
    text = "\ufeffat,shop,x,kind,note\n2026-01-01,7,1.5,3,free\n\n2026-01-02,NA,,x,9\n"
    assert rows(tmp_path / name, text) == [
        (b"7", {"at": "2026-01-01", "shop": "7", "x": 1.5, "kind": "3", "note": "free"}),
        (b"(none)", {"at": "2026-01-02", "shop": None, "x": None, "kind": "x", "note": 9}),
    ]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("12", 12),
        ("-9223372036854775807", -(2**63 - 1)),
        ("99999999999999999999", 1e20),
        ("1e3", 1000.0),
        ("inf", "inf"),
        ("1" * 400, "1" * 400),
        ("x", "x"),
        ("nan", None),
    ],
)
def test_a_number_is_one_that_json_can_say(tmp_path: Path, cell: str, value: Any) -> None:
    ((_, fields),) = rows(tmp_path / "e.csv", f"at,x\n2026-01-01,{cell}\n")
    assert fields["x"] == value
    assert type(fields["x"]) is type(value)


def test_json_lines_travel_as_they_are_bad_ones_too(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"at": 1, "shop": "a"}\n\n  {"shop": 2.5}\nnonsense\n[1]\n\xff\n')
    assert list(read_rows(path, config())) == [
        (b"a", b'{"at": 1, "shop": "a"}'),
        (b"2.5", b'{"shop": 2.5}'),
        (b"(none)", b"nonsense"),
        (b"(none)", b"[1]"),
        (b"(none)", b"\xff"),
    ]


def test_the_key_is_the_first_slicing_or_what_is_asked_for_or_none(tmp_path: Path) -> None:
    text = '{"at": 1, "shop": "a", "x": 2}\n'
    assert [key for key, _ in rows(tmp_path / "e.jsonl", text)] == [b"a"]
    assert [key for key, _ in rows(tmp_path / "e.jsonl", text, key=["x", "shop"])] == [b"2|a"]
    assert [key for key, _ in rows(tmp_path / "e.jsonl", text, slicings=[[]])] == [None]


def test_rows_that_come_twice_meet_in_one_partition_where_nothing_but_the_id_can_be_their_key(tmp_path: Path) -> None:
    """They were dealt out in turn: of 5,760 events that came twice none was a duplicate."""
    text = '{"id": 7, "x": 2}\n{"id": 7.0, "x": 2}\n{"x": 2}\n{"id": null}\n{"id": ""}\n'
    read = rows(tmp_path / "e.jsonl", text, slicings=[[]], id_field="id")
    assert [key for key, _ in read] == [b"7", b"7", None, None, None]
    assert next(key for key, _ in rows(tmp_path / "e.jsonl", text, id_field="id", key=["x"])) == b"2"


def test_the_time_of_each_row_or_none_where_it_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("at,x\n1970-01-01T00:00:01Z,1\nsoon,2\n")
    assert [time_ms for _, _, time_ms in read_timed_rows(path, config())] == [1_000, None]


def test_a_file_that_ends_early_says_how_far_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "e.csv.gz"
    chance = random.Random(1)
    noise = "".join(f"2026-01-01,{chance.getrandbits(63)}\n" for _ in range(3_000))
    path.write_bytes(gzip.compress(f"at,x\n{noise}".encode())[:-2_000])
    read = []
    with pytest.raises(DriftflowError, match=r"e\.csv\.gz ends early \(.*\): the [\d,]+ rows before were used"):
        read += read_rows(path, config())
    path = tmp_path / "missing.csv"
    with pytest.raises(DriftflowError, match=r"missing\.csv cannot be read, No such file"):
        list(read_rows(path, config()))


def test_what_was_dropped_is_a_line_each_in_a_pipe() -> None:
    """Columns of eighty letters broke an example over six lines, and whoever reads them by program could not."""
    report, text = Report(rows=10), StringIO()
    report.dropped.add("bad_time", "ts", "offset 7: " + "x" * 300)
    report.tell(Console(file=text, width=80))
    assert text.getvalue().splitlines() == [
        "dropped  rows  share  the first of them",
        f"bad_time (ts)  1  10.00%  offset 7: {'x' * 300}",
    ]
