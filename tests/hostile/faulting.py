"""Puts one fault after the other into real processes on a broker, and looks at what comes of it."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import msgspec

from tests.hostile import faulty
from tests.hostile.faults import Fault
from tests.hostile.processes import traceback_in
from tests.integration.stream import Stream

HANG_S = 6.0
"""What counts as hung in these processes; in the product it is two minutes."""

END_S = 5.0
"""From a failure to the end of the process at most."""

_SLACK_S = 3.0
"""A machine that runs a broker and other tests beside may be this much late."""

_FIRES_S, _STOP_S = 45.0, 30.0
DONE_S = 120.0
"""How long anything may take that comes to an end at all."""

Rows = list[tuple[bytes | None, bytes | None]]


@dataclass(slots=True)
class Verdict:
    """What came of a fault.

    Attributes:
        faults: what was wrong, in words; none where all was as the table says.
        exits: it ended although it should have gone on, or not as it should have.
        hung: it neither ended nor went on.
        took_s: from the failure to the end; None where it went on.
    """

    faults: list[str] = field(default_factory=list)
    exits: int = 0
    hung: int = 0
    took_s: float | None = None


class Faulting:
    """One process with a fault, on a stream of its own. Each command is a subclass.

    Args:
        stream: with keys and two models, and nothing on its topics yet.
        rows: some thousand events of it.
    """

    command: tuple[str, ...]

    def __init__(self, stream: Stream, rows: Rows) -> None:
        self.stream, self.rows = stream, rows
        self.verdict = Verdict()

    def run(self, fault: Fault) -> Verdict:
        """Without the fault; then with it; then without it again, in the same process or in the next one."""
        self.prepare()
        process = self._start(fault)
        try:
            if self.wait(process, self.is_ready, "its beginning", DONE_S):
                (self.stream.folder / "armed").touch()
                self.provoke()
                if self.wait(process, self.has_fired, "the fault", _FIRES_S):
                    (self._expect_end if fault.then == "ends" else self._expect_more)(process, fault)
        finally:
            _end(process)
        return self.verdict

    # What a subclass says ------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Before the process starts."""

    def is_ready(self) -> bool:
        """Whether it is in the midst of its work."""
        raise NotImplementedError

    def provoke(self) -> None:
        """Give it something to do that comes to the fault."""

    def go_on(self) -> None:
        """Give it more to do."""

    def left(self, fault: Fault) -> str:
        """What is left to be done, or ""."""
        raise NotImplementedError

    def check(self) -> None:
        """Look at what has come of it all: :meth:`wrong` says what is wrong."""

    # What must come of it ------------------------------------------------------------------------------------------

    def _expect_end(self, process: BaseProcess, fault: Fault) -> None:
        """It ends in time, with 1 and a sentence; the next one goes on with nothing lost."""
        limit_s = END_S + _SLACK_S + (HANG_S if fault.how == "hang" else 0.0)
        fired_s = float((self.stream.folder / "fired").read_text())
        process.join(max(fired_s + limit_s - time.monotonic(), 0.0))
        if process.exitcode is None:
            self.verdict.hung += 1
            self.wrong(f"it had not ended {limit_s:.0f} s after it failed")
            return
        self.verdict.took_s = time.monotonic() - fired_s
        if process.exitcode != 1 or not _is_a_sentence(self.log()):
            self.verdict.exits += 1
            self.wrong(f"it ended with {process.exitcode}, or not with a sentence")
        (self.stream.folder / "armed").unlink()
        again = self._start(None)
        try:
            self._finish(again, fault)
        finally:
            _end(again)

    def _expect_more(self, process: BaseProcess, fault: Fault) -> None:
        """It lives on; once the fault is over everything is done."""
        self._finish(process, fault)
        if traceback_in(self.log()):
            self.wrong("it has said a traceback")

    def _finish(self, process: BaseProcess, fault: Fault) -> None:
        """More to do, all done, an orderly end."""
        self.go_on()
        if not self.wait(process, lambda: not self.left(fault), "all to be done", DONE_S):
            self.wrong(f"left: {self.left(fault)}")
            return
        assert process.pid is not None
        os.kill(process.pid, signal.SIGTERM)
        process.join(_STOP_S)
        orderly = (0, -signal.SIGTERM) if "console" in self.command else (0,)
        if process.exitcode not in orderly:
            self.verdict.exits += process.exitcode is not None
            self.verdict.hung += process.exitcode is None
            self.wrong(f"told to stop, it ended with {process.exitcode}")
        self.check()

    # Parts ---------------------------------------------------------------------------------------------------------

    def _start(self, fault: Fault | None) -> BaseProcess:
        folder = self.stream.folder
        words = [self.command[0], "-c", str(self.stream.toml), *self.command[1:]]
        plan = faulty.Plan(str(folder), words, str(self._log_path))
        if fault is not None:
            change = {name: getattr(fault, name) for name in ("target", "how", "where", "times")}
            plan = msgspec.structs.replace(plan, **change, hang_s=HANG_S)
        return faulty.start(plan)

    def wait(self, process: BaseProcess, done: Callable[[], bool], what: str, within_s: float) -> bool:
        """Poll; an early end, or none in time, is noted."""
        until_s = time.monotonic() + within_s
        while not done():
            if process.exitcode is not None:
                if done():  # it was, and that ended it
                    return True
                self.verdict.exits += 1
                self.wrong(f"it ended with {process.exitcode} before {what}")
                return False
            if time.monotonic() > until_s:
                self.verdict.hung += 1
                self.wrong(f"waited {within_s:.0f} s for {what}")
                return False
            time.sleep(0.1)
        return True

    def has_fired(self) -> bool:
        """Whether the fault has begun."""
        path = self.stream.folder / "fired"
        return path.exists() and bool(path.read_text())

    @property
    def _log_path(self) -> Path:
        return self.stream.folder / "faulty.log"

    def log(self) -> str:
        """What the processes have said."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def wrong(self, what: str) -> None:
        """Note what is wrong, with the end of the log."""
        self.verdict.faults.append(f"{what}\n{self.log()[-2_500:]}")


def folder_for(fault: Fault, root: Path) -> Path:
    """Where a fault's stream lives."""
    return root / re.sub(r"[^a-zA-Z0-9]+", "-", fault.name)[:80]


def _end(process: BaseProcess) -> None:
    process.kill()
    process.join()
    process.close()


def _is_a_sentence(log: str) -> bool:
    """Whether the log ends in one line for people, and holds no traceback."""
    lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", log).strip().splitlines() if line.strip()]
    return not traceback_in(log) and bool(lines) and lines[-1].startswith("driftflow: ")
