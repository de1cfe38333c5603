"""The audit log: nothing in it can be edited, deleted, moved or cut unseen, whoever was killed while writing."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from stream_app.errors import DriftflowError
from stream_app.models.audit import AuditLog
from tests.models.streams import config_in


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    made = AuditLog(config_in(tmp_path))
    for i in range(6):
        made.append("request", f"r{i}", {"reason": "drift", "number": i})
    return made


def lines_of(log: AuditLog) -> list[bytes]:
    return log.path.read_bytes().splitlines(keepends=True)


def test_a_whole_log_has_no_fault_and_says_each_thing_once(log: AuditLog) -> None:
    head = log.head
    assert log.append("request", "r2", {"another": "content"}).body == {"reason": "drift", "number": 2}
    assert (len(log.entries()), log.head, log.faults([head])) == (6, head, [])


@pytest.mark.parametrize("number", range(6))
def test_an_edited_line_is_found(log: AuditLog, number: int) -> None:
    lines = lines_of(log)
    lines[number] = lines[number].replace(b'"drift"', b'"other"')
    log.path.write_bytes(b"".join(lines))
    assert f"line {number + 1} (request r{number}" in log.faults()[0]


def test_an_edited_line_with_a_new_hash_is_found(log: AuditLog) -> None:
    lines = lines_of(log)
    entry = msgspec.structs.replace(log.entries()[2], body={"reason": "none"}).sealed()
    lines[2] = msgspec.json.encode(entry) + b"\n"
    log.path.write_bytes(b"".join(lines))
    assert ["line 4" in fault for fault in log.faults()] == [True]


@pytest.mark.parametrize("number", range(5))
def test_a_deleted_line_is_found(log: AuditLog, number: int) -> None:
    lines = lines_of(log)
    del lines[number]
    log.path.write_bytes(b"".join(lines))
    assert log.faults()


def test_lines_that_change_places_and_a_line_put_in_are_found(log: AuditLog) -> None:
    lines = lines_of(log)
    log.path.write_bytes(b"".join([*lines[:2], lines[3], lines[2], *lines[4:]]))
    assert log.faults()
    log.path.write_bytes(b"".join([*lines[:3], lines[1], *lines[3:]]))
    assert log.faults()


def test_a_cut_log_and_one_made_anew_lack_the_heads_that_were_signed(log: AuditLog) -> None:
    heads, lines = [entry.hash for entry in log.entries()], lines_of(log)
    log.path.write_bytes(b"".join(lines[:-2]))
    assert len(log.faults(heads)) == 2
    log.path.unlink()
    for i in range(6):
        log.append("request", f"r{i}", {"reason": "nice"})
    assert log.faults() == []
    assert len(log.faults(heads)) == 6


def test_a_line_that_a_crash_cut_short_is_written_again(log: AuditLog) -> None:
    log.path.write_bytes(log.path.read_bytes()[:-9])
    assert len(log.entries()) == 5
    log.append("request", "r5", {"reason": "drift", "number": 5})
    assert (len(log.entries()), log.faults()) == (6, [])


@pytest.mark.parametrize("left", [b"", b'{"n":1,"prev":"0'], ids=["empty", "torn"])
def test_a_file_without_a_whole_line_is_no_new_log(log: AuditLog, left: bytes) -> None:
    """A new one appears with its first line in it."""
    head = log.head
    log.path.write_bytes(left)
    for attempt in (log.entries, lambda: log.append("request", "r9", {}), lambda: log.begin([])):
        with pytest.raises(DriftflowError, match=r"s\.audit\.jsonl is empty or cut short .* or move it away"):
            attempt()
    assert log.path.read_bytes() == left
    found = log.faults([head])
    assert found[0] == "s.audit.jsonl is empty or cut short within its first line"
    assert "the log was cut or made anew" in found[1]


def test_a_log_that_lacks_what_notices_name_is_left_alone(log: AuditLog) -> None:
    heads, lines = [entry.hash for entry in log.entries()], lines_of(log)
    assert log.begin(["", *heads]) == 0
    log.path.write_bytes(b"".join(lines[:-2]))
    with pytest.raises(DriftflowError, match=f"lacks 2 lines that signed notices name, such as {heads[-1][:12]}"):
        log.begin(heads)
    assert log.path.read_bytes() == b"".join(lines[:-2])


def test_where_the_log_is_gone_another_begins_and_says_so_for_good(log: AuditLog) -> None:
    heads = [entry.hash for entry in log.entries()]
    log.path.unlink()
    assert log.begin(heads) == 6
    log.append("request", "r6", {})
    assert log.begin(heads) == 0, "it is said once"
    assert [(line.n, line.event) for line in log.entries()] == [(1, "log lost"), (2, "request")]
    (fault,) = log.faults(heads)
    assert "line 1 says that the log before it was lost: what 6 notices name of it is gone" in fault
    with pytest.raises(DriftflowError, match="lacks 1 lines"):
        log.begin([*heads, "f" * 64])


def test_a_stream_that_begins_has_no_log_and_misses_none(tmp_path: Path) -> None:
    log = AuditLog(config_in(tmp_path))
    assert log.begin([]) == log.begin([""]) == 0
    assert (log.path.exists(), log.entries(), log.faults()) == (False, [], [])


def test_nothing_is_added_to_a_damaged_log(log: AuditLog) -> None:
    log.path.write_bytes(b"garbage\n" + log.path.read_bytes())
    with pytest.raises(DriftflowError, match="line 1 is damaged"):
        log.append("request", "r9", {})
    assert "line 1 is no line of an audit log" in log.faults()[0]


def test_writers_that_append_at_once_leave_one_chain(log: AuditLog, tmp_path: Path) -> None:
    def write(name: str) -> None:
        own = AuditLog(config_in(tmp_path))
        for i in range(20):
            own.append("training", f"{name}-{i}", {})

    writers = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (len(log.entries()), log.faults()) == (46, [])
