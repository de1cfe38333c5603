"""``driftflow sink list`` and ``retry``: what was set aside is seen, goes back as a whole, and is sent again."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stream_app.cli import main
from stream_app.sinks.aside import REASONS_MAX
from stream_app.sinks.drainer import Drainer
from stream_app.sinks.spool import Spool
from tests.sinks.making import RecordingSink, point

CONFIG = """
stream = "s"
[topics]
events = "s.events"
[event]
time_field = "at"
numeric = ["x"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "driftflow.toml").write_text(CONFIG)
    return tmp_path


def command(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["sink", *words, "-c", str(folder / "driftflow.toml")])


def fill(folder: Path, n: int, reason: str = "a bad point") -> Spool:
    spool = Spool(folder / "spool.sqlite", 10_000)
    spool.append([point(i) for i in range(n)])
    for number, _ in spool.read(n):
        spool.set_aside(number, reason)
    return spool


def test_the_list_says_how_many_of_what_why_and_from_when(folder: Path) -> None:
    spool = fill(folder, 3)
    spool.append([point(9)])
    spool._db.execute("INSERT INTO set_aside (point, reason) VALUES (?, ?)", (b"\xc1", "the spool cannot decode it"))
    spool.close()
    run = command(folder, "list", "--json")
    assert run.exit_code == 0
    assert json.loads(run.output) == {
        "count": 4,
        "given_up": 0,
        "reasons": {"a bad point": 3, "the spool cannot decode it": 1},
        "measurements": {
            "(damaged)": {"count": 1, "oldest_ms": None, "newest_ms": None},
            "windows": {"count": 3, "oldest_ms": point(0).time_ms, "newest_ms": point(2).time_ms},
        },
    }
    text = command(folder, "list")
    assert text.exit_code == 0
    assert "4 points are set aside" in text.output
    assert "2023-11-14 22:13 to 2023-11-14 22:13" in text.output


def test_reasons_that_name_each_point_do_not_make_a_list_without_an_end(folder: Path) -> None:
    spool = Spool(folder / "spool.sqlite", 10_000)
    spool.append([point(i) for i in range(50)])
    for number, _ in spool.read(50):
        spool.set_aside(number, f"cannot parse line {number}")
    spool.close()
    reasons = json.loads(command(folder, "list", "--json").output)["reasons"]
    assert len(reasons) == REASONS_MAX + 1
    assert reasons["other reasons"] == 50 - REASONS_MAX


def test_what_is_put_back_is_sent_and_what_is_refused_again_comes_back(folder: Path) -> None:
    spool = fill(folder, 20)
    spool.append([point(100)])
    run = command(folder, "retry")
    assert (run.exit_code, run.output.startswith("20 points are put back")) == (0, True)
    assert [p for _, p in spool.read(99)] == [point(100), *(point(i) for i in range(20))]
    assert json.loads(command(folder, "list", "--json").output)["count"] == 0
    sink = RecordingSink(lambda p: dict(p.fields)["x"] == 7)
    drainer = Drainer(spool, sink)
    drainer.start()
    assert drainer.drain(20)
    drainer.stop()
    spool.close()
    assert len(sink.taken) == 20
    assert json.loads(command(folder, "list", "--json").output)["reasons"] == {"a bad point": 1}
    assert command(folder, "retry").output.startswith("1 points")


def test_a_worker_may_use_the_spool_meanwhile(folder: Path) -> None:
    spool, sink = fill(folder, 300), RecordingSink()
    drainer, ended = Drainer(spool, sink), threading.Event()

    def append() -> None:
        for n in range(1_000, 1_300):
            spool.append([point(n)])
        ended.set()

    writer = threading.Thread(target=append)
    drainer.start()
    writer.start()
    counts = []
    while not ended.is_set() or not counts:
        run = command(folder, "retry")
        assert run.exit_code == 0, run.output
        counts.append(int(run.output.split()[0]))
    writer.join()
    assert drainer.drain(20)
    drainer.stop()
    spool.close()
    assert sum(counts) == 300
    assert len(sink.taken) == 600


@pytest.mark.parametrize("word", ["list", "retry"])
def test_without_a_spool_and_with_a_damaged_one_there_is_a_sentence(folder: Path, word: str) -> None:
    path = folder / "spool.sqlite"
    run = command(folder, word)
    assert (run.exit_code, "spool.sqlite does not exist" in run.output) == (1, True)
    assert not path.exists()
    path.write_bytes(b"")
    run = command(folder, word)
    assert (run.exit_code, "spool.sqlite is empty" in run.output) == (1, True)
    path.write_bytes(b"no database" * 999)
    run = command(folder, word)
    assert (run.exit_code, "move that file away" in run.output) == (1, True)


def test_a_retry_that_would_cost_points_of_the_queue_is_refused(folder: Path) -> None:
    (folder / "driftflow.toml").write_text(CONFIG + "[sink]\nspool_max_points = 5\n")
    spool = fill(folder, 3)
    spool.append([point(n) for n in range(10, 13)])
    run = command(folder, "retry")
    assert (run.exit_code, "no room for 3 points" in run.output) == (1, True)
    assert len(list(spool.aside())) == 3
    assert len(spool) == 3
    spool.close()
