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

from stream_app.kafka.topics import prepare
from stream_app.stages.score.state import COUNTERS
from tests.hostile import faulty
from tests.hostile.faults import Fault
from tests.hostile.processes import TRACEBACK
from tests.integration.stream import Stream

HANG_S = 6.0
"""What counts as hung in these processes; in the product it is two minutes."""

END_S = 5.0
"""From a failure to the end of the process at most."""

_SLACK_S = 2.0
"""A machine that runs a broker and other tests beside may be this much late."""

_FIRES_S, _DONE_S, _STOP_S = 45.0, 90.0, 30.0
_A_THIRD = 700


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
    """One worker with a fault, on a stream of its own.

    Args:
        stream: with keys and two models, and nothing on its topics yet.
        rows: some thousand events of it.
    """

    def __init__(self, stream: Stream, rows: list[tuple[bytes | None, bytes | None]]) -> None:
        self._stream, self._rows = stream, rows
        self._verdict = Verdict()

    def run(self, fault: Fault) -> Verdict:
        """A third of the events; then the fault, another model and the second third; then, without it, the last."""
        stream = self._stream
        stream.config = prepare(stream.config)
        publish_second = self._publish_first()
        stream.produce(self._rows[:_A_THIRD])
        process = self._start(fault)
        try:
            if not self._wait(process, self._is_done, "the first events", _DONE_S):
                return self._verdict
            (stream.folder / "armed").touch()
            publish_second()
            stream.produce(self._rows[_A_THIRD : 2 * _A_THIRD])
            if self._wait(process, self._fired, "the fault", _FIRES_S):
                (self._expect_end if fault.then == "ends" else self._expect_more)(process, fault)
        finally:
            process.kill()
            process.join()
        return self._verdict

    def _publish_first(self) -> Callable[[], None]:
        registry = self._stream.folder / "models" / "air.notices.jsonl"
        notices = registry.read_text()
        registry.write_text(notices.splitlines()[0] + "\n")
        self._stream.publish()
        registry.write_text(notices)
        return self._stream.publish

    def _start(self, fault: Fault | None) -> BaseProcess:
        folder = self._stream.folder
        plan = faulty.Plan(
            str(folder), ["worker", "-c", str(self._stream.toml)], str(folder / "worker.log"), hang_s=HANG_S
        )
        if fault is not None:
            plan = msgspec.structs.replace(
                plan, target=fault.target, how=fault.how, where=fault.where, times=fault.times
            )
        return faulty.start(plan)

    # What must come of it ------------------------------------------------------------------------------------------

    def _expect_end(self, process: BaseProcess, fault: Fault) -> None:
        """It ends in time, with 1 and a sentence; the next one goes on with nothing lost."""
        limit_s = END_S + _SLACK_S + (HANG_S if fault.how == "hang" else 0.0)
        fired_s = float((self._stream.folder / "fired").read_text())
        process.join(max(fired_s + limit_s - time.monotonic(), 0.0))
        if process.exitcode is None:
            self._verdict.hung += 1
            self._wrong(f"it had not ended {limit_s:.0f} s after it failed")
            return
        self._verdict.took_s = time.monotonic() - fired_s
        said = self._log()
        if process.exitcode != 1 or not _is_a_sentence(said):
            self._verdict.exits += 1
            self._wrong(f"it ended with {process.exitcode}")
        (self._stream.folder / "armed").unlink()
        again = self._start(None)
        try:
            self._finish(again)
        finally:
            again.kill()
            again.join()

    def _expect_more(self, process: BaseProcess, fault: Fault) -> None:
        """It lives on; once the fault is over everything is done."""
        self._finish(process)
        if TRACEBACK in self._log():
            self._wrong("it has said a traceback")

    def _finish(self, process: BaseProcess) -> None:
        """The last third, all done, an orderly end, everything counted and delivered."""
        self._stream.produce(self._rows[2 * _A_THIRD : 3 * _A_THIRD])
        if not self._wait(process, self._is_done, "all to be done", _DONE_S):
            return
        if not self._wait(process, self._is_delivered, "the sink to have every point", _DONE_S):
            return
        assert process.pid is not None
        os.kill(process.pid, signal.SIGTERM)
        process.join(_STOP_S)
        if process.exitcode != 0:
            self._verdict.exits += process.exitcode is not None
            self._verdict.hung += process.exitcode is None
            self._wrong(f"told to stop, it ended with {process.exitcode}")
        status = self._stream.status()
        counted = sum(status[name] for name in COUNTERS if name != "received")
        if (status["received"], counted, status["rejected"]) != (self._stream.sent, self._stream.sent, 0):
            self._wrong(f"{self._stream.sent} events were sent, and the status says {status}")

    # Waiting -------------------------------------------------------------------------------------------------------

    def _wait(self, process: BaseProcess, done: Callable[[], bool], what: str, within_s: float) -> bool:
        until_s = time.monotonic() + within_s
        while not done():
            if process.exitcode is not None:
                if done():  # it was, and that ended it
                    return True
                self._verdict.exits += 1
                self._wrong(f"it ended with {process.exitcode} before {what}")
                return False
            if time.monotonic() > until_s:
                self._verdict.hung += 1
                self._wrong(f"waited {within_s:.0f} s for {what}; {self._stream.status()}")
                return False
            time.sleep(0.1)
        return True

    def _is_done(self) -> bool:
        topics = self._stream.config.topics
        return not any(self._stream.uncommitted(topic) for topic in (topics.events, topics.partials))

    def _fired(self) -> bool:
        path = self._stream.folder / "fired"
        return path.exists() and bool(path.read_text())

    def _is_delivered(self) -> bool:
        return int(self._stream.status().get("spooled", 0)) == 0

    def _log(self) -> str:
        return (self._stream.folder / "worker.log").read_text(errors="replace")

    def _wrong(self, what: str) -> None:
        self._verdict.faults.append(f"{what}\n{self._log()[-2_500:]}")


def _is_a_sentence(log: str) -> bool:
    """Whether the log ends in one line for people, and holds no traceback."""
    lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", log).strip().splitlines() if line.strip()]
    return TRACEBACK not in log and bool(lines) and len(lines[-1]) < 2_000 and " " in lines[-1]


def folder_for(fault: Fault, root: Path) -> Path:
    """Where a fault's stream lives."""
    return root / re.sub(r"[^a-zA-Z0-9]+", "-", fault.name)[:80]
