"""Two models on the example's first months, made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from stream_app.offline.first_model import bootstrap
from tests.forked import Forked, driftflow
from tests.integration.stream import Stream, write_example

MakeStream = Callable[..., Stream]
Start = Callable[..., Forked]


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first six weeks, twelve stations; the last days are so hot that there are incidents, whatever the model."""
    return write_example(tmp_path_factory.mktemp("example") / "air.csv", "2013-04-16", hotter_from="2013-04-12")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, example: Path) -> Path:
    """A folder with keys and a registry of two models, the second one trained on more."""
    stream = Stream(tmp_path_factory.mktemp("models"), "127.0.0.1:1", "models-of-all")
    for until in ("2013-03-25", "2013-04-01"):
        bootstrap(stream.config, example, until, Console(quiet=True))
    return stream.folder


@pytest.fixture
def make_stream(
    tmp_path: Path, broker: tuple[str, str], unique: Callable[[str], str], models: Path
) -> Iterator[MakeStream]:
    """Streams on the broker at hand, with the two models; their workers end with the test."""
    streams: list[Stream] = []

    def make(name: str = "air", **options: str) -> Stream:
        stream = Stream(tmp_path / f"{name}-{len(streams)}", broker[1], unique(f"{name}{len(streams)}"), **options)
        stream.adopt(models)
        streams.append(stream)
        return stream

    yield make
    for stream in streams:
        stream.kill()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the trainer of a stream; one that still runs ends with the test."""
    running: list[Forked] = []

    def start(stream: Stream, *words: str, before: Callable[[], None] | None = None) -> Forked:
        log = stream.folder / "worker.log"  # what Stream.wait shows where it fails
        running.append(driftflow("trainer", "-c", str(stream.toml), *words, log=log, before=before))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()
