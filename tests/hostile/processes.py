"""The product's commands as processes of their own: started, watched, told to stop."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t]+.*\n)*.*$", re.MULTILINE)


def traceback_in(log: str) -> str:
    """The first traceback in a log, or ""."""
    found = _TRACEBACK.search(log)
    return found[0][:2_500] if found else ""


class Process:
    """One command. Its output goes to ``FOLDER/NAME.log``.

    Args:
        folder: where its log goes.
        name: of the log.
        command: after the interpreter's ``-m``.
    """

    def __init__(self, folder: Path, name: str, command: list[str]) -> None:
        self.name, self.log_path = name, folder / f"{name}.log"
        with self.log_path.open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    @property
    def log(self) -> str:
        """What it has said."""
        return self.log_path.read_text(errors="replace")

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self.child.poll() is None

    def stop(self, within_s: float = 60.0) -> float | None:
        """SIGTERM, and the seconds until it has ended; None, and SIGKILL, where it has not within ``within_s``."""
        began_s = time.monotonic()
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        return time.monotonic() - began_s

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.child.kill()
        self.child.wait()


class Processes:
    """The processes of one run; those that still run at its end are killed.

    Args:
        folder: of the stream; its ``driftflow.toml`` is theirs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.all: list[Process] = []

    def start(self, name: str, command: str, *words: str) -> Process:
        """``driftflow COMMAND -c driftflow.toml WORDS``."""
        words = ("stream_app.cli", command, "-c", str(self._folder / "driftflow.toml"), *words)
        self.all.append(Process(self._folder, name, list(words)))
        return self.all[-1]

    def dead(self) -> list[Process]:
        """Those that have ended."""
        return [process for process in self.all if not process.is_alive()]

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for process in self.all:
            process.kill()
