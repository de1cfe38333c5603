"""One stream to measure on: its configuration, a signed model, and a topic full of events on Apache Kafka.

Events are ``slices`` devices' with ``d`` independent numbers, 1,000 a second in event time, sixty thousand a pane, in
the order of time. The model is trained for a moment on twelve devices: its cost does not depend on how good it is.
Volume and silence are not watched: the reference is of a few events a pane, as it must be to be made in seconds.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import numpy as np
from rich.console import Console

from stream_app.config import Config, load
from stream_app.kafka.clients import client_settings
from stream_app.kafka.topics import prepare
from stream_app.offline.first_model import bootstrap
from stream_app.trainer.publishing import publish_registry

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
REFERENCE_ROUNDS, REFERENCE_SLICES, REFERENCE_DAYS = 2_000, 12, 20
POOL = 50_000
"""Different rows; they come again and again, each with a time of its own."""

_TEMPLATE = """
stream = "bench"
[topics]
events = "{topic}"
models = "{topic}.models"
partials = "{run}.partials"
evidence = "{run}.evidence"
signals = "{run}.signals"
actions = "{run}.actions"
dead_letters = "{run}.dead-letters"
partitions = {partitions}
[event]
format = "{format}"
time_field = "time"
time_format = "{time_format}"
{avro}
numeric = {numeric}
slicings = [["slice"]]
[kafka]
bootstrap = ["{bootstrap}"]
group = "{run}"
session_timeout = "6s"
[windows]
pane = "1m"
spans = ["1h", "1d"]
lateness = "10s"
max_slices = 200000
[rules.drift]
detectors = ["location", "scale", "dependence", "likelihood", "variation"]
[rules.fault]
detectors = ["unit", "missing", "stuck"]
[model]
max_steps = 20
[trainer]
promotion = "auto"
min_rows = 200
max_alarm_ratio = 50.0
{extra}"""


@dataclass(frozen=True)
class World:
    """A stream on a broker.

    Attributes:
        folder: of its files.
        bootstrap: ``host:port`` of the broker.
        topic: name of its events topic.
        d, slices, partitions, events: sizes.
        format: of the bodies.
    """

    folder: Path
    bootstrap: str
    topic: str
    d: int
    slices: int
    partitions: int
    events: int
    format: str = "json"

    @property
    def toml(self) -> Path:
        """Its configuration."""
        return self.folder / "driftflow.toml"

    @property
    def config(self) -> Config:
        """The same, read."""
        return load(self.toml)

    @property
    def features(self) -> list[str]:
        """Numeric columns."""
        return [f"x{j}" for j in range(self.d)]

    def train(self) -> None:
        """Write the configuration, and train a model; no broker is asked."""
        self.folder.mkdir(parents=True)
        self._write_toml("json", self.topic)
        reference = self.folder / "reference.jsonl"
        reference.write_bytes(b"\n".join(self._reference()) + b"\n")
        bootstrap(load(self.toml), reference, START.date().isoformat(), Console(quiet=True))
        self._write_toml(self.format, self.topic)

    def publish(self, fill: bool = True) -> None:
        """Publish the model, and fill the topic."""
        publish_registry(prepare(self.config), client_settings(self.config.kafka))
        if fill:
            self._fill()

    def begin(self, run: int, extra: str = "") -> None:
        """A run of its own: another group, and topics of ours that nothing was written to; with more settings."""
        shutil.rmtree(self.folder / "state", ignore_errors=True)
        for store in self.folder.glob("*.sqlite*"):
            store.unlink()
        self._write_toml(self.format, f"{self.topic}-{run}", extra)

    def _write_toml(self, format: str, run: str, extra: str = "") -> None:
        (self.folder / "event.avsc").write_text(json.dumps(self._schema()))
        self.toml.write_text(
            _TEMPLATE.format(
                topic=self.topic,
                run=run,
                partitions=self.partitions,
                numeric=msgspec.json.encode(self.features).decode(),
                bootstrap=self.bootstrap,
                format=format,
                time_format="iso8601" if format == "json" else "epoch_ms",
                avro='avro_schema = "event.avsc"' if format == "avro" else "",
                extra=extra,
            )
        )

    def _reference(self) -> Iterator[bytes]:
        rng = np.random.default_rng(1)
        values = rng.standard_normal((REFERENCE_ROUNDS, REFERENCE_SLICES, self.d)).round(6)
        for i in range(REFERENCE_ROUNDS):
            moment = START - dt.timedelta(days=REFERENCE_DAYS) * (1 - i / REFERENCE_ROUNDS)
            for device in range(REFERENCE_SLICES):
                numbers = dict(zip(self.features, values[i, device].tolist(), strict=True))
                name = f"device-{device:06d}" if self.format == "json" else str(device)
                yield msgspec.json.encode({"time": moment, "slice": name, **numbers})

    def _schema(self) -> dict[str, Any]:
        fields = [("time", "long"), ("slice", "int"), *((name, "double") for name in self.features)]
        columns = [{"name": name, "type": kind} for name, kind in fields]
        return {"type": "record", "name": "Event", "fields": columns}

    def bodies(self) -> Iterator[bytes]:
        """The bodies in order: in JSON with texts for time and slice, else with whole numbers."""
        return self._json() if self.format == "json" else self._binary()

    def _draws(self) -> tuple[list[list[float]], list[int]]:
        rng = np.random.default_rng(2)
        values = rng.standard_normal((POOL, self.d)).round(6).tolist()
        return values, rng.integers(0, self.slices, self.events).tolist()

    def _binary(self) -> Iterator[bytes]:
        values, devices = self._draws()
        began = int(START.timestamp()) * 1000
        if self.format == "float32":
            tails = [struct.pack(f"<{self.d}f", *row) for row in values]
            for i, device in enumerate(devices):
                yield struct.pack("<q", began + i) + tails[i % POOL] + struct.pack("<i", device)
            return
        tails = [struct.pack(f"<{self.d}d", *row) for row in values]  # as Avro has them
        head = fastavro.parse_schema({**self._schema(), "name": "Head", "fields": self._schema()["fields"][:2]})
        for i, device in enumerate(devices):
            out = io.BytesIO()
            fastavro.schemaless_writer(out, head, {"time": began + i, "slice": device})
            yield out.getvalue() + tails[i % POOL]

    def _json(self) -> Iterator[bytes]:
        values, devices = self._draws()
        tails = [msgspec.json.encode(dict(zip(self.features, row, strict=True)))[1:] for row in values]
        began = START.strftime("%Y-%m-%dT")
        assert self.events <= 86_400_000, "a day of events"
        for i, device in enumerate(devices):
            second, millisecond = divmod(i, 1000)
            time = f"{began}{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{millisecond:03d}Z"
            yield b'{"time":"%s","slice":"device-%06d",%s' % (time.encode(), device, tails[i % POOL])

    def producer(self) -> Any:
        """confluent-kafka's, of the ``bench`` extra: kafka-python would take a minute for a million events."""
        from confluent_kafka import Producer

        sizes = {"linger.ms": 5, "batch.size": 500_000, "queue.buffering.max.messages": 200_000}
        return Producer({"bootstrap.servers": self.bootstrap, **sizes})

    def _fill(self) -> None:
        producer = self.producer()
        for i, body in enumerate(self.bodies()):
            self.hand_over(producer, body, i * self.partitions // self.events)
            if i % 1000 == 0:
                producer.poll(0)
        producer.flush()

    def hand_over(self, producer: Any, body: bytes, partition: int = 0) -> None:
        """Give the producer a body once it has room."""
        while True:
            try:
                producer.produce(self.topic, body, partition=partition)
                return
            except BufferError:
                producer.poll(0.05)
