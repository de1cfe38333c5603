"""The spool keeps every point until the sink has it, whatever happens in between."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream_app.sinks.drainer import Drainer
from stream_app.sinks.spool import Spool
from stream_app.sinks.sqlite import SQLiteSink
from tests.sinks.making import point, set_aside


def test_points_wait_until_they_are_dropped(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", 100)
    spool.append([point(n) for n in range(5)])
    first = spool.read(2)
    assert [p for _, p in first] == [point(0), point(1)]
    assert spool.read(2) == first
    spool.drop([number for number, _ in first])
    assert [p for _, p in spool.read(9)] == [point(2), point(3), point(4)]
    spool.close()
    again = Spool(tmp_path / "s.sqlite", 100)
    assert len(again) == 3
    again.close()


def test_over_its_bound_the_oldest_go_and_are_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", 10)
    spool.append([point(n) for n in range(8)])
    spool.append([point(n) for n in range(8, 14)])
    assert len(spool) == 10
    assert spool.dropped == 4
    assert [p.time_ms for _, p in spool.read(99)] == [point(n).time_ms for n in range(4, 14)]
    spool.close()


def test_a_point_set_aside_stays_in_the_file_with_its_reason(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", 100)
    spool.append([point(n) for n in range(3)])
    (_, _), (number, refused), (_, _) = spool.read(3)
    spool.set_aside(number, "a bad point")
    assert [p for _, p in spool.read(9)] == [point(0), point(2)]
    spool.close()
    assert set_aside(tmp_path / "s.sqlite") == [(refused, "a bad point")]


def test_an_append_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", 100)
    spool._db.execute(
        "CREATE TRIGGER full BEFORE INSERT ON queue WHEN (SELECT count(*) FROM queue) = 2 "
        "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    with pytest.raises(sqlite3.IntegrityError, match="disk full"):
        spool.append([point(n) for n in range(3)])
    assert len(spool) == 0
    spool.append([point(0)])
    assert len(spool) == 1
    spool.close()


_APPENDER = """
import sys
from pathlib import Path
from stream_app.sinks.drainer import Drainer
from stream_app.sinks.spool import Spool
from stream_app.sinks.sqlite import SQLiteSink
from tests.sinks.making import point
folder = Path(sys.argv[1])
spool = Spool(folder / "spool.sqlite", 10**6)
drainer = Drainer(spool, SQLiteSink(folder / "store.sqlite"))
drainer.start()
done = folder / "done"
n = int(done.read_text()) if done.exists() else 0
while True:
    spool.append([point(i) for i in range(n, n + 50)])
    n += 50
    with open(folder / "done.new", "w") as out:
        out.write(str(n))
    (folder / "done.new").rename(done)
"""


@pytest.mark.timeout(90)
def test_kill_9_loses_no_point_that_was_acknowledged(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    chance = random.Random(seed)
    done = tmp_path / "done"
    for _ in range(3):
        before = int(done.read_text()) if done.exists() else 0
        child = subprocess.Popen([sys.executable, "-c", _APPENDER, str(tmp_path)], cwd=os.getcwd())
        while child.poll() is None and (int(done.read_text()) if done.exists() else 0) <= before + 100:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.3)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    acknowledged = int(done.read_text())
    spool, sink = Spool(tmp_path / "spool.sqlite", 10**6), SQLiteSink(tmp_path / "store.sqlite")
    drainer = Drainer(spool, sink)
    drainer.start()
    assert drainer.drain(30)
    rows = sink._db.execute("SELECT time_ms FROM points ORDER BY time_ms").fetchall()
    drainer.stop()
    spool.close()
    times = [row[0] for row in rows]
    assert times[:acknowledged] == [point(n).time_ms for n in range(acknowledged)], f"seed {seed}"
    assert len(times) == len(set(times))
