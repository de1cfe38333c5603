"""The same on Apache Kafka: a topic with a history, three commands, and events that go on in another unit."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from tests.bench.newcomer.prices import BEFORE, write_prices
from tests.brokers import ApacheKafka

if TYPE_CHECKING:
    from tests.bench.newcomer.run import Typed

_TOPIC, _SIGNALS = "prices", "prices.signals"
_LIMIT_S = 600.0
_AFTER = 2_000
"""Events that come after the history."""
_TRAINER = re.compile(r"^\s*(driftflow trainer .*)$", re.MULTILINE)


def on_kafka(typed: Typed, data: Path | None) -> dict[str, Any]:
    """From a topic to the first incident: ``init``, ``trainer``, ``worker``."""
    node = ApacheKafka(Path(os.environ["KAFKA_HOME"]), typed.folder).start()
    running: list[subprocess.Popen[bytes]] = []
    try:
        rows = write_prices(typed.folder / "prices.jsonl", data).read_bytes().splitlines()
        _send(node.bootstrap, rows[:BEFORE], make=True)
        start = time.monotonic()
        printed = typed.run(f"driftflow init --from-topic {_TOPIC} --bootstrap {node.bootstrap} --yes")
        running.append(typed.begin(_TRAINER.findall(printed)[0]))
        _wait_for_key(typed.folder / "keys" / "signing.pub")
        running.append(typed.begin("driftflow worker"))
        _send(node.bootstrap, [_in_cents(row) for row in rows[BEFORE : BEFORE + _AFTER]])
        _wait_for_incident(node.bootstrap, typed, running)
        return typed.figures(time.monotonic() - start)
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait()
        node.stop()


def _in_cents(row: bytes) -> bytes:
    """Somebody upstream has changed a unit: what there is to find."""
    event = json.loads(row)
    return json.dumps(event | {"nswprice": event["nswprice"] * 100}).encode()


def _wait_for_key(path: Path) -> None:
    """The trainer writes its key within seconds; a worker that is started before ends with a sentence that says so."""
    deadline = time.monotonic() + _LIMIT_S
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.2)


def _send(bootstrap: str, rows: list[bytes], make: bool = False) -> None:
    if make:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        admin.create_topics([NewTopic(_TOPIC, 1, 1)])
        admin.close()
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for row in rows:
        producer.send(_TOPIC, row)
    producer.flush()
    producer.close()


def _wait_for_incident(bootstrap: str, typed: Typed, running: list[subprocess.Popen[bytes]]) -> None:
    """Look at the signals until one of them is an incident; end where a process has."""
    deadline = time.monotonic() + _LIMIT_S
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    try:
        while time.monotonic() < deadline:
            if any(process.poll() is not None for process in running):
                raise SystemExit("\n".join(typed.log(line).read_text() for line in typed.lines))
            known = consumer.partitions_for_topic(_SIGNALS) or set()
            partitions = {TopicPartition(_SIGNALS, number) for number in known}
            if partitions != consumer.assignment():
                consumer.assign(sorted(partitions))
            fetched = consumer.poll(timeout_ms=250) if partitions else {}
            records = (record for of_partition in fetched.values() for record in of_partition)
            if next(islice(filter(_is_incident, records), 1), None) is not None:
                return
            time.sleep(0.0 if partitions else 0.25)
        raise SystemExit(f"no incident within {_LIMIT_S:.0f} s")
    finally:
        consumer.close()


def _is_incident(record: Any) -> bool:
    return ("ce_type", b"driftflow.incident.v1") in record.headers
