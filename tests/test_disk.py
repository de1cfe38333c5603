"""Durable files: whole lines, whole files, and a sentence where a line is damaged."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from stream_app import disk
from stream_app.disk import append_durably, check_writable, read_lines, write_durably, writing
from stream_app.errors import DriftflowError


class Line(msgspec.Struct, frozen=True):
    n: int


LINES = msgspec.json.Decoder(Line)


def test_lines_come_back_in_order_and_a_missing_file_has_none(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_lines(path, LINES, "") == []
    for n in range(3):
        append_durably(path, msgspec.json.encode(Line(n)) + b"\n")
    assert read_lines(path, LINES, "") == [Line(0), Line(1), Line(2)]


@pytest.mark.parametrize("cut", [1, 4])
def test_a_last_line_cut_short_is_left_out_and_does_not_spoil_the_next(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n":1}\n' + b'{"n":2}\n'[:-cut])
    assert read_lines(path, LINES, "") == [Line(1)]
    append_durably(path, b'{"n":3}\n')
    assert read_lines(path, LINES, "") == [Line(1), Line(3)]


@pytest.mark.parametrize("bad", [b"{}", b"nope", b'{"n": "x"}', b"\xff"])
def test_a_damaged_line_is_named_with_its_number_and_the_remedy(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n":1}\n' + bad + b'\n{"n":3}\n')
    with pytest.raises(DriftflowError, match=r"log\.jsonl, line 2 is damaged .*: restore it"):
        read_lines(path, LINES, "restore it")


def test_a_log_that_is_a_folder_or_nested_without_end_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(DriftflowError, match=f"{tmp_path} cannot be read, is a directory: restore it"):
        read_lines(tmp_path, LINES, "restore it")
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"m":' + b"[" * 100_000 + b"\n")
    with pytest.raises(DriftflowError, match=r"log\.jsonl, line 1 is damaged"):
        read_lines(path, LINES, "restore it")


def test_a_file_is_replaced_as_a_whole_and_synced_before_its_name_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, steps = tmp_path / "state", list[str]()
    monkeypatch.setattr(disk.os, "fsync", lambda _: steps.append("fsync"))
    rename = disk.os.replace
    monkeypatch.setattr(disk.os, "replace", lambda a, b: (steps.append("replace"), rename(a, b)))
    write_durably(path, b"one")
    assert steps == ["fsync", "replace", "fsync"]
    write_durably(path, b"two")
    assert path.read_bytes() == b"two"
    assert [other.name for other in tmp_path.iterdir()] == ["state"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    write_durably(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert [other.name for other in tmp_path.iterdir()] == ["state"]


def test_a_place_that_cannot_be_written_is_refused_before_and_explained_after(tmp_path: Path) -> None:
    with pytest.raises(DriftflowError, match="there is no folder"):
        check_writable(tmp_path / "nowhere" / "report.html")
    with pytest.raises(DriftflowError, match="it is a folder"):
        check_writable(tmp_path)
    with pytest.raises(DriftflowError, match="cannot be written, no such file or directory"), writing(tmp_path / "x"):
        (tmp_path / "nowhere" / "x").write_bytes(b"")
