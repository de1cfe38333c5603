"""driftflow as a process: ``driftflow worker`` as people run it, watched from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from stream_app.worker.status import read_status
from tests.bench.stream.peers import WARM, Took, rss_mib
from tests.bench.stream.world import World

Worker = subprocess.Popen[bytes]

POLL_S = 0.02
PATIENCE_S = 300.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def _cpu_s(pid: int) -> float:
    """Processor seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def measure(world: World, workers: int = 1) -> Took:
    """What workers take for the events of a topic, read from its beginning (:meth:`World.begin` was called): processor
    time of all of them together.

    The status is written twice a second, and both ends of the time are moments at which it was.

    Raises:
        RuntimeError: a worker has ended, or does not come to the end in time.
    """
    running = start(world, workers)
    try:
        return _watch(world, running)
    finally:
        stop(running)


def first_score(world: World) -> tuple[float, float]:
    """Seconds on the clock, and of a processor, from the start of a worker to the first event that it has scored.

    Raises:
        RuntimeError: the worker has ended, or scores none in time.
    """
    began, [worker], spent = time.time(), start(world), [(0.0, 0.0)]
    try:
        while (at := _read(world).get("first_score_at")) is None:
            if worker.poll() is not None or time.time() - began > PATIENCE_S:
                raise RuntimeError(f"nothing was scored: {_end_of(world.folder / 'worker.log')}")
            spent.append((time.time(), _cpu_s(worker.pid)))
            time.sleep(POLL_S)
    finally:
        stop([worker])
    return at - began, max(cpu_s for when, cpu_s in spent if when <= at)


def start(world: World, workers: int = 1) -> list[Worker]:
    """Workers of a stream, each with one thread for what computes."""
    command = [sys.executable, "-m", "stream_app.cli", "worker", "-c", str(world.toml)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    with (world.folder / "worker.log").open("ab") as log:
        return [subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env) for _ in range(workers)]


def stop(running: list[Worker]) -> None:
    """End them in order."""
    for worker in running:
        worker.send_signal(signal.SIGTERM)
    for worker in running:
        worker.wait(60)


def _watch(world: World, running: list[Worker]) -> Took:
    until, first, last, rss = time.monotonic() + PATIENCE_S, None, (0, 0.0, 0.0), 0.0
    while last[0] < world.events:
        if any(worker.poll() is not None for worker in running) or time.monotonic() > until:
            raise RuntimeError(f"stood at {last[0]} of {world.events} events: {_end_of(world.folder / 'worker.log')}")
        received = _received(world)
        if received > last[0]:
            last = (received, sum(_cpu_s(worker.pid) for worker in running), time.perf_counter())
            if first is None and received >= world.events * WARM:
                first, rss = last, sum(rss_mib(worker.pid, peak=False) for worker in running)
        time.sleep(POLL_S)
    assert first is not None
    grown = sum(rss_mib(worker.pid, peak=False) for worker in running) - rss
    most = max(rss_mib(worker.pid) for worker in running)
    return Took(last[0] - first[0], last[1] - first[1], last[2] - first[2], most, grown)


def _received(world: World) -> int:
    return int(_read(world).get("received", 0))


def _read(world: World) -> dict[str, Any]:
    try:
        return dict(read_status(world.config))
    except (OSError, msgspec.DecodeError):
        return {}


def _end_of(path: Path) -> str:
    return path.read_text(errors="replace")[-2_000:]
