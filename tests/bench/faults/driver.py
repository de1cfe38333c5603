"""What happens to the processes: kills, joins, leaves, a broker that restarts, a sink that fails, a full disk."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from tests.bench.faults.gateway import MODES, Gateway
from tests.bench.incidents.kill import pouring
from tests.brokers import ApacheKafka
from tests.integration.stream import Stream

Rows = Sequence[tuple[bytes | None, bytes | None]]

INSTANCE = "DRIFTFLOW_BENCH_INSTANCE"
"""Environment variable with a worker's name in its group."""
PACE_S = 8.0
"""Between two kills, about."""
LONGEST_S = 4.0
"""A worker is killed within so many seconds after it has begun to work."""
PATIENCE_S = 60.0
_POLL_S = 0.05
DISK_MIB, FULL_S = 64, 10.0
"""Size of the disk that gets full, and how long it is so at most."""


class Driver:
    """Hinders a stream, and notes how soon it goes on."""

    def __init__(self, stream: Stream, node: ApacheKafka, gateway: Gateway, chance: random.Random) -> None:
        self._stream, self._node, self._gateway, self._chance = stream, node, gateway, chance
        self._recovery_s: list[float] = []
        self._counts = dict.fromkeys(("kills", "joins", "leaves", "broker_restarts"), 0)
        self._disk = Disk(stream)
        self._drained = False
        self._names: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, rows: Rows, kills: int) -> None:
        """Hinder while the rows come, then let all come to its end."""
        stream = self._stream
        stream.publish()
        with self._disk.mounted():
            self._hinder(rows, kills)
            stream.wait_until_done()
            stream.wait(lambda: stream.status().get("spooled") == 0, "the spool to be empty", PATIENCE_S)
            self._drained = True
            stream.stop()

    def _hinder(self, rows: Rows, kills: int) -> None:
        with pouring(self._stream, rows, kills * PACE_S):
            self._start()
            for number in range(kills):
                self._gateway.mode = self._chance.choice(("", "", "", *MODES))
                self._before(number)
                time.sleep(self._chance.uniform(0.0, LONGEST_S))
                self._kill()
                if number % 5 == 4:
                    print(f"  {number + 1} kills, recovery {statistics.median(self._recovery_s):.1f} s", flush=True)
            self._gateway.mode = ""
            self._come_back()

    def _before(self, number: int) -> None:
        """What else happens before a kill, so that forty kills meet all of it."""
        if number % 10 == 3:
            self._start()
            self._counts["joins"] += 1
            self._stream.wait(lambda: self._stream.owners() >= 2, "a second worker to join", PATIENCE_S)
        elif number % 10 == 6:
            self._leave()
        elif number % 20 == 9:
            self._node.stop(hard=bool(self._chance.getrandbits(1)))
            self._node.start()
            self._counts["broker_restarts"] += 1
        elif number % 20 == 11:
            self._disk.fill(self._stream)
            self._come_back()

    def _start(self) -> None:
        """Another worker, under the lowest name that is free: a supervisor keeps the names of what it starts again."""
        taken = {name for name, worker in self._names.items() if worker.poll() is None}
        name = next(name for name in (f"worker-{i}" for i in range(9)) if name not in taken)
        os.environ[INSTANCE] = name
        command = [sys.executable, "-m", "stream_app.cli", "worker", "-c", str(self._stream.toml)]
        with (self._stream.folder / "worker.log").open("ab") as log:
            worker = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self._names[name] = worker
        self._stream.workers.append(worker)  # type: ignore[arg-type]  # one that was started whole, imports and all

    def _leave(self) -> None:
        """SIGTERM: it says goodbye, whatever the sink does."""
        worker = self._stream.workers[0]
        worker.terminate()
        if worker.wait(40) not in (0, 1):
            raise RuntimeError(f"a worker that was told to stop ended with {worker.returncode}:\n{self._stream.log()}")
        self._stream.workers.remove(worker)
        self._counts["leaves"] += 1
        if not self._stream.workers:
            self._start()

    def _kill(self) -> None:
        """SIGKILL to all workers, and how long the next one takes to its first event."""
        stream = self._stream
        stream.workers[:] = [worker for worker in stream.workers if worker.poll() is None]
        stream.kill()
        stream.forget_status()
        self._counts["kills"] += 1
        began = time.monotonic()
        self._come_back()
        self._recovery_s.append(time.monotonic() - began)

    def _come_back(self) -> None:
        """One worker at least that takes events in; one that ends by itself is started again, as a supervisor does."""
        stream, until = self._stream, time.monotonic() + PATIENCE_S
        before = stream.received()
        while True:
            stream.workers[:] = [worker for worker in stream.workers if worker.poll() is None]
            if not stream.workers:
                self._start()
            if stream.received() > before or _caught_up(stream):
                return
            if time.monotonic() > until:
                raise RuntimeError(f"no worker has gone on for {PATIENCE_S:.0f} s:\n{stream.log()}")
            time.sleep(_POLL_S)

    def figures(self) -> dict[str, Any]:
        """What was done, and how soon it was over."""
        changes = 2 * self._counts["kills"] + self._counts["joins"] + self._counts["leaves"]
        return {
            **self._counts,
            "rebalances": changes,
            "sink_faults": dict(self._gateway.seen),
            "disk_full": self._disk.filled,
            "spool_drained": self._drained,
            "recovery_s_median": round(statistics.median(self._recovery_s), 1),
            "recovery_s_max": round(max(self._recovery_s), 1),
        }


def _caught_up(stream: Stream) -> bool:
    """Whether a worker has all partitions and nothing is left to read."""
    unread = stream.status().get("unread") or {}
    return bool(unread) and not any(unread.values())


class Disk:
    """The folder of the state as a small disk of its own, where this process may mount one.

    Attributes:
        filled: how often it was full; the reason where it could not be.
    """

    def __init__(self, stream: Stream) -> None:
        self._folder = stream.folder / "state"
        self.filled: int | str = 0
        self._ballast = self._folder / "ballast"

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Mount it for the time of the run; what is on it is copied back."""
        self._folder.mkdir(exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(self._folder)]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            self.filled = f"not tried: {done.stderr.strip()}"
            yield
            return
        try:
            yield
        finally:
            kept = self._folder.with_name("state-kept")
            shutil.copytree(self._folder, kept)
            subprocess.run(["umount", "-l", str(self._folder)], check=True)
            shutil.copytree(kept, self._folder, dirs_exist_ok=True)

    def fill(self, stream: Stream) -> None:
        """Full until a worker ends of it, some seconds at most."""
        if isinstance(self.filled, str):
            return
        self.filled += 1
        with suppress(OSError), self._ballast.open("wb") as file:  # what is left in its buffer does not fit either
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        until = time.monotonic() + FULL_S
        while time.monotonic() < until and all(worker.poll() is None for worker in stream.workers):
            time.sleep(_POLL_S)
        self._ballast.unlink(missing_ok=True)
