"""Values in a spool's file that it never wrote, of any type: no row is in the way of others, and no count kills."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stream_app.errors import SinkError
from stream_app.sinks.drainer import Drainer
from stream_app.sinks.spool import Spool, part_of
from stream_app.stages.point_blocks import WindowBlock
from tests.sinks.making import RecordingSink, point
from tests.stages.test_point_blocks import windows

ODD = [None, "", "abc", "x\0y", b"", b"\xc1", b"\xff" * 50, -1, 0, 2, 900, 2.5, 1e300, 10**18, 2**63 - 1, -(2**63)]


@contextmanager
def free(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a spool's file for which no column has a type or must not be NULL."""
    link = sqlite3.connect(path, isolation_level=None)
    found = dict(link.execute("SELECT name, sql FROM sqlite_master"))
    anything = {
        "queue": "CREATE TABLE queue (id INTEGER PRIMARY KEY AUTOINCREMENT, point, points)",
        "set_aside": "CREATE TABLE set_aside (id INTEGER PRIMARY KEY AUTOINCREMENT, point, reason)",
        "lost": "CREATE TABLE lost (queue, set_aside)",
    }
    _declare(link, anything)
    link.close()
    link = sqlite3.connect(path, isolation_level=None)
    yield link
    _declare(link, {name: found[name] for name in anything})
    link.close()


