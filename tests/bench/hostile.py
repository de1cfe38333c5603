"""``make bench-hostile``: driftflow under hostile messages and faults, in one JSON file.

python -m tests.bench.hostile --out hostile.json

- ``cases``, ``kinds``: hostile messages, to the consumers in this process and to those on the broker, and how many
  different things were done to them.
- ``faults_injected``: functions that were made to fail, hang or do half of their work, each in a process of its own.
- ``exits``: processes that ended although the table of ARCHITECTURE.md says that they go on; that ended with another
  status than it says, without a sentence, or later than five seconds after the failure; or under hostile messages.
- ``hung``: processes that neither ended nor went on, or did not end when they were told to.
- ``unaccounted``: hostile messages that were neither taken nor refused with a dead letter, and events that no counter
  counts, of the traffic on the broker; and consumers in this process that lost one.
- ``signals_equal``: the workers' signals under that traffic are, signatures aside, byte for byte those of a clean run
  of the same events with the same decisions.
- ``stop_s_max``: longest time from SIGTERM to the end of a process, seconds.
- ``requests_sent``: different retrain requests that were genuine; ``requests_answered_once``: of them, those with one
  answer exactly.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import random
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from stream_app.kafka.embedded import EmbeddedBroker
from stream_app.offline.first_model import bootstrap
from tests.brokers import ApacheKafka
from tests.hostile.asking import Requests, Tail, for_people
from tests.hostile.awkward import Stops
from tests.hostile.cases import Case, cases
from tests.hostile.checker import Consumer, Faulty, check
from tests.hostile.faulting import Rows, Verdict, folder_for
from tests.hostile.faults import FAULTS, Fault
from tests.hostile.feed import Feed
from tests.hostile.page import Page
from tests.hostile.requesting import Requesting
from tests.hostile.roles import ROLES
from tests.hostile.soak import Report, soak
from tests.hostile.stages import Score, Watch
from tests.hostile.world import World
from tests.integration.stream import Stream, write_example

_MASS = {
    "events": [(Score, 40_000, 400)],
    "partials": [(Watch, 20_000, 100)],
    "models": [(Feed, 15_000, 150)],
    "signals": [(Requests, 20_000, 150), (Tail, 15_000, 150)],
}
"""Topic to its consumers, each with how many messages it gets, and how many at a time."""

_STORED = 4_000
"""Rows of the embedded store, to the console."""

_UNTIL = "2014-03-01"
_TRAINED_UNTIL = ("2013-03-25", "2013-04-01")
_ROWS_A_MINUTE = 20_000
_FEW = 13_000


class Bench:
    """One run.

    Args:
        folder: for everything that it leaves behind.
        seed: of all that is chosen.
    """

    def __init__(self, folder: Path, seed: int, stack: ExitStack) -> None:
        self._folder, self._seed = folder, seed
        self._began_s, self._names = time.monotonic(), itertools.count()
        self.kinds: set[str] = set()
        self.stops_s: list[float] = []
        self.result: dict[str, Any] = dict.fromkeys(
            ("cases", "kinds", "faults_injected", "exits", "hung", "unaccounted"), 0
        )
        self.bootstrap = self._broker(stack)
        self.tell("two models")
        self._models, self._rows = self._prepared()

    def tell(self, line: str) -> None:
        """Progress, and whatever was wrong."""
        print(f"{time.monotonic() - self._began_s:6.0f} s  {line}", flush=True)

    def _broker(self, stack: ExitStack) -> str:
        home = os.environ.get("KAFKA_HOME")
        if home:
            node = ApacheKafka(Path(home), self._folder).start()
            stack.callback(node.stop)
            self.tell(f"Apache Kafka at {node.bootstrap}")
            return node.bootstrap
        self.tell("KAFKA_HOME names no Apache Kafka: on the embedded broker")
        return stack.enter_context(EmbeddedBroker()).bootstrap

    def _prepared(self) -> tuple[Path, Rows]:
        example = write_example(self._folder / "air.csv", _UNTIL)
        stream = Stream(self._folder / "trained", self.bootstrap, "trained")
        for until in _TRAINED_UNTIL:
            bootstrap(stream.config, example, until, Console(quiet=True))
        return stream.folder, stream.rows(example)

    def _stream(self, folder: Path | None = None, bootstrap: str = "", extra: str = "") -> Stream:
        """A new stream, with keys and models."""
        name = f"h{next(self._names)}-{uuid.uuid4().hex[:6]}"
        stream = Stream(folder or self._folder / name, bootstrap or self.bootstrap, name, extra=extra)
        stream.adopt(self._models)
        return stream

    # Parts ---------------------------------------------------------------------------------------------------------

    def mass(self) -> None:
        """Hostile messages to every consumer in this process."""
        world, page = World(self._folder / "world"), Page(self._folder)
        logging.disable(logging.CRITICAL)  # a line for every refusal
        for topic, consumers in _MASS.items():
            for kind, most, size in consumers:
                some = cases(world, topic, self._seed, most)
                self._one_consumer(kind(world), for_people(some) if kind is Tail else some, size)
        self._one_consumer(page, page.cases(self._seed, _STORED), 200)
        logging.disable(logging.NOTSET)

    def _one_consumer(self, consumer: Consumer, some: Iterable[Case], size: int) -> None:
        try:
            tally = check(consumer, some, size)
        except Faulty as error:
            self.result["unaccounted"] += 1
            self.tell(f"WRONG {error}")
            return
        self.result["cases"] += tally.cases
        self.kinds |= tally.kinds
        self.tell(f"{tally.cases:,} messages to {type(consumer).__name__} of {len(tally.kinds):,} kinds")

    def faults(self, jobs: int) -> None:
        """Every fault, each in a process of its own."""
        with ThreadPoolExecutor(jobs) as pool:
            for fault, verdict in zip(FAULTS, pool.map(self._one_fault, FAULTS), strict=True):
                self.result["faults_injected"] += 1
                self.result["exits"] += verdict.exits
                self.result["hung"] += verdict.hung
                took = "" if verdict.took_s is None else f" after {verdict.took_s:.1f} s"
                self.tell(f"{'WRONG ' if verdict.faults else ''}{fault.name}: {fault.then}{took}")
                for wrong in verdict.faults:
                    self.tell(wrong)

    def _one_fault(self, fault: Fault) -> Verdict:
        stream = self._stream(folder_for(fault, self._folder / "faults"))
        return ROLES[fault.role](stream, self._rows[:_FEW]).run(fault)

    def traffic(self, minutes: float) -> None:
        """Hostile messages on every topic of a stream that works."""
        rows = self._rows[: max(int(minutes * _ROWS_A_MINUTE), _FEW)]
        report: Report = soak(self._stream(), rows, 60 * minutes, self._seed, self.tell)
        self.result["cases"] += sum(report.hostile.values())
        self.kinds |= report.kinds
        for name in ("exits", "hung", "unaccounted"):
            self.result[name] += getattr(report, name)
        self.result["signals_equal"] = report.signals_equal
        self.stops_s += report.stop_s.values()
        self.tell(f"hostile messages by topic: {report.hostile}; stopped after {report.stop_s}")
        self._say(report.faults)

    def stops(self) -> None:
        """SIGTERM in awkward states."""
        stops = Stops(lambda bootstrap, extra: self._stream(bootstrap=bootstrap, extra=extra), self._rows[:_FEW])
        stops.run(self.tell)
        self.result["hung"] += len(stops.hung)
        self.stops_s += stops.took_s.values()
        self.result["stop_s_max"] = round(max(self.stops_s), 2)
        self.tell(f"seconds to the end: { {state: round(s, 1) for state, s in stops.took_s.items()} }")
        self._say(stops.faults)

    def requests(self, rounds: int) -> None:
        """Retrain requests of every kind, many times."""
        stream = self._stream()
        stream.produce(self._rows[:_FEW])
        answers = Requesting(stream, self._seed).run(rounds, copies=5)
        self.result["requests_sent"], self.result["requests_answered_once"] = answers.sent, answers.answered_once
        self.tell(
            f"{answers.answered_once} of {answers.sent} requests answered once; a refusal {answers.longest_s:.1f} s"
        )
        self._say(answers.faults)

    def _say(self, faults: list[str]) -> None:
        for wrong in faults:
            self.tell(f"WRONG {wrong}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="driftflow under hostile messages and faults")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file")
    parser.add_argument("--minutes", type=float, default=5.0, help="of traffic on the broker (default 5)")
    parser.add_argument("--rounds", type=int, default=8, help="of requests of every kind (default 8)")
    parser.add_argument("--jobs", type=int, default=2, help="faults side by side (default 2)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of all that is chosen")
    parser.add_argument("--keep", action="store_true", help="leave the folders and logs of all streams there")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="driftflow-hostile-"))
    print(f"seed {options.seed}, in {folder}")
    with ExitStack() as stack:
        if not options.keep:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        bench = Bench(folder, options.seed, stack)
        bench.mass()
        bench.requests(options.rounds)
        bench.traffic(options.minutes)
        bench.stops()
        bench.faults(options.jobs)
        bench.result["kinds"] = len(bench.kinds)
        options.out.write_text(json.dumps(bench.result, indent=1) + "\n")
    print(options.out.read_text())


if __name__ == "__main__":
    main()
