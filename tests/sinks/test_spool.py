"""The spool keeps every point until the sink has it, whatever happens in between."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream_app.errors import SinkError
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


def test_what_is_set_aside_is_bounded_too_and_the_oldest_goes_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", 3)
    for n in range(5):
        spool.append([point(n)])
        spool.set_aside(spool.read(1)[0][0], f"reason {n}")
    assert [reason for _, reason in spool.aside()] == ["reason 2", "reason 3", "reason 4"]
    assert (spool.forgotten, spool.dropped) == (2, 0)
    spool.close()


def test_what_is_set_aside_goes_back_to_the_end_of_the_queue(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", 100)
    spool.append([point(n) for n in range(4)])
    for number, _ in spool.read(2):
        spool.set_aside(number, "a bad point")
    assert spool.put_back() == 2
    assert [p for _, p in spool.read(9)] == [point(n) for n in (2, 3, 0, 1)]
    assert list(spool.aside()) == []
    assert spool.put_back() == 0
    spool.close()


def test_nothing_is_put_back_where_the_queue_would_lose_points_for_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", 3)
    spool.append([point(0)])
    spool.set_aside(spool.read(1)[0][0], "a bad point")
    spool.append([point(n) for n in range(1, 4)])
    with pytest.raises(SinkError, match="no room for 1 points"):
        spool.put_back()
    assert len(spool) == 3
    assert set_aside(spool.path) == [(point(0), "a bad point")]
    spool.close()


def test_a_point_that_no_file_can_hold_is_set_aside_as_a_text(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite", 100)
    odd = [point(1, x=10**25), point(2, x="\ud800"), point(3, x=10**5000)]
    spool.append([point(0), *odd, point(4)])
    assert [p for _, p in spool.read(9)] == [point(0), point(4)]
    assert [p for p, _ in spool.aside()] == [None] * 3
    assert spool.put_back() == 3
    assert [p for _, p in spool.read(9)] == [point(0), point(4)], "set aside once more"
    assert len(list(spool.aside())) == 3
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
def test_kill_9_loses_no_point_that_was_acknowledged(tmp_path: Path, seed: int) -> None:
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
