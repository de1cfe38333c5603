"""``make bench-faults``: workers, the broker, the sink and the disk fail at random while events come.

    {"kills", "lost", "duplicated_effects", "signals_equal", "rebalances", "sink_points_lost", "spool_drained",
     "recovery_s_max", "recovery_s_median", "repeated_share", "joins", "leaves", "broker_restarts", "sink_faults",
     "disk_full", "events", "seed", "store"}

A worker as a process of its own on an Apache Kafka, the example's rows with faults of their own, so that incidents
open and end all the time; its points go to a VictoriaMetrics through a gateway that fails. What came of it is compared
with what ``driftflow replay`` makes of the same rows and decisions, without a broker and without a fault, into a store
of its own.

``lost`` counts signals and rows that are missing, ``duplicated_effects`` what is there and should not be: signals that
the other run has not, two contents under one id, events counted twice, incidents told twice. ``repeated_share`` is the
share of messages on the signals topic that stand there more than once, byte for byte: at-least-once, without an effect.
``recovery_s`` is the time from a kill to the first event that the next worker has taken in. It is started at once, as a
supervisor does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from stream_app.config import load
from stream_app.kafka.signals import read_signals
from stream_app.offline.first_model import bootstrap
from tests.bench.faults.driver import INSTANCE, Driver
from tests.bench.faults.gateway import Gateway, exported
from tests.bench.incidents.kill import faulty
from tests.brokers import ApacheKafka
from tests.integration.stream import Lines, Stream, as_lines, lines_of, write_example
from tests.victoria import victoria

PATIENCE_S = 1_800
"""How long the run without faults may take."""
_UNTIL, _TRAINED_UNTIL = "2013-12-01", "2013-04-15"
_SINK = """
[sink]
kind = "influx"
url = "{url}"
timeout = "3s"
"""
_STATE = '[state]\nstore = "kafka"\n'


def main() -> None:
    """Measure, print, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--store", choices=["files", "kafka"], default="files")
    parser.add_argument("--seed", type=int, default=None)
    args = parser.parse_args()
    seed = random.randrange(10**6) if args.seed is None else args.seed
    home = Path(os.environ.get("KAFKA_HOME", ""))
    if not (home / "bin" / "kafka-server-start.sh").exists():
        raise SystemExit("bench-faults runs on Apache Kafka: set KAFKA_HOME to a distribution of it")
    print(f"seed {seed}", flush=True)
    found = measure(home, args.kills, seed, args.store)
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    for name, value in found.items():
        print(f"{name:22} {value}")


def measure(home: Path, kills: int, seed: int, store: str) -> dict[str, Any]:
    """Everything; the keys are those of the module's docstring."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="driftflow-faults-")))
        for name in ("kafka", "kept", "expected"):
            (folder / name).mkdir()
        node = ApacheKafka(home, folder / "kafka").start()
        stack.callback(node.stop)
        kept, expected = (stack.enter_context(victoria(folder / name)) for name in ("kept", "expected"))
        gateway = stack.enter_context(Gateway(kept).open())
        extra = _SINK.format(url=gateway.url) + (_STATE if store == "kafka" else "")
        stream = Stream(folder / "stream", node.bootstrap, f"faults-{seed}", extra=extra)
        stream.toml.write_text(stream.toml.read_text().replace("[kafka]", f'[kafka]\ninstance_env = "{INSTANCE}"'))
        stream.config = load(stream.toml)
        stack.callback(stream.kill)
        example = write_example(folder / "air.csv", _UNTIL)
        bootstrap(stream.config, example, _TRAINED_UNTIL, Console(quiet=True))
        rows = faulty(stream.rows(example)[45 * 24 * 12 :])
        driver = Driver(stream, node, gateway, random.Random(seed))
        driver.run(rows, kills)
        local = _without_faults(stream, rows, expected, store)
        return {
            **_compared(stream, local, len(rows)),
            **_points(kept, expected),
            **driver.figures(),
            "seed": seed,
            "store": store,
        }


def _without_faults(stream: Stream, rows: Any, expected: str, store: str) -> Lines:
    """The same rows with the run's decisions, by ``driftflow replay``, into a server of its own."""
    file, out = stream.folder / "rows.jsonl", stream.folder / "local.jsonl"
    file.write_bytes(b"\n".join(value for _, value in rows if value is not None) + b"\n")
    decisions = stream.folder / "decisions.jsonl"
    if store == "kafka":
        words = [sys.executable, "-m", "stream_app.cli", "state", "decisions", "-c", str(stream.toml)]
        decisions.write_bytes(subprocess.run(words, check=True, capture_output=True, timeout=PATIENCE_S).stdout)
    else:
        decisions.write_bytes(stream.decisions().read_bytes())
    toml = stream.toml.read_text()
    stream.toml.write_text(_with_url(toml, expected))
    try:
        words = ["--decisions", str(decisions), "--signals", str(out), "--store"]
        subprocess.run(
            [sys.executable, "-m", "stream_app.cli", "replay", "-c", str(stream.toml), str(file), *words],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=PATIENCE_S,
        )
    finally:
        stream.toml.write_text(toml)
    return lines_of(out)


def _with_url(toml: str, url: str) -> str:
    return "".join(f'url = "{url}"\n' if line.startswith("url = ") else line for line in toml.splitlines(True))


def _compared(stream: Stream, local: Lines, rows: int) -> dict[str, Any]:
    live = as_lines(stream.signals())  # raises where one id has two contents
    here, there = (
        Counter(json.dumps(line, sort_keys=True) for lines in of.values() for line in lines) for of in (live, local)
    )
    status = stream.status()
    counted = status["windowed"] + status.get("late", 0) + status.get("rejected", 0) + status.get("duplicate", 0)
    told = Counter(stream.told())
    sent = Counter(
        (message.partition, message.value, tuple(message.headers)) for message in read_signals(stream.config)
    )
    return {
        "lost": sum((there - here).values()) + max(rows - counted, 0),
        "duplicated_effects": sum((here - there).values()) + max(counted - rows, 0) + sum(n - 1 for n in told.values()),
        "signals_equal": live == local,
        "signals": sum(here.values()),
        "repeated_share": round(1 - len(sent) / max(sum(sent.values()), 1), 4),
    }


def _points(kept: str, expected: str) -> dict[str, Any]:
    here, there = exported(kept), exported(expected)
    clock = ("models_", "health_")  # of the wall clock: not of the events
    lost = sorted(sample for sample in there - here if not any(f'"{name}' in sample for name in clock))
    return {"sink_points": len(there), "sink_points_lost": len(lost), "first_lost": lost[:4]}
