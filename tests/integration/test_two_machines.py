"""Workers on machines that share no folder: one joins, one is killed, one leaves, and nothing is lost or doubled."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_app.errors import SnapshotError
from stream_app.worker.opening import open_state
from tests.brokers import APACHE, EMBEDDED
from tests.integration.conftest import MakeStream
from tests.integration.stream import Stream, as_lines, lines_of

IN_TOPICS = '\n[state]\nstore = "kafka"\n'

MakeMachines = Callable[[], tuple[Stream, Stream]]


@pytest.fixture
def machines(tmp_path: Path, make_stream: MakeStream, models: Path) -> Iterator[MakeMachines]:
    """One stream on two machines: same broker, topics, group, keys; each with its own folder."""
    made: list[Stream] = []

    def make() -> tuple[Stream, Stream]:
        first = make_stream(extra=IN_TOPICS)
        second = Stream(tmp_path / "other", first.config.kafka.bootstrap[0], first.name, extra=IN_TOPICS)
        second.adopt(models)
        made.append(second)
        return first, second

    yield make
    for stream in made:
        stream.kill()


def here(stream: Stream) -> bool:
    """Whether a worker that runs on a machine has source partitions."""
    return stream.owners() > 0


def kill(stream: Stream) -> None:
    """SIGKILL, and nothing is left of the status."""
    stream.kill()
    stream.forget_status()


def points(*streams: Stream) -> list[Any]:
    """What the stores of the machines hold together: of one key each has the same."""
    table: dict[Any, Any] = {}
    for stream in streams:
        for measurement, series, time_ms, fields in stream.points():
            assert table.setdefault((measurement, series, time_ms), fields) == fields
    return sorted((*key, fields) for key, fields in table.items())


def check(first: Stream, second: Stream, example: Path, words: str) -> None:
    """Signals and points are those of the file, with the decisions of the run."""
    decisions = first.folder / "decisions.jsonl"
    decisions.write_text(first.command("state", "decisions"))
    stored, told = points(first, second), first.told()
    assert len(told) == len(set(told)), words
    (first.folder / "driftflow.sqlite").unlink()
    out = first.folder / "local.jsonl"
    first.command("replay", str(example), "--decisions", str(decisions), "--signals", str(out), "--store")
    assert as_lines(first.signals()) == lines_of(out), words
    assert stored == points(first), words


@APACHE
@pytest.mark.timeout(300)
def test_one_joins_one_is_killed_one_leaves(machines: MakeMachines, example: Path) -> None:
    first, second = machines()
    first.publish()
    rows = first.rows(example)
    quarter = len(rows) // 4
    first.start_worker()
    first.produce(rows[:quarter])
    first.wait(lambda: first.received() >= quarter // 2, "the first machine")
    second.start_worker()
    second.wait(lambda: here(second), "the second one to join")
    first.produce(rows[quarter : 2 * quarter])
    second.wait(lambda: second.received() > 100, "it to work")
    kill(first)
    first.produce(rows[2 * quarter : 3 * quarter])
    second.wait(lambda: len(next(iter(unread_of(second)), ())) == 4, "the second one to take over")
    first.start_worker()
    first.wait(lambda: here(first), "the first one to come back")
    second.stop()
    second.forget_status()
    first.produce(rows[3 * quarter :])
    first.wait_until_done()
    assert "bytes of state loaded in" in first.log()
    second.forget_status()
    second.start_worker()  # its spool has points of its own
    first.wait(lambda: second.status().get("spooled") == 0 and here(second), "the second one's points")
    first.stop()
    second.stop()
    check(first, second, example, "")


def unread_of(stream: Stream) -> list[dict[str, Any]]:
    """Source partitions of each worker on a machine."""
    unread = stream.status().get("unread")
    return [unread] if unread else []


@APACHE
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_machines_that_die_anywhere_lose_nothing(machines: MakeMachines, example: Path, seed: int) -> None:
    chance = random.Random(seed)
    both = machines()
    first, second = both
    first.publish()
    rows, parts = first.rows(example), 8
    first.start_worker()
    second.start_worker()
    for part in range(parts):
        first.produce(rows[part * len(rows) // parts : (part + 1) * len(rows) // parts])
        victim = chance.choice(both)
        victim.wait(lambda victim=victim: here(victim), f"machine {both.index(victim)} to have partitions")
        time.sleep(chance.random() * 3.0)
        kill(victim)
        time.sleep(chance.random() * 2.0)
        victim.start_worker()
    first.wait_until_done()
    first.wait(lambda: all(one.status().get("spooled") == 0 for one in both), "all points")
    first.stop()
    second.stop()
    check(first, second, example, f"seed {seed}")


@EMBEDDED
def test_a_second_folder_is_refused_before_anything_is_touched(make_stream: MakeStream, tmp_path: Path) -> None:
    first = make_stream()
    second = Stream(tmp_path / "other", first.config.kafka.bootstrap[0], first.name)
    open_state(first.config)[1].close()
    with pytest.raises(SnapshotError, match=f"is kept in {first.folder}/state on .*would keep it in {second.folder}"):
        open_state(second.config)
    said = second.command("state", "claim")
    assert f"is kept in {second.folder}/state on " in said.replace("\n", "")
    open_state(second.config)[1].close()
