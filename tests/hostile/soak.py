"""The example's stream under fire: two workers, a trainer and a console, and hostile messages on every topic."""

from __future__ import annotations

import copy
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from stream_app.kafka.embedded import free_port
from stream_app.kafka.signals import read_signals
from stream_app.kafka.topics import prepare
from stream_app.stages.partitioning import trainer_signals
from stream_app.stages.score.state import COUNTERS
from tests.hostile.cases import TOPICS
from tests.hostile.live import Live, Place, Sent, clean_run, plain
from tests.hostile.pouring import Poured, Pouring, Rows
from tests.hostile.processes import Process, Processes, traceback_in
from tests.integration.stream import Stream

_SETTLE_S = 180.0
_TIMED = ("far_future", "unscorable")
"""Dead letters of events whose time counts all the same: a clean run has to see them too."""

Tell = Callable[[str], None]


@dataclass(slots=True)
class Report:
    """What came of it.

    Attributes:
        hostile: hostile messages that were sent, by topic.
        kinds: their kinds.
        exits: processes that ended by themselves.
        hung: processes that did not end when they were told to.
        unaccounted: hostile messages that were neither taken nor dead-lettered, and events that nobody counted.
        signals_equal: whether the workers' signals are those of a clean run.
        stop_s: process to the seconds from SIGTERM to its end.
        faults: what was wrong, in words.
    """

    hostile: dict[str, int] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    exits: int = 0
    hung: int = 0
    unaccounted: int = 0
    signals_equal: bool = False
    stop_s: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def soak(stream: Stream, rows: Rows, seconds: float, seed: int, tell: Tell) -> Report:
    """Run it: ``seconds`` of traffic, then until everything is done.

    Args:
        stream: with keys and models, and nothing on its topics yet.
        rows: events to send.
        seconds: how long to take for it.
        seed: of the mix.
        tell: takes a line of progress.
    """
    stream.config = prepare(stream.config)
    stream.publish()
    pouring = Pouring(stream.config, Live(stream.config, rows[:12_000]), seed)
    report = Report()
    with Processes(stream.folder) as processes:
        with _console(processes, report):
            for name in ("worker-0", "worker-1", "trainer"):
                processes.start(name, name.partition("-")[0])
            pouring.run(rows, seconds, tell)
            tell("all sent; waiting until it is done")
            _await(processes, report, lambda: _left(stream, pouring.poured))
        _account(stream, pouring.poured, report)
        for process in processes.all:
            _stop(process, report)
    tell("comparing with a clean run")
    _compare(stream, pouring.poured, report)
    return report


@contextmanager
def _console(processes: Processes, report: Report) -> Iterator[None]:
    """A console, asked for both of its answers twice a second."""
    port, done = free_port(), threading.Event()
    processes.start("console", "console", "--port", str(port))

    def ask() -> None:
        answered = False
        while not done.wait(0.5):
            for path in ("/api/overview", "/api/slice?slicing=station&slice=Dongsi"):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10).read()
                    answered = True
                except urllib.error.HTTPError as error:
                    if error.code not in (404, 503):  # nothing stored yet, or locked at this moment
                        report.faults.append(f"the console answered {path} with {error.code}")
                except OSError as error:
                    if answered and not done.is_set():
                        report.faults.append(f"the console did not answer {path}: {error}")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _await(processes: Processes, report: Report, left: Callable[[], str]) -> None:
    """Wait until nothing is left to do, or nothing can be done any more."""
    until_s = time.monotonic() + _SETTLE_S
    while what := left():
        for process in processes.dead():
            report.exits += 1
            report.faults.append(f"{process.name} ended with {process.child.returncode}: {process.log[-1500:]}")
        if processes.dead() or time.monotonic() > until_s:
            report.faults.append(f"not done: {what}")
            return
        time.sleep(0.5)


