"""A small stream of its own: configuration, models, events; workers as processes; what they sent, read back."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import signal
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from schemas.framing import unframed
from schemas.signing import is_signature
from stream_app.config import Config, load
from stream_app.disk import read_lines
from stream_app.event_files import read_rows
from stream_app.kafka.clients import client_settings
from stream_app.kafka.reading import end_of, read_to_end
from stream_app.kafka.signals import read_signals
from stream_app.kafka.topics import ensure_topics, prepare
from stream_app.stages.decisions import DECODER
from stream_app.stages.partitioning import judge_signals, partition_for, trainer_signals
from stream_app.trainer.publishing import publish_registry
from stream_app.worker.status import read_status
from tests.forked import Forked, driftflow

Signal = tuple[tuple[tuple[str, bytes], ...], bytes]
"""Headers and value."""

Lines = dict[int, list[dict[str, Any]]]

_TEMPLATE = """
stream = "air"
[topics]
events = "{name}.events"
partials = "{name}.partials"
evidence = "{name}.evidence"
signals = "{name}.signals"
actions = "{name}.actions"
models = "{name}.models"
dead_letters = "{name}.dead-letters"
partitions = 4
[event]
time_field = "timestamp"
numeric = ["PM2.5", "PM10", "SO2", "NO2", "CO", "O3", "TEMP", "PRES", "DEWP", "RAIN", "WSPM"]
slicings = [["station"]]
[kafka]
bootstrap = ["{bootstrap}"]
group = "{name}"
session_timeout = "6s"
[windows]
pane = "6h"
spans = ["1d", "7d", "14d"]
idle_after = "{idle_after}"
[rules.drift]
detectors = ["location", "scale", "dependence", "likelihood", "variation"]
retrain = true
[rules.fault]
detectors = ["unit", "missing", "stuck", "silence", "volume"]
[rules.step]
detectors = ["adwin"]
[model]
max_steps = 200
warm_steps = 50
[trainer]
{trainer}
folds_file = "folds"
min_blocks = 4
max_alarm_ratio = 50.0
[retrain]
cooldown = "14d"
[event_rule]
publish = true
[alerts]
false_incidents_per_month = 20.0
"""


AT_ONCE = 'promotion = "auto"'
"""A model enters service once its gates are passed."""


def write_example(path: Path, until: str, hotter_from: str = "9999") -> Path:
    """The example's rows before a date, as a CSV file; from another date on it is 25 °C hotter."""
    source = resources.files("stream_app.demo.example").joinpath("beijing_air_2013.csv.gz")
    with source.open("rb") as packed, gzip.open(packed, "rt") as rows, path.open("w") as out:
        table = csv.DictReader(rows)
        written = csv.DictWriter(out, table.fieldnames or (), lineterminator="\n")
        written.writeheader()
        for row in table:
            if row["timestamp"] < until:
                warmer = {"TEMP": str(float(row["TEMP"] or 0.0) + 25.0)} if row["timestamp"] >= hotter_from else {}
                written.writerow({**row, **warmer})
    return path


def signals_of(config: Config) -> dict[int, list[Signal]]:
    """Signals by partition in order, each id once: a crash may send what it had sent before. Signatures are left out:
    each worker has its own key.
    """
    table: dict[int, dict[str, Signal]] = defaultdict(dict)
    for message in read_signals(config):
        headers = tuple((name, value or b"") for name, value in message.headers if not is_signature(name))
        signal_ = (headers, message.value)
        event_id = dict(headers)["ce_id"].decode()
        first = table[message.partition].setdefault(event_id, signal_)
        assert first == signal_, f"one id, two contents: {first} and {signal_}"
    return {partition: list(signals.values()) for partition, signals in sorted(table.items())}


def _body(record: Any) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(record.value)
    return body


def as_lines(signals: dict[int, list[Signal]]) -> Lines:
    """The workers' signals as ``driftflow score --signals`` writes them: of a stream with four partials partitions."""
    return {
        partition: [
            {
                "partition": partition,
                **{name: text.decode() for name, text in headers},
                "data": json.loads(unframed(value)),
            }
            for headers, value in signals[partition]
        ]
        for partition in signals
        if partition != trainer_signals(4)
    }


def lines_of(path: Path) -> Lines:
    """What ``driftflow score --signals`` has written, by partition."""
    table: Lines = defaultdict(list)
    for line in map(json.loads, path.read_text().splitlines()):
        table[line["partition"]].append(line)
    return dict(table)


