"""Processes forked from a server that has imported everything: each begins in a tenth of the time of an interpreter.

They are as real as any: an id of their own, the environment of their parent, signals, SIGKILL. The start of
``driftflow`` itself is tried with ``subprocess``.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_PRELOADED = [
    "stream_app.cli",
    "stream_app.console.server",
    "stream_app.offline.score",
    "stream_app.trainer.process",
    "stream_app.worker.process",
    "tests.hostile.faulty",
    "tests.integration.faulty",
    "tests.worker.batch_worker",
]
_STARTING = threading.Lock()


def begin(target: Callable[..., object], *args: Any) -> BaseProcess:
    """A process that calls a function of a module; the first call starts the server."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    process = context.Process(target=target, args=args)
    with _STARTING:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")  # which every process would import anew
        try:
            process.start()
        finally:
            sys.modules["__main__"] = main
    return process


class Forked:
    """A process that calls a function of a module, to be used as a ``subprocess.Popen`` is.

    Args:
        target: the function.
        args: its arguments.
        log: file to which its output is appended.
        errors: another file for standard error.
    """

    def __init__(self, target: Callable[..., object], *args: Any, log: Path, errors: Path | None = None) -> None:
        self.args = (target.__name__, *args)
        self._process = begin(_run, dict(os.environ), str(log), str(errors or log), target, args)
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Status, or minus the signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """See :attr:`returncode`."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its status, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not within ``timeout`` seconds.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired([str(word) for word in self.args], timeout or 0.0)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Nothing where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def driftflow(*words: str, log: Path, errors: Path | None = None, before: Callable[[], object] | None = None) -> Forked:
    """``driftflow WORDS``; ``before`` is a function of a module that puts a fault into the process first."""
    return Forked(command, words, before, log=log, errors=errors)


def command(words: Sequence[str], before: Callable[[], object] | None = None) -> None:
    """In this process, which ends."""
    from stream_app import cli, command_line

    for console in (command_line.out, command_line.err):
        console._color_system = None  # the server may have been started at a terminal
    if before is not None:
        before()
    sys.argv = ["driftflow", *words]
    cli.main()


def write_to(log: str, errors: str) -> None:
    """From now on this process appends its output to files."""
    for number, path in ((1, log), (2, errors)):
        with open(path, "ab") as file:
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))


def _run(env: dict[str, str], log: str, errors: str, target: Callable[..., object], args: Sequence[Any]) -> None:
    os.environ.clear()
    os.environ.update(env)
    write_to(log, errors)
    target(*args)
