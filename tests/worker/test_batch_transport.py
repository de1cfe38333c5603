"""What the rest relies on: every row once and in order, and no commit past what was acked, whatever dies."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from tests.brokers import APACHE, EMBEDDED
from tests.forked import Forked
from tests.worker.batch_worker import Plan, run

Names = Callable[[str], str]
PARTITIONS = 4


class Bench:
    """A topic, its workers, and what they wrote down."""

    def __init__(self, bootstrap: str, folder: Path, name: str) -> None:
        self.bootstrap, self.folder, self.topic, self.group = bootstrap, folder, name, f"{name}-group"
        self._workers: list[Forked] = []
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, batch_size=128 * 1024)
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        sizes = {name: {"num_partitions": PARTITIONS, "replication_factor": 1}}
        self.admin.create_topics(sizes | {f"{name}-echo": {"num_partitions": 1, "replication_factor": 1}})
        self.sent = 0

    def send(self, n: int, value: bytes | None = b'{"x": 1.5, "y": 2.5}') -> None:
        """``n`` more records, round the partitions."""
        for _ in range(n):
            self._producer.send(self.topic, value=value, key=b"k", partition=self.sent % PARTITIONS)
            self.sent += 1
        self._producer.flush()

    def start(self, **plan: Any) -> Forked:
        """A worker as a process of its own."""
        number = len(self._workers)
        chosen = Plan(self.bootstrap, self.group, self.topic, str(self.folder / f"out-{number}"), **plan)
        worker = Forked(run, chosen, log=self.folder / f"log-{number}")
        self._workers.append(worker)
        return worker

    def lines(self, number: int | None = None) -> list[list[str]]:
        """What the workers wrote, each worker's lines in its order."""
        chosen = range(len(self._workers)) if number is None else [number]
        paths = [self.folder / f"out-{i}" for i in chosen]
        return [line.split() for path in paths if path.exists() for line in path.read_text().splitlines()]

    def rows(self, number: int | None = None) -> list[tuple[int, int, int]]:
        """``(partition, first offset, last offset)`` of each chunk."""
        return [(int(p), int(a), int(b)) for kind, p, a, b, *_ in self._row_lines(number) if kind == "rows"]

    def _row_lines(self, number: int | None) -> list[list[str]]:
        return [line for line in self.lines(number) if line[0] == "rows"]

    def seen(self) -> Counter[tuple[int, int]]:
        """How often each ``(partition, offset)`` was handed out."""
        return Counter((p, offset) for p, first, last in self.rows() for offset in range(first, last + 1))

    def wait(self, ready: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Poll; on failure show the logs."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if time.monotonic() > deadline:
                logs = "\n".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("log-*")))
                pytest.fail(f"{len(self.seen())} of {self.sent} seen, committed {self.committed()}\n{logs}")
            time.sleep(0.1)

    def wait_all(self) -> None:
        """Until every record was handed out at least once and committed."""
        self.wait(lambda: len(self.seen()) == self.sent and sum(self.committed().values()) == self.sent)

    def committed(self) -> dict[int, int]:
        """Committed offset of each partition."""
        offsets = self.admin.list_group_offsets(self.group).get(self.group, {})
        return {tp.partition: found.offset for tp, found in offsets.items() if found.offset >= 0}

    def stop(self, worker: Forked, how: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal and wait for the end."""
        worker.send_signal(how)
        worker.wait(30)

    def close(self) -> None:
        """End what is left."""
        for worker in self._workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
        self._producer.close()
        self.admin.close()


@pytest.fixture
def bench(broker: tuple[str, str], unique: Names, tmp_path: Path) -> Iterator[Bench]:
    """A topic of its own: on each broker where it is about what other members of the group do or leave."""
    made = Bench(broker[1], tmp_path, unique("batch"))
    yield made
    made.close()


def assert_in_order(rows: list[tuple[int, int, int]]) -> None:
    """Chunks of a partition follow each other without a hole."""
    after: dict[int, int] = {}
    for partition, first, last in rows:
        assert first == after.get(partition, 0), (partition, first, after)
        after[partition] = last + 1


def test_every_record_once_in_order_and_committed(bench: Bench) -> None:
    bench.send(40_000)
    worker = bench.start()
    bench.wait_all()
    assert set(bench.seen().values()) == {1}
    assert_in_order(bench.rows())
    assert all(last - first < 500 for _, first, last in bench.rows())
    bench.stop(worker)
    assert worker.returncode == 0
    assert next(line[0] for line in bench.lines()) == "assigned", "state is loaded before the first record"
    assert bench.lines()[-1] == ["revoked", "0", "1", "2", "3"], "state is written before the worker ends"


@APACHE
def test_stop_and_start_goes_on_where_it_was(bench: Bench) -> None:
    bench.send(20_000)
    first = bench.start(pause_s=0.02)
    bench.wait(lambda: len(bench.seen()) > 4_000)
    bench.stop(first)
    done, committed = bench.seen(), bench.committed()
    for partition in range(PARTITIONS):
        acked = {offset for p, offset in done if p == partition}
        assert set(range(committed.get(partition, 0))) <= acked, "committed past what was acked"
    bench.start()
    bench.wait_all()
    assert sum(n - 1 for n in bench.seen().values()) <= 500, "at most the chunk in flight is seen twice"


@APACHE
def test_an_agent_that_raises_loses_nothing(bench: Bench) -> None:
    bench.send(20_000)
    first = bench.start(raise_at=7)
    bench.wait(lambda: len(bench.seen()) >= 18_000)
    time.sleep(1.5)
    poisoned = sum(bench.committed().values())
    assert poisoned < bench.sent, "the chunk that failed pins its partition"
    bench.stop(first)
    bench.start()
    bench.wait_all()


def test_kill_twice_loses_nothing(bench: Bench) -> None:
    bench.send(30_000)
    for seen in (2_000, 8_000):
        worker = bench.start(pause_s=0.02)
        bench.wait(lambda seen=seen: len(bench.seen()) > seen)  # type: ignore[misc]
        bench.stop(worker, signal.SIGKILL)
        done = bench.seen()
        for partition, offset in bench.committed().items():
            assert all((partition, i) in done for i in range(offset)), "committed past what was acked"
    bench.start()
    bench.wait_all()


def _more(bench: Bench) -> bool:
    """However long the second worker takes to join, there is something left for it."""
    bench.send(500)
    return True


def test_join_and_leave_lose_nothing(bench: Bench) -> None:
    bench.send(40_000)
    first = bench.start(pause_s=0.05)
    bench.wait(lambda: len(bench.seen()) > 2_000)
    bench.start(pause_s=0.02)
    bench.wait(lambda: _more(bench) and len(bench.rows(1)) > 3)
    bench.send(10_000)
    bench.stop(first)
    bench.wait_all()
    assert ["revoked", "0", "1", "2", "3"] in bench.lines(0), "the first worker was told before it shared"


@EMBEDDED
def test_a_fetch_dropped_before_anything_was_committed_is_fetched_again(bench: Bench) -> None:
    """A rebalance or a seek between a fetch and the first composite made of it."""
    bench.send(8_000)
    bench.start(drop_fetch=True)
    bench.wait_all()
    assert any("dropped" in line[0] for line in bench.lines())
    assert_in_order(bench.rows())


@EMBEDDED
def test_tombstones_and_empty_topics(bench: Bench) -> None:
    worker = bench.start(echo=f"{bench.topic}-echo")
    bench.wait(lambda: bench.lines() != [])
    time.sleep(1.5)
    assert bench.rows() == []
    bench.send(8, value=None)
    bench.send(4, value=b"")
    bench.wait_all()
    assert sum(int(line[5]) for line in bench.lines() if line[0] == "rows") == 8
    bench.stop(worker)
    assert worker.returncode == 0
    echoes = KafkaConsumer(bootstrap_servers=bench.bootstrap, consumer_timeout_ms=2_000, auto_offset_reset="earliest")
    echoes.assign([TopicPartition(f"{bench.topic}-echo", 0)])
    answers = list(echoes)
    echoes.close()
    assert sum(int(answer.value) for answer in answers) == bench.sent
    assert all(dict(answer.headers) == {"n": b"1"} for answer in answers)


@pytest.mark.slow
@pytest.mark.parametrize("plain", [False, True])
def test_rate(bench: Bench, plain: bool) -> None:
    total = 60_000 if plain else 400_000
    bench.send(total)
    bench.start(plain=plain, max_chunk=2_000)
    bench.wait(lambda: bench.rows() != [])
    begin, before = time.perf_counter(), sum(last - first + 1 for _, first, last in bench.rows())
    bench.wait(lambda: sum(last - first + 1 for _, first, last in bench.rows()) >= total - 2_000, 90)
    rate = (total - before) / (time.perf_counter() - begin)
    print(f"\n{'plain agent' if plain else 'batch transport'} on {os.cpu_count()} cores: {rate:,.0f} events/s")