def _declare(link: sqlite3.Connection, tables: dict[str, str]) -> None:
    link.execute("PRAGMA writable_schema = ON")
    for name, sql in tables.items():
        link.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql, name))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A point, a block of four points and a point; two points are set aside."""
    spool = Spool(tmp_path / "s.sqlite", 1_000)
    spool.append([point(0), point(1)])
    for number in (1, 2):
        spool.set_aside(number, "a bad point")
    spool.append([point(2), *WindowBlock.of("s", windows(2, 1)), point(3)])
    spool.close()
    return spool.path


def emptied(path: Path) -> tuple[int, int]:
    """How many points a drainer takes out of a spool, and how many are set aside then."""
    spool, sink = Spool(path, 1_000), RecordingSink()
    drainer = Drainer(spool, sink)
    drainer.start()
    try:
        assert drainer.drain(20), drainer.state
        assert len(spool) == 0
        assert len(list(spool.aside())) == spool.kept_aside
        return len(sink.taken), spool.kept_aside
    finally:
        drainer.stop()
        spool.close()


@pytest.mark.parametrize("row", [3, 7], ids=["a point", "a block"])
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_bytes_that_are_none_are_set_aside(path: Path, row: int, value: Any) -> None:
    with free(path) as link:
        link.execute("UPDATE queue SET point = ? WHERE id = ?", (value, row))
    assert emptied(path) == (5 if row == 3 else 2, 3)


@pytest.mark.parametrize("row", [3, 7], ids=["a point", "a block"])
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_a_number_of_points_that_cannot_be_is_set_aside(path: Path, row: int, value: Any) -> None:
    with free(path) as link:
        link.execute("UPDATE queue SET points = ? WHERE id = ?", (value, row))
    assert emptied(path) == (5 if row == 3 else 2, 3)


@pytest.mark.parametrize("column", ["point", "points"])
def test_many_rows_that_are_none_are_read_a_few_at_a_time_and_end(tmp_path: Path, column: str) -> None:
    spool = Spool(tmp_path / "s.sqlite", 1_000)
    spool.append([point(n) for n in range(60)])
    with free(spool.path) as link:
        link.execute(f"UPDATE queue SET {column} = NULL WHERE id < 60")
    assert [number for number, _ in spool.read(7)] == [60]
    assert (spool.kept_aside, len(spool.read(7, after=60))) == (59, 0)
    spool.close()


@pytest.mark.parametrize("value", [-1, 0, 2, -(2**62)])
def test_a_block_whose_id_cannot_be_is_set_aside(path: Path, value: int) -> None:
    with free(path) as link:
        link.execute("UPDATE queue SET id = ? WHERE points > 1", (value,))
    assert emptied(path) == (2, 3)


@pytest.mark.parametrize("value", [1_000_000, 10**18, 2**63 - 2])
def test_an_id_beyond_all_costs_no_point(path: Path, value: int) -> None:
    with free(path) as link:
        link.execute("UPDATE queue SET id = ? WHERE id = 3", (value,))
    spool = Spool(path, 100)
    spool.append([point(4)])
    assert (spool.dropped, len(spool.read(99)), spool.read(9, after=2**63)) == (0, 7, [])
    spool.close()
    assert emptied(path) == (7, 2)


def test_ids_given_out_that_make_no_sense_cost_no_point(path: Path) -> None:
    with free(path) as link:
        link.execute("UPDATE sqlite_sequence SET seq = 1000000 WHERE name = 'queue'")
    spool = Spool(path, 100)
    spool.append([point(4)])
    assert (spool.dropped, len(spool.read(99))) == (0, 7)
    spool.close()


def test_a_smaller_bound_is_still_kept_to(path: Path) -> None:
    spool = Spool(path, 2)
    spool.append([point(4)])
    assert (spool.dropped, len(spool.read(99))) == (5, 2)
    spool.close()


@pytest.mark.parametrize("value", ["abc", b"", 1e300, 2**63 - 1, -1])
def test_a_last_id_that_is_none_is_a_sentence(path: Path, value: Any) -> None:
    with free(path) as link:
        link.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'queue'", (value,))
    spool = Spool(path, 100)
    with pytest.raises(SinkError, match=r"s\.sqlite cannot be written: the last id .*move that file away"):
        spool.append([point(4)])
    spool.close()


def test_a_last_id_that_is_too_small_is_a_sentence(path: Path) -> None:
    with free(path) as link:
        link.execute("UPDATE sqlite_sequence SET seq = 2 WHERE name = 'queue'")
    spool = Spool(path, 100)
    with pytest.raises(SinkError, match=r"s\.sqlite cannot be written: UNIQUE .*move that file away"):
        spool.append([point(4)])
    spool.close()


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_what_was_lost_is_a_number_whatever_is_there(path: Path, value: Any) -> None:
    with free(path) as link:
        link.execute("UPDATE lost SET queue = ?, set_aside = ?", (value, value))
    spool = Spool(path, 6)
    assert spool.dropped == spool.forgotten == (value if isinstance(value, int) and value > 0 else 0)
    spool.append([point(4)])
    assert isinstance(spool.dropped, int)
    spool.close()


def test_a_table_of_what_was_lost_may_be_empty(path: Path) -> None:
    with free(path) as link:
        link.execute("DELETE FROM lost")
    spool = Spool(path, 6)
    assert (spool.dropped, spool.forgotten) == (0, 0)
    spool.close()


@pytest.mark.parametrize("column", ["point", "reason"])
@pytest.mark.parametrize("value", [*ODD, "CAST"], ids=repr)
def test_what_is_set_aside_is_listed_and_put_back_whatever_is_there(path: Path, column: str, value: Any) -> None:
    with free(path) as link:
        link.execute(f"UPDATE set_aside SET {column} = ? WHERE id = 1", (value,))
        if value == "CAST":  # a text that is no UTF-8
            link.execute(f"UPDATE set_aside SET {column} = CAST(x'ff80' AS TEXT) WHERE id = 1")
    spool = Spool(path, 100)
    found = list(spool.aside())
    assert all(isinstance(reason, str) for _, reason in found)
    assert [one for one, _ in found] == [None if column == "point" else point(0), point(1)]
    assert spool.put_back() == 2
    spool.close()
    assert emptied(path) == ((7, 1) if column == "point" else (8, 0))


def test_a_part_of_a_block_that_cannot_be_unfolded_goes_nowhere(path: Path) -> None:
    """Its points were read before the file was damaged."""
    spool = Spool(path, 100)
    ids = [number for number, _ in spool.read(99)]
    with free(path) as link:
        link.execute("UPDATE queue SET point = substr(point, 1, 40) WHERE points > 1")
    spool.drop(ids[:3])
    assert [number for number, _ in spool.read(99)] == ids[-1:]
    spool.close()


def out_of_order(path: Path) -> None:
    """Let two rows of a page change places, as no SQLite writes them."""
    blob = bytearray(path.read_bytes())
    start = next(
        page
        for page in range(4_096, len(blob), 4_096)
        if blob[page] == 0x0D and int.from_bytes(blob[page + 3 : page + 5], "big") == 3
    )
    blob[start + 8 : start + 12] = blob[start + 10 : start + 12] + blob[start + 8 : start + 10]
    path.write_bytes(blob)


@pytest.mark.timeout(30)
def test_rows_that_are_not_in_order_are_a_sentence_and_no_loop(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", 100)
    spool.append([point(n) for n in range(3)])
    spool.close()
    out_of_order(spool.path)
    spool = Spool(spool.path, 100)
    with pytest.raises(SinkError, match=r"s\.sqlite cannot be .*; move that file away"):
        empty(spool)
    spool.close()


def empty(spool: Spool) -> None:
    for _ in range(9):
        spool.drop([number for number, _ in spool.read(1)])


def test_bytes_of_no_kind_are_nothing() -> None:
    packed = next(iter(WindowBlock.of("s", windows(2, 1)))).packed()
    for blob in (b"", b"\xc1", b"\xc1" + packed[:50], b"\xc1" + packed + b"x", b"\x05", b"\x9f" * 5_000):
        assert part_of(blob) is None
