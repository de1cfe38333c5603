"""A spool's file that is full, locked, damaged, empty or forbidden: a sentence, and nothing that was there is lost."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream_app.errors import SinkError
from stream_app.sinks.spool import Spool
from stream_app.sinks.sqlite import SQLiteSink
from tests.sinks.making import point

Opened = Callable[[Path], object]
OPENERS = pytest.mark.parametrize("opener", [lambda path: Spool(path, 100), SQLiteSink], ids=["spool", "store"])


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "s.sqlite", 10_000)
    yield spool
    spool.close()


def test_a_full_disk_leaves_the_queue_as_it_was(spool: Spool) -> None:
    spool.append([point(n) for n in range(50)])
    pages = spool._db.execute("PRAGMA page_count").fetchone()[0]
    spool._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(SinkError, match=r"s\.sqlite cannot be written: .*full; make room on its disk"):
        spool.append([point(n) for n in range(50, 5_000)])
    assert [p for _, p in spool.read(9_999)] == [point(n) for n in range(50)]
    spool._db.execute("PRAGMA max_page_count = 100000")
    spool.append([point(50)])
    assert len(spool) == 51


def set_all_aside(spool: Spool) -> None:
    for number, _ in spool.read(200):
        spool.set_aside(number, "x" * 2_000)


def test_a_full_disk_sets_nothing_aside_half_way(spool: Spool) -> None:
    spool.append([point(n, x="x" * 500) for n in range(200)])
    pages = spool._db.execute("PRAGMA page_count").fetchone()[0]
    spool._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(SinkError, match="make room"):
        set_all_aside(spool)
    assert len(spool.read(999)) + len(list(spool.aside())) == 200


def test_a_locked_file_is_a_sentence_and_the_queue_goes_on_after_it(spool: Spool) -> None:
    spool._db.execute("PRAGMA busy_timeout = 50")
    stranger = sqlite3.connect(spool.path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(SinkError, match="another program has locked it"):
        spool.append([point(0)])
    with pytest.raises(SinkError, match="another program has locked it"):
        spool.put_back()
    stranger.execute("ROLLBACK")
    stranger.close()
    spool.append([point(1)])
    assert [p for _, p in spool.read(9)] == [point(1)]


def test_a_closed_spool_is_a_sentence(spool: Spool) -> None:
    spool.close()
    for call in (lambda: spool.append([point(0)]), lambda: spool.read(1), lambda: len(spool), lambda: spool.dropped):
        with pytest.raises(SinkError, match="closed"):
            call()


@OPENERS
def test_a_file_locked_for_good_cannot_be_opened(
    tmp_path: Path, opener: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener(tmp_path / "f.sqlite").close()  # type: ignore[attr-defined]
    monkeypatch.setattr("stream_app.sinks.files.BUSY_S", 0.05)
    stranger = sqlite3.connect(tmp_path / "f.sqlite", isolation_level=None)
    stranger.execute("PRAGMA locking_mode = EXCLUSIVE")
    stranger.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SinkError, match=r"f\.sqlite cannot be opened .*another program has locked it"):
        opener(tmp_path / "f.sqlite")
    stranger.close()


@OPENERS
def test_an_empty_file_is_not_taken_for_a_new_one(tmp_path: Path, opener: Opened) -> None:
    (tmp_path / "f.sqlite").touch()
    with pytest.raises(SinkError, match=r"f\.sqlite is empty \(0 bytes\).*remove it"):
        opener(tmp_path / "f.sqlite")


@OPENERS
def test_a_file_that_is_no_database_says_what_to_do(tmp_path: Path, opener: Opened) -> None:
    (tmp_path / "f.sqlite").write_bytes(b"no database" * 999)
    with pytest.raises(SinkError, match=r"not a database; move that file away"):
        opener(tmp_path / "f.sqlite")


@OPENERS
def test_damage_that_sqlite_cannot_put_into_words_says_what_to_do(tmp_path: Path, opener: Opened) -> None:
    """It would name the table, whose name is no text."""
    path = tmp_path / "f.sqlite"
    opener(path).close()  # type: ignore[attr-defined]
    path.write_bytes(
        path.read_bytes()
        .replace(b"tablepointspoints", b"table\xb1\xb1\xb1\xb1\xb1\xb1points")
        .replace(b"CREATE", b"\xb1\xb1EATE")
    )
    with pytest.raises(SinkError, match=r"f\.sqlite cannot be .*malformed.* move that file away"):
        opener(path)


@OPENERS
def test_a_folder_in_its_place_is_a_sentence(tmp_path: Path, opener: Opened) -> None:
    (tmp_path / "f.sqlite").mkdir()
    with pytest.raises(SinkError, match=r"f\.sqlite cannot be opened"):
        opener(tmp_path / "f.sqlite")


@OPENERS
def test_a_folder_that_takes_no_files_is_a_sentence(tmp_path: Path, opener: Opened) -> None:
    with pytest.raises(SinkError, match=r"f\.sqlite cannot be opened .*let driftflow write there"):
        opener(Path("/proc/self/f.sqlite"))


def test_bytes_overwritten_anywhere_are_a_sentence_or_do_no_harm(tmp_path: Path, seed: int) -> None:
    overwrite(tmp_path, seed)


def test_a_column_that_is_not_null_may_read_as_null(tmp_path: Path) -> None:
    overwrite(tmp_path, 906_816)


def overwrite(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    first = Spool(tmp_path / "s.sqlite", 10_000)
    first.append([point(n) for n in range(500)])
    first.close()
    whole, errors = first.path.read_bytes(), list[str]()
    for _ in range(60):
        blob, size = bytearray(whole), chance.choice((1, 8, 4_096))
        start = chance.randrange(len(blob))
        blob[start : start + size] = chance.randbytes(size)
        first.path.write_bytes(blob)
        try:
            use(first.path)
        except SinkError as error:
            errors.append(str(error))
    assert errors, f"seed {seed}: nothing was damaged"
    assert all("s.sqlite" in error for error in errors), f"seed {seed}"


def use(path: Path) -> None:
    """Everything that a worker and a command do with a spool."""
    spool = Spool(path, 10_000)
    try:
        for number, _ in spool.read(300):
            spool.set_aside(number, "a bad point") if number % 50 == 0 else spool.drop([number])
        spool.append([point(n) for n in range(50)])
        list(spool.aside())
        spool.put_back()
    finally:
        spool.close()


def test_many_that_start_at_once_share_one_file(tmp_path: Path) -> None:
    import threading

    start, opened = threading.Barrier(8), list[Spool]()

    def run() -> None:
        start.wait()
        spool = Spool(tmp_path / "s.sqlite", 100)
        spool.append([point(0)])
        opened.append(spool)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(spool) for spool in opened] == [8] * 8
    for spool in opened:
        spool.close()
    assert {path.name for path in tmp_path.iterdir()} == {"s.sqlite"}
