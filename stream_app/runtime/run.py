"""Starts the long-running commands: checks first, then runs until told to stop."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stream_app.config import Config
from stream_app.core.decoding import time_parser
from stream_app.errors import ConfigError, DriftflowError


def run_worker(config: Config, only: str | None = None, decisions: str | None = None, checked: bool = True) -> None:
    """Run the agents until SIGTERM or Ctrl-C; exits 1 when they fail."""
    from stream_app.runtime.serving import serve_worker

    prepare_process()
    serve_worker(config, only, Path(decisions) if decisions else None, checked)


def prepare_process() -> None:
    """Logs to standard error; one torch thread, which for nets of this size is the fastest on a shared machine."""
    import torch

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("kafka.coordinator.heartbeat").setLevel(logging.ERROR)
    logging.getLogger("stream_app").setLevel(logging.INFO)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


def run_trainer(config: Config, bootstrap_until: str | None, tell: Callable[[str], None]) -> None:
    """Answer requests until SIGTERM or Ctrl-C."""
    from stream_app.runtime import preflight
    from stream_app.runtime.clients import client_settings
    from stream_app.runtime.topics import prepare
    from stream_app.trainer.worker import Trainer, bootstrap_request

    prepare_process()
    preflight.require(preflight.preflight(config, "trainer"))
    config = prepare(config)
    client = client_settings(config.kafka, config.root)
    trainer = Trainer(config, client, tell)
    _on_signals(trainer.stop)
    if bootstrap_until:
        until_ms = parse_time(config, bootstrap_until)
        trainer.handle(bootstrap_request(config, log_ends(config, client), 0, until_ms))
    tell("waiting for retrain requests")
    trainer.run()


def publish_models(config: Config, err: Console) -> None:
    """Put the registry's promoted models on the models topic."""
    from stream_app.runtime.clients import client_settings
    from stream_app.runtime.topics import prepare
    from stream_app.trainer.worker import publish_registry

    config = prepare(config)
    for model_id in publish_registry(config, client_settings(config.kafka, config.root)):
        err.print(f"model {model_id} is on {config.topics.models}")


def parse_time(config: Config, text: str) -> int:
    """A time given on the command line, in milliseconds; raises ConfigError."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError("--bootstrap-until", [f"expected a date such as 2026-01-31, got {text!r}"]) from None
    import msgspec

    event = msgspec.structs.replace(config.event, time_format="iso8601")
    return time_parser(event)(text)


def log_ends(config: Config, client: dict[str, Any]) -> dict[int, int]:
    """End offset of each events partition.

    Raises:
        DriftflowError: there is no such topic, or the broker does not answer.
    """
    from kafka import KafkaConsumer, TopicPartition

    from stream_app.runtime.reading import end_of

    consumer = KafkaConsumer(**client, enable_auto_commit=False, auto_offset_reset="earliest", max_poll_records=1)
    try:
        partitions = consumer.partitions_for_topic(config.topics.events)
        if not partitions:
            raise DriftflowError(f"topic {config.topics.events} does not exist or is empty: produce events first")
        ends = {}
        for partition in sorted(partitions):
            tp = TopicPartition(config.topics.events, partition)
            consumer.assign([tp])
            consumer.seek(tp, 0)
            ends[partition] = end_of(consumer, tp)
        return ends
    finally:
        consumer.close()


def run_produce(config: Config, file: Path, speedup: float | None, err: Console) -> None:
    """Send a file, with a progress bar."""
    from stream_app.runtime import preflight
    from stream_app.runtime.files import read_rows
    from stream_app.runtime.produce import produce_file

    preflight.require(preflight.preflight(config, "produce"))
    total = sum(1 for _ in read_rows(file, config))
    with progress_bar(err) as bar:
        task = bar.add_task("sending", total=total)
        counts = produce_file(config, file, speedup=speedup, progress=lambda n: bar.update(task, completed=n))
    err.print(f"{sum(counts.values()):,} events on {config.topics.events}: " + ", ".join(
        f"partition {p}: {n:,}" for p, n in sorted(counts.items())))  # fmt: skip


def progress_bar(console: Console) -> Progress:
    """The progress bar of every long command."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )


def run_broker(port: int, out: Console) -> None:
    """Embedded broker in the foreground."""
    from stream_app.runtime.broker import EmbeddedBroker

    stopped = threading.Event()
    _on_signals(stopped.set)
    with EmbeddedBroker(port) as broker:
        out.print(f"broker at {broker.bootstrap} (in memory; Ctrl-C stops it)")
        stopped.wait()


def _on_signals(stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
