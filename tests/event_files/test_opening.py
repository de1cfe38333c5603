"""What a file is follows from its bytes: names, packing and encodings that mislead."""

from __future__ import annotations

import gzip
import json
import os
import random
import threading
from pathlib import Path

import pytest

from stream_app.errors import DriftflowError
from stream_app.event_files import Report, read_rows
from tests.event_files.files import ROWS, config, read, said, write

CSV = "at,shop,x\n2026-01-01,Zürich,1.5\n2026-01-02,b,\n"
JSON = '{"at":"2026-01-01","shop":"Zürich","x":1.5}\n{"at":"2026-01-02","shop":"b","x":null}\n'
EVENTS = [{"at": "2026-01-01", "shop": "Zürich", "x": 1.5}, {"at": "2026-01-02", "shop": "b", "x": None}]


@pytest.mark.parametrize("name", ["E.CSV", "e.Csv", "e.txt", "e", "standard-input", "e.csv.gz", "E.CSV.GZ", "e.jsonl"])
@pytest.mark.parametrize("text", [CSV, JSON], ids=["csv", "json"])
def test_a_name_in_any_case_or_none(tmp_path: Path, name: str, text: str) -> None:
    if (name, text) != ("e.jsonl", CSV):
        assert read(write(tmp_path / name, text))[0] == EVENTS


@pytest.mark.parametrize("text", [CSV, JSON], ids=["csv", "json"])
def test_packed_files_are_known_by_their_bytes(tmp_path: Path, text: str) -> None:
    assert read(write(tmp_path / "e.csv", gzip.compress(text.encode())))[0] == EVENTS
    path = tmp_path / "e.csv.gz"
    path.write_text(text, encoding="utf-8")
    assert read(path)[0] == EVENTS
    path.write_bytes(b"".join(gzip.compress(line.encode()) for line in text.splitlines(keepends=True)))
    assert read(path)[0] == EVENTS


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("text", [CSV, JSON], ids=["csv", "json"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, encoding: str, text: str) -> None:
    mark = "\ufeff" if encoding.endswith(("le", "be")) else ""
    events, report = read(write(tmp_path / "e.csv", (mark + text).encode(encoding)))
    assert (events, report.lost) == (EVENTS, 0)


@pytest.mark.parametrize("text", [CSV, JSON], ids=["csv", "json"])
@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-16-le", r"in UTF-16LE without a byte-order mark: convert it, iconv -f UTF-16LE -t UTF-8"),
        ("utf-16-be", r"in UTF-16BE without a byte-order mark"),
        ("latin-1", r"not in UTF-8 \(line \d: byte 0xFC, latin-1 \(Windows-1252\) by the look of it: convert the file"),
    ],
)
def test_another_encoding_is_one_sentence(tmp_path: Path, encoding: str, words: str, text: str) -> None:
    rows = text.replace("b", "Zürich")
    with pytest.raises(DriftflowError, match=words):
        read(write(tmp_path / "e.csv", rows.encode(encoding)))


def test_an_encoding_of_another_script_is_not_called_latin(tmp_path: Path) -> None:
    with pytest.raises(DriftflowError, match=r"no encoding that its bytes name by the look of it.*iconv -f NAME"):
        read(write(tmp_path / "e.csv", CSV.replace("Zürich", "東京").replace("b", "大阪").encode("shift-jis")))


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"PK\x03\x04...", "a ZIP archive or an Excel sheet"),
        (b"\x28\xb5\x2f\xfd..", "packed with zstd"),
        (b"Obj\x01....", "an Avro file"),
        (bytes(200), "binary data"),
        (gzip.compress(b"PAR1....", mtime=0), "a gzipped Parquet file"),
        (b'[{"at": 1},\n {"at": 2}]\n', "one JSON text, not a line for each event"),
        (b'{\n "at": 1\n}\n', "one JSON text, not a line for each event"),
    ],
)
def test_what_is_no_file_of_events_is_named(tmp_path: Path, blob: bytes, words: str) -> None:
    with pytest.raises(DriftflowError, match=words):
        read(write(tmp_path / "e.csv", blob))


def test_json_without_an_object_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DriftflowError, match="is called JSON, and none of its first lines is an object"):
        read(write(tmp_path / "e.jsonl", CSV))


def test_a_bad_first_line_of_json_is_one_bad_line(tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", f'shop":"cut"}}\n{JSON}')
    first, *others = read_rows(path, config())
    assert (first[1], len(others)) == (b'shop":"cut"}', 2)


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_cut_gz_gives_what_was_there_and_says_so(tmp_path: Path, kind: str) -> None:
    chance = random.Random(1)
    noise = [chance.randbytes(20).hex() for _ in ROWS]
    rows = [f"{row},{noise[i]}" for i, row in enumerate(ROWS)]
    if kind == "json":
        rows = [json.dumps(dict(zip(("at", "shop", "x", "noise"), row.split(","), strict=True))) for row in rows]
    else:
        rows = ["at,shop,x,noise", *rows]
    path = tmp_path / "e.gz"
    path.write_bytes(gzip.compress("\n".join(rows).encode())[:-3_000])
    events, report = read(path)
    assert 200 < len(events) == report.rows < 400
    assert "end-of-stream marker" in report.ends_early
    with pytest.raises(DriftflowError, match=rf"e\.gz ends early .*: the {len(events)} rows before were used, get the"):
        report.check(path, 1.0)
    path.write_bytes(gzip.compress(b"at,x\n")[:12])
    with pytest.raises(DriftflowError, match=r"e\.gz cannot be read, .*: name a whole file of events"):
        read(path)


def test_a_damaged_gz_says_so_too(tmp_path: Path) -> None:
    blob = bytearray(gzip.compress("\n".join(["at,shop,x", *ROWS, ""]).encode()))
    blob[-6] ^= 1  # of the checksum
    events, report = read(write(tmp_path / "e.csv", bytes(blob)))
    assert (len(events), report.ends_early[:9]) == (400, "CRC check")


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(CSV, encoding="utf-8"))
    writer.start()
    assert read(pipe)[0] == EVENTS
    writer.join()


@pytest.mark.parametrize("literal", ["NaN", "-Infinity", "1e999"])
def test_a_body_with_a_literal_of_no_json_keeps_its_key(tmp_path: Path, literal: str) -> None:
    path = write(tmp_path / "e.jsonl", f'{{"shop":"a","x":{literal}}}\n')
    assert [key for key, _ in read_rows(path, config(), Report())] == [b"a"]


@pytest.mark.parametrize("shop", ["7", '"7"', "7.0", "7e0"])
def test_a_key_does_not_depend_on_how_a_value_is_written(tmp_path: Path, shop: str) -> None:
    path = write(tmp_path / "e.jsonl", f'{{"shop":{shop}}}\n{{"deep":{{"shop":{shop}}}}}\n{{"shop":"NA"}}\n')
    assert [key for key, _ in read_rows(path, config())] == [b"7", b"(none)", b"(none)"]
    assert [key for key, _ in read_rows(path, config(slicings=[["deep.shop"]]))] == [b"(none)", b"7", b"(none)"]


def test_lines_of_json_are_counted_blank_ones_too(tmp_path: Path) -> None:
    report = Report()
    numbers = [report.number for _ in read_rows(write(tmp_path / "e.jsonl", f"\n{JSON}\n\n{JSON}"), config(), report)]
    assert (numbers, said(report)) == ([2, 3, 6, 7], [])
