"""Durable files: whole lines, whole files, and a sentence where a line is damaged."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from stream_app import disk
from stream_app.disk import (
    LEFTOVER,
    append_durably,
    check_writable,
    create_durably,
    read_lines,
    remove_old,
    write_durably,
    writing,
)
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


FAULTS = {"full": errno.ENOSPC, "broken": errno.EIO, "read-only": errno.EROFS}


def fail_in(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    """Let a call of the operating system fail, ``write`` half-way through."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    def half(self: io.BufferedWriter, blob: bytes) -> None:
        io.BufferedWriter.write(self, blob[: len(blob) // 2])
        self.flush()
        fail()

    def opened(*args: object, **options: object) -> io.BufferedWriter:
        file = open(*args, **options)  # type: ignore[call-overload]  # noqa: SIM115
        return type("Half", (io.BufferedWriter,), {"write": half})(file.detach())

    if call == "write":
        monkeypatch.setattr(disk, "open", opened, raising=False)
    else:
        monkeypatch.setattr(disk.os, call, fail)


@pytest.mark.parametrize("number", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_file_that_cannot_be_replaced_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, old: bytes | None
) -> None:
    path = tmp_path / "state"
    if old is not None:
        write_durably(path, old)
    with monkeypatch.context() as patch:
        fail_in(patch, call, number)
        with pytest.raises(DriftflowError, match=f"{path} cannot be written, {os.strerror(number).lower()}: mend that"):
            write_durably(path, b"new")
    assert [other.read_bytes() for other in tmp_path.iterdir()] == ([] if old is None else [old])
    write_durably(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("number", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("call", ["open", "write", "fsync"])
@pytest.mark.parametrize("old", [b"", b'{"n":1}\n', b'{"n":1}\n{"n"'])
def test_a_line_that_cannot_be_added_leaves_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, old: bytes
) -> None:
    path = tmp_path / "log.jsonl"
    if old:
        path.write_bytes(old)
    with monkeypatch.context() as patch:
        fail_in(patch, call, number)
        with pytest.raises(DriftflowError, match=f"{path} cannot be written, {os.strerror(number).lower()}: mend that"):
            append_durably(path, b'{"n":2}\n')
    before = [Line(1)] if old else []
    assert read_lines(path, LINES, "") == before
    append_durably(path, b'{"n":3}\n')
    assert read_lines(path, LINES, "") == [*before, Line(3)]
    assert list(tmp_path.iterdir()) == [path]


def test_a_first_line_is_there_as_a_whole_or_not_at_all_without_hard_links_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl"
    assert create_durably(path, b"one\n")
    assert not create_durably(path, b"two\n")
    fail_in(monkeypatch, "link", errno.EPERM)
    assert not create_durably(path, b"two\n")
    assert path.read_bytes() == b"one\n"
    path.unlink()
    assert create_durably(path, b"two\n")
    assert [other.read_bytes() for other in tmp_path.iterdir()] == [b"two\n"]


@pytest.mark.parametrize("blob", [b"", b'{"n"', b"\x00" * 64], ids=["empty", "half a line", "zeros"])
def test_a_log_without_a_whole_line_is_damaged(tmp_path: Path, blob: bytes) -> None:
    """After a power cut a file system may give back a file of the right length, or of none, without its bytes."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(blob)
    with pytest.raises(DriftflowError, match=r"log\.jsonl is empty or cut short within its first line: restore it"):
        read_lines(path, LINES, "restore it")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    state, log, ballast = (small_disk / name for name in ("state", "log.jsonl", "ballast"))
    write_durably(state, b"a" * 10_000)
    append_durably(log, b'{"n":1}\n')
    with suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while file.write(b"x" * 4_096):
            pass
    with pytest.raises(DriftflowError, match=f"{state} cannot be written, no space left on device"):
        write_durably(state, b"b" * 20_000)
    with pytest.raises(DriftflowError, match=f"{log} cannot be written, no space left on device"):
        append_durably(log, b'{"n": 2}' + b" " * 9_000 + b"\n")
    assert state.read_bytes() == b"a" * 10_000
    assert read_lines(log, LINES, "") == [Line(1)]
    assert sorted(small_disk.iterdir()) == [ballast, log, state]
    ballast.unlink()
    write_durably(state, b"b" * 20_000)
    append_durably(log, b'{"n": 2}\n')
    assert (len(state.read_bytes()), read_lines(log, LINES, "")) == (20_000, [Line(1), Line(2)])


def test_a_place_that_cannot_be_written_is_refused_before_and_explained_after(tmp_path: Path) -> None:
    with pytest.raises(DriftflowError, match="there is no folder"):
        check_writable(tmp_path / "nowhere" / "report.html")
    with pytest.raises(DriftflowError, match="it is a folder"):
        check_writable(tmp_path)
    with pytest.raises(DriftflowError, match="cannot be written, no such file or directory"), writing(tmp_path / "x"):
        (tmp_path / "nowhere" / "x").write_bytes(b"")


@pytest.mark.parametrize("umask", [0, 0o077])
def test_rights_that_are_asked_for_do_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_durably(tmp_path / "open", b"", 0o644)
        write_durably(tmp_path / "usual", b"")
        create_durably(tmp_path / "closed", b"", 0o600)
    finally:
        os.umask(before)
    rights = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert rights == {"open": 0o644, "usual": 0o666 & ~umask, "closed": 0o600}


def test_what_a_killed_process_has_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    for name in ("old.1a.new", "young.2b.new", "old.snapshot"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.new").mkdir()
    for name in ("old.1a.new", "old.snapshot", "folder.new"):
        os.utime(tmp_path / name, (1_000, 1_000))
    remove_old(tmp_path, LEFTOVER, 2_000.0)
    remove_old(tmp_path / "nowhere", LEFTOVER, 2_000.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.new", "old.snapshot", "young.2b.new"]