class Stream:
    """A stream in a folder of its own, on a broker."""

    def __init__(
        self, folder: Path, bootstrap: str, name: str, idle_after: str = "600s", extra: str = "", trainer: str = AT_ONCE
    ) -> None:
        self.folder, self.name = folder, name
        folder.mkdir(parents=True, exist_ok=True)
        self.toml = folder / "driftflow.toml"
        self.toml.write_text(
            _TEMPLATE.format(name=name, bootstrap=bootstrap, idle_after=idle_after, trainer=trainer) + extra
        )
        (folder / "folds").write_bytes(b"the same in every run of the tests")
        self.config: Config = load(self.toml)
        self.workers: list[Forked] = []
        self.sent = 0

    # Set-up --------------------------------------------------------------------------------------------------------

    def adopt(self, models: Path) -> None:
        """Take over another folder's models, record of them included, and keys."""
        shutil.copytree(models / "keys", self.folder / "keys")
        shutil.copytree(models / "models", self.folder / "models")

    def command(self, *words: str) -> str:
        """What a ``driftflow`` command prints, which ends well."""
        out, errors = (self.folder / f"{words[0]}.{name}" for name in ("stdout", "stderr"))
        for path in (out, errors):
            path.unlink(missing_ok=True)
        status = driftflow(*words, "-c", str(self.toml), log=out, errors=errors).wait(150)
        assert status == 0, out.read_text() + errors.read_text()
        return out.read_text()

    def publish(self) -> None:
        """Put the registry's models on the models topic."""
        publish_registry(prepare(self.config), client_settings(self.config.kafka))

    def produce(self, values: list[tuple[bytes | None, bytes | None]]) -> None:
        """Send keyed values in order, each to the partition that ``driftflow produce`` would choose."""
        n = ensure_topics(self.config)[self.config.topics.events]
        producer = KafkaProducer(**client_settings(self.config.kafka), linger_ms=20, max_request_size=8 * 1024 * 1024)
        for row, (key, value) in enumerate(values, self.sent):
            producer.send(self.config.topics.events, key=key, value=value, partition=partition_for(key, n, row))
        producer.flush()
        producer.close()
        self.sent += len(values)

    def rows(self, file: Path) -> list[tuple[bytes | None, bytes | None]]:
        """Keyed values of a file."""
        return list(read_rows(file, self.config))

    # Workers -------------------------------------------------------------------------------------------------------

    def start_worker(self, *words: str) -> Forked:
        """A worker as a process of its own; its log is in the folder."""
        worker = driftflow("worker", "-c", str(self.toml), *words, log=self.folder / "worker.log")
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        """Stop every worker; one that had failed fails the test."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
                assert worker.wait(40) == 0, self.log()
        self.workers.clear()

    def kill(self) -> None:
        """SIGKILL to every worker."""
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.workers.clear()

    def status(self) -> dict[str, Any]:
        """The workers' totals."""
        return read_status(self.config)

    def forget_status(self) -> None:
        """Remove what workers that were killed have left."""
        shutil.rmtree(self.folder / "state" / "status", ignore_errors=True)

    def received(self) -> int:
        """Events the worker has fetched."""
        return int(self.status().get("received", 0))

    def owners(self) -> int:
        """Workers that have source partitions."""
        texts = [path.read_text() for path in (self.folder / "state" / "status").glob("*.json")]
        return sum(bool(json.loads(text)["unread"]) for text in texts)

    def wait(self, done: Callable[[], bool], what: str, timeout_s: float = 90.0, every_s: float = 0.1) -> None:
        """Poll; on failure show the log."""
        until = time.monotonic() + timeout_s
        while not done():
            dead = [worker.returncode for worker in self.workers if worker.poll() is not None]
            assert not dead, f"a worker ended with {dead} while waiting for {what}:\n{self.log()}"
            assert time.monotonic() < until, f"waited {timeout_s} s for {what}; {self.status()}\n{self.log()}"
            time.sleep(every_s)

    def wait_until_done(self) -> None:
        """Everything scored, then watched, then judged, as the group has committed it on the broker."""
        topics = self.config.topics
        for topic, what in (
            (topics.events, f"{self.sent} events"),
            (topics.partials, "WATCH to be done"),
            (topics.evidence, "JUDGE to be done"),
        ):  # a question costs as much as a hundred events: seldom asked, it keeps no processor from the workers
            self.wait(lambda topic=topic: self.uncommitted(topic) == 0, what, every_s=0.5)  # type: ignore[misc]

    def uncommitted(self, topic: str) -> int:
        """Records of a topic that the workers have not acknowledged: what is acknowledged is sent, spooled and saved.

        The end is taken from fetches: the embedded broker answers too small an offset when it is asked for.
        """
        consumer = KafkaConsumer(
            **client_settings(self.config.kafka),
            group_id=self.config.kafka.group,
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
        )
        try:
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
            committed = {tp: consumer.committed(tp) or 0 for tp in partitions}
            consumer.assign(partitions)
            for tp, offset in committed.items():
                consumer.seek(tp, offset)
            return sum(end_of(consumer, tp) - offset for tp, offset in committed.items())
        finally:
            consumer.close()

    def log(self) -> str:
        """The workers' output."""
        path = self.folder / "worker.log"
        return path.read_text(errors="replace")[-6000:] if path.exists() else ""

    # Results -------------------------------------------------------------------------------------------------------

    def decisions(self) -> Path:
        """The record of what depended on the clock."""
        path = self.folder / "state" / "decisions.jsonl"
        assert read_lines(path, DECODER, "")
        return path

    def signals(self) -> dict[int, list[Signal]]:
        """See :func:`signals_of`."""
        return signals_of(self.config)

    def told(self) -> list[str]:
        """Ids of what JUDGE has told, in order, as often as the broker has them."""
        place = judge_signals(self.config.topics.partitions)
        messages = [message for message in read_signals(self.config) if message.partition == place]
        return [dict(message.headers)["ce_id"].decode() for message in messages]

    def dead_letters(self) -> list[dict[str, Any]]:
        """Dead letters, each id once."""
        tp = TopicPartition(self.config.topics.dead_letters, 0)
        consumer = KafkaConsumer(**client_settings(self.config.kafka), auto_offset_reset="earliest")
        consumer.assign([tp])
        letters = {letter["id"]: letter for letter in map(_body, read_to_end(consumer))}
        consumer.close()
        return list(letters.values())

    def points(self) -> list[tuple[Any, ...]]:
        """Every point of the store, the wall clock's own ones (models, health) aside."""
        with sqlite3.connect(self.folder / "driftflow.sqlite") as link:
            rows = link.execute(
                "SELECT measurement, series, time_ms, fields FROM points "
                "WHERE measurement NOT IN ('models', 'health') ORDER BY 1, 2, 3"
            ).fetchall()
        link.close()
        return rows