def _left(stream: Stream, poured: Poured) -> str:
    topics, trainers = stream.config.topics, copy.copy(stream)
    group = f"{stream.config.kafka.group}-trainer"
    trainers.config = msgspec.structs.replace(
        stream.config, kafka=msgspec.structs.replace(stream.config.kafka, group=group)
    )
    behind = {topic: stream.uncommitted(topic) for topic in (topics.events, topics.partials, topics.evidence)}
    behind[topics.signals] = trainers.uncommitted(topics.signals)
    unread = ", ".join(f"{n} of {topic}" for topic, n in behind.items() if n)
    missing = len(_missing(stream, poured))
    return ", ".join(filter(None, (unread, f"{missing} dead letters" if missing else "")))


def _missing(stream: Stream, poured: Poured) -> list[Place]:
    """Hostile messages that must be refused and have no dead letter."""
    refused = {(letter["topic"], letter["partition"], letter["offset"]) for letter in stream.dead_letters()}
    return [place for place, case in poured.hostile.items() if case.usable is False and place not in refused]


def _account(stream: Stream, poured: Poured, report: Report) -> None:
    topics, missing = stream.config.topics, _missing(stream, poured)
    report.faults += [f"unaccounted for at {place}: {poured.hostile[place]!r}" for place in missing[:10]]
    status, letters = stream.status(), stream.dead_letters()
    events = poured.rows + len(poured.on(topics.events))
    counted = sum(int(status.get(name, 0)) for name in COUNTERS if name != "received")
    rejected = sum(letter["topic"] == topics.events for letter in letters)
    if (counted, status.get("rejected")) != (events, rejected):
        report.faults.append(f"{events} events, {counted} counted; {rejected} dead letters; {status}")
    report.unaccounted = len(missing) + abs(events - counted)
    report.faults += [f"a dead letter without a reason: {letter}" for letter in letters if not letter["reason"]]
    report.hostile = {topic: len(poured.on(topic)) for topic in (getattr(topics, kind) for kind in TOPICS)}
    report.kinds = {case.kind for case in poured.hostile.values()}


def _stop(process: Process, report: Report) -> None:
    if not process.is_alive():
        return
    took_s = process.stop()
    if took_s is None:
        report.hung += 1
        report.faults.append(f"{process.name} did not end when it was told to: {process.log[-1500:]}")
    else:
        report.stop_s[process.name] = took_s
        if process.child.returncode not in (0, -signal.SIGTERM if process.name == "console" else 0):
            report.faults.append(f"{process.name} was stopped and ended with {process.child.returncode}")
    if found := traceback_in(process.log):
        report.faults.append(f"{process.name} has a traceback in its log: {found}")


def _compare(stream: Stream, poured: Poured, report: Report) -> None:
    """The workers' signals with those of a run without a broker on the same events, less the refused ones."""
    letters = [letter for letter in stream.dead_letters() if letter["reason"] not in _TIMED]
    left_out = {(letter["topic"], letter["partition"], letter["offset"]) for letter in letters}
    clean, live = clean_run(stream.config, left_out), _signals(stream, poured)
    workers = trainer_signals(stream.config.topics.partitions)
    report.signals_equal = bool(clean) and all(clean.get(p, []) == live.get(p, []) for p in range(workers))
    for p in range(workers):
        if clean.get(p, []) != live.get(p, []):
            pairs = zip(clean.get(p, []), live.get(p, []), strict=False)
            first = next((pair for pair in pairs if pair[0] != pair[1]), "one ends before the other")
            lengths = f"{len(clean.get(p, []))} and {len(live.get(p, []))}"
            report.faults.append(f"signals of partition {p} differ ({lengths} of them): {first}")


def _signals(stream: Stream, poured: Poured) -> Sent:
    """What the workers have sent, each id once: a crash may send what it had sent before."""
    table: dict[int, dict[bytes, tuple[dict[str, bytes], bytes]]] = {}
    for message in read_signals(stream.config):
        if (message.topic, message.partition, message.offset) not in poured.hostile:
            headers, value = plain(message)
            table.setdefault(message.partition, {}).setdefault(headers["ce_id"], (headers, value))
    return {partition: list(signals.values()) for partition, signals in table.items()}
