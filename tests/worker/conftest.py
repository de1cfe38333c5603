"""A worker without a broker, and its parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from stream_app.config import Config
from stream_app.guard import Guard
from stream_app.kafka.types import TopicPartition
from stream_app.sinks.spool import Spool
from stream_app.worker.agents import Worker
from stream_app.worker.files import FileStore
from stream_app.worker.supervision import Parts
from tests.stages import streams
from tests.stages.conftest import model

__all__ = ["model"]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A stream of two source and two partials partitions, in a folder of its own; nobody connects to its broker."""
    return msgspec.structs.replace(streams.config(windows={"idle_after": "1s"}), root=str(tmp_path))


@pytest.fixture
def source(config: Config) -> TopicPartition:
    """The first source partition."""
    return TopicPartition(config.topics.events, 0)


@pytest.fixture
def partials(config: Config) -> TopicPartition:
    """The first partials partition."""
    return TopicPartition(config.topics.partials, 0)


@pytest.fixture
def store(config: Config) -> FileStore:
    """Where snapshots and decisions are kept."""
    return FileStore(config)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """An empty spool."""
    made = Spool(tmp_path / "spool.sqlite", 100)
    yield made
    made.close()


@pytest.fixture
def worker(config: Config, store: FileStore, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker with the first source and the first partials partition open, which trusts no key, and whose broker says
    nothing of its logs.
    """
    monkeypatch.setattr("stream_app.worker.logs.look", lambda *_: {})
    made = Worker(config, store, spool, Parts(Guard(8.0)))
    made.pipeline.open_score(0)
    made.pipeline.open_watch(0)
    return made
