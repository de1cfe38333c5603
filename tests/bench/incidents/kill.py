"""Kills: a worker is killed forty times while incidents open, and each of them opens once on the topic.

A worker as a process of its own on a broker (Apache Kafka where ``KAFKA_HOME`` names it, else the embedded one), the
example's rows with a fault of its own for two of every three days, so that incidents open and end all the time. SIGKILL
comes at random moments: within some seconds after the worker has begun to work, one in five while it starts; each time
another is started. ``opened_twice`` counts the incidents
with more than one message on the signals topic that says that it opens, whatever their message ids; ``numbers_twice``
the messages of any state that stand there twice.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
import uuid
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from schemas.codecs import decode_event
from schemas.incidents import Incident
from stream_app.errors import DriftflowError
from stream_app.kafka.embedded import EmbeddedBroker
from stream_app.kafka.signals import read_signals
from stream_app.offline.first_model import bootstrap
from tests.brokers import ApacheKafka
from tests.integration.stream import Stream, write_example

KILLS = 40
LONGEST_S = 4.0
"""A worker is killed within so many seconds, of its start or of when it has begun to work."""
_STARTING = 0.2
_PACE_S = 8.0
"""Between two kills, about."""
_UNTIL, _TRAINED_UNTIL = "2014-01-01", "2013-04-15"
_PORTION = 144
"""Rows that are sent at a time: half a day of twelve stations."""
_APART = 'join_within = "6h"\n'
"""Goes on the stream's ``[alerts]``: what comes later than this is another incident."""

Rows = Sequence[tuple[bytes | None, bytes | None]]


def measure(args: Namespace) -> dict[str, Any]:
    """``{kills, opened_twice, numbers_twice, incidents, messages, seed}``."""
    kills = 2 if args.quick else KILLS
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="driftflow-kill-")))
        stream, rows = _prepared(folder, _broker(folder, stack))
        return run(stream, rows[: 200 * _PORTION] if args.quick else rows, kills, args.seed)


def _broker(folder: Path, stack: ExitStack) -> str:
    home = os.environ.get("KAFKA_HOME")
    if home:
        node = ApacheKafka(Path(home), folder).start()
        stack.callback(node.stop)
        return node.bootstrap
    return stack.enter_context(EmbeddedBroker()).bootstrap


def _prepared(folder: Path, bootstrap_server: str) -> tuple[Stream, Rows]:
    """A stream with a model, and its rows from then on."""
    example = write_example(folder / "air.csv", _UNTIL)
    stream = Stream(folder / "stream", bootstrap_server, f"kill-{uuid.uuid4().hex[:6]}", extra=_APART)
    bootstrap(stream.config, example, _TRAINED_UNTIL, Console(quiet=True))
    return stream, faulty(stream.rows(example)[45 * 24 * 12 :])


def faulty(rows: Rows) -> Rows:
    """The rows; two of every three days one station after the other has a column without values, or one that stands
    still.
    """
    stations = sorted({key or b"" for key, _ in rows})
    return [(key, _spoilt(key, value, number, stations)) for number, (key, value) in enumerate(rows)]


def _spoilt(key: bytes | None, value: bytes | None, number: int, stations: list[bytes]) -> bytes | None:
    day = number // (24 * len(stations))
    block = day // 3
    if day % 3 == 2 or key != stations[block % len(stations)] or value is None:
        return value
    columns = json.loads(value)
    columns["TEMP" if block // len(stations) % 2 else "PRES"] = None if block % 2 else 7.25
    return json.dumps(columns).encode()


def run(stream: Stream, rows: Rows, kills: int, seed: int) -> dict[str, Any]:
    """Kill a worker so often while the rows come, let the last one finish, and look at the topic."""
    rng = random.Random(seed)
    print(f"  seed {seed}, {len(rows):,} rows", flush=True)
    stream.publish()
    with pouring(stream, rows, kills * _PACE_S):
        for number in range(kills):
            stream.forget_status()
            worker = stream.start_worker()
            if rng.random() >= _STARTING:
                stream.wait(lambda: stream.received() > 0, "events")
            with suppress(subprocess.TimeoutExpired):
                worker.wait(rng.uniform(0.0, LONGEST_S))
                raise RuntimeError(f"the worker ended by itself:\n{stream.log()}")
            stream.kill()
            if number % 5 == 4:
                told = sum(_opens(record) for record in incidents(stream))
                print(f"  {number + 1} kills, {told} messages of incidents that open", flush=True)
    stream.forget_status()
    stream.start_worker()
    stream.wait_until_done()
    stream.stop()
    return {"kills": kills, **figures(incidents(stream)), "seed": seed}


@contextmanager
def pouring(stream: Stream, rows: Rows, seconds: float) -> Iterator[None]:
    """Rows are sent little by little, over about so many seconds; what is left at the end, at once."""
    done, at = threading.Event(), 0

    def pour() -> None:
        nonlocal at
        while at < len(rows) and not done.wait(seconds * _PORTION / len(rows)):
            with suppress(DriftflowError):  # the broker is away, and nothing was sent: the same rows later
                stream.produce(list(rows[at : at + _PORTION]))
                at += _PORTION

    stream.produce(list(rows[:_PORTION]))
    at = _PORTION
    thread = threading.Thread(target=pour, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        stream.produce(list(rows[at:]))


def incidents(stream: Stream) -> list[Incident]:
    """Every message of one that stands on the topic."""
    records = (decode_event(message.value, message.headers) for message in read_signals(stream.config))
    return [record for record in records if isinstance(record, Incident)]


def _opens(incident: Incident) -> bool:
    return incident.state == "open" and incident.number == 1


def figures(told: Sequence[Incident]) -> dict[str, Any]:
    """What stands there more than once."""
    opened = Counter(incident.id for incident in told if _opens(incident))
    numbers = Counter((incident.id, incident.number) for incident in told)
    return {
        "opened_twice": sum(times > 1 for times in opened.values()),
        "numbers_twice": sum(times > 1 for times in numbers.values()),
        "incidents": len({incident.id for incident in told}),
        "messages": len(told),
    }


def table(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """For people; the first line names the columns."""
    must = {"kills": str(KILLS), "opened_twice": "0"}
    return [("what", "is", "must be"), *((name, str(value), must.get(name, "")) for name, value in found.items())]
