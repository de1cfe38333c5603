"""A stream on Apache Kafka, its trainer as a process of its own, and those who ask it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from schemas.codecs import decode_event
from schemas.records import ModelNotice
from stream_app.kafka.signals import read_signals
from stream_app.models.keys import trusted_keys
from stream_app.models.registry import Registry
from stream_app.models.signing import signature_fault
from tests.bench.loop.run import LeftOut
from tests.brokers import ApacheKafka
from tests.forked import Forked, driftflow
from tests.integration.stream import Stream, write_example

FINAL = ("promoted", "refused", "covered")
"""What answers a request for good."""


@contextmanager
def running(until: str, trainer: str, hotter_from: str = "9999", extra: str = "") -> Iterator[tuple[Stream, Path]]:
    """A stream on a broker of its own, and the example's rows before a date; raises LeftOut without ``KAFKA_HOME``."""
    home = Path(os.environ.get("KAFKA_HOME", ""))
    if not (home / "bin").is_dir():
        raise LeftOut("KAFKA_HOME names no Apache Kafka")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="driftflow-loop-")))
        node = ApacheKafka(home, folder).start()
        stack.callback(node.stop)
        stream = Stream(folder / "air", node.bootstrap, f"loop-{uuid.uuid4().hex[:6]}", extra=extra, trainer=trainer)
        stack.callback(stream.kill)
        yield stream, write_example(folder / "air.csv", until, hotter_from)


@contextmanager
def trainer_of(stream: Stream, *words: str) -> Iterator[Forked]:
    """The trainer as a process of its own; it is killed at the end where it has not ended."""
    process = driftflow("trainer", "-c", str(stream.toml), *words, log=stream.folder / "worker.log")
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def notices(stream: Stream) -> list[ModelNotice]:
    """What has been decided so far; nothing before the trainer has made its key."""
    if not (stream.folder / "keys" / "signing.pub").exists():
        return []
    return Registry(stream.config).notices()


def told(stream: Stream) -> list[ModelNotice]:
    """Notices on the signals topic that the trainer has signed, as often as they stand there."""
    trusted, found = trusted_keys(stream.config), []
    for message in read_signals(stream.config):
        notice = decode_event(message.value, message.headers)
        if isinstance(notice, ModelNotice) and not signature_fault(message.value or b"", message.headers, trusted):
            found.append(notice)
    return found
