"""The demo's child processes: started with a log each, watched, and ended with the demo."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from stream_app.errors import DriftflowError

RESTARTS_MAX = 5
"""Times that a worker is started again."""

_END_S = 15.0
_LOG_LINES = 8


class Children:
    """A worker and a trainer.

    Args:
        folder: where their logs go, and where ``driftflow.toml`` is.
        stack: ends them when it is closed.

    Attributes:
        restarts: workers that died and were started again.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._config = str(folder / "driftflow.toml")
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.restarts = 0

    def start_worker(self) -> None:
        """Start ``driftflow worker``."""
        self._start("worker", ["stream_app.cli", "worker", "-c", self._config])

    def start_trainer(self, until_ms: int) -> TrainerLine:
        """Start :mod:`stream_app.demo.trainer`, which trains the first model at once, on events before ``until_ms``."""
        return TrainerLine(self._start("trainer", ["stream_app.demo.trainer", self._config, str(until_ms)], piped=True))

    def _start(self, name: str, module: list[str], piped: bool = False) -> subprocess.Popen[bytes]:
        log = self._stack.enter_context((self._folder / f"{name}.log").open("ab"))
        stdin, stdout = (subprocess.PIPE, subprocess.PIPE) if piped else (subprocess.DEVNULL, log)
        command = [sys.executable, "-m", *module]
        # In a session of its own, a Ctrl-C in the terminal does not reach it: the demo ends it in its turn.
        child = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=log, start_new_session=True)
        self._stack.callback(_end, child)
        self._running[name] = child
        return child

    def check(self) -> None:
        """Like a supervisor: a worker that died is started again and goes on from its snapshots.

        Raises:
            DriftflowError: the trainer has ended, or the worker too often.
        """
        for name, child in list(self._running.items()):
            if child.poll() is None:
                continue
            if name != "worker" or self.restarts >= RESTARTS_MAX:
                raise DriftflowError(f"the {name} ended with status {child.returncode}:\n{self.logs()}")
            self.restarts += 1
            self.start_worker()

    def logs(self) -> str:
        """The last lines of each log."""
        tails = []
        for path in sorted(self._folder.glob("*.log")):
            lines = path.read_text(errors="replace").strip().splitlines()[-_LOG_LINES:]
            tails.append(f"--- {path.name}\n" + "\n".join(lines))
        return "\n".join(tails)


class TrainerLine:
    """The demo's end of the pipes to its trainer, which replies a line to each line, and one unasked at the start."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        self._stdin, self._stdout = child.stdin, child.stdout
        self._asked, self._replies = 1, 0
        os.set_blocking(self._stdout.fileno(), False)

    def ask(self) -> None:
        """Let it answer every request that there is."""
        self._stdin.write(b"answer\n")
        self._stdin.flush()
        self._asked += 1

    def replied(self) -> bool:
        """Whether it has answered."""
        try:
            self._replies += os.read(self._stdout.fileno(), 4_096).count(b"\n")
        except BlockingIOError:
            return self._replies >= self._asked
        return self._replies >= self._asked


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
