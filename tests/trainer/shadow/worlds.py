"""A stream with a model in service, a better candidate, and live events, all made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from flowlib.table import DAY_MS, Coded, Table
from schemas.records import ModelNotice, RetrainRequest
from stream_app.config import Config, Duration
from stream_app.models.keys import signing_key
from stream_app.models.registry import Registry
from stream_app.stages.batches import EventBatch
from stream_app.trainer import training, trying
from stream_app.trainer.data.rows import Rows
from stream_app.trainer.gates.gate import Gate
from stream_app.trainer.outcome import Outcome
from stream_app.trainer.shadow import candidates, reading
from stream_app.trainer.trainer import Trainer
from stream_app.trainer.training import answer
from tests.trainer.asking import LATER, ask, asked, batches, seen, stream_in
from tests.trainer.conftest import Topics
from tests.trainer.fakes import FakeConsumer
from tests.trainer.test_answering import DAYS, rows

HOURS = DAYS * 24
LIVE_DAYS = 40
SHIFT = 2.0


def config_in(folder: Path, **trainer: Any) -> Config:
    """The stream, on panes of six hours."""
    config = stream_in(folder, **{"promotion": "shadow", **trainer})
    event = msgspec.structs.replace(config.event, time_format="epoch_ms")
    windows = msgspec.structs.replace(config.windows, pane=Duration(DAY_MS // 4))
    return msgspec.structs.replace(config, event=event, windows=windows)


def live(shift: float = SHIFT) -> Table:
    """What comes after the rows of the requests, an event an hour."""
    table = rows(shift, seed=9, n_days=LIVE_DAYS)
    return Table(table.numeric, table.categories, table.slices, table.time_ms + LATER)


def as_log(table: Table) -> list[bytes | None]:
    """Events on a partition, after those of the requests."""
    bodies: list[bytes | None] = [
        msgspec.json.encode({"t": int(time_ms), "x": float(x), "y": float(y)})
        for time_ms, (x, y) in zip(table.time_ms, table.numeric, strict=True)
    ]
    return [None] * HOURS + bodies


def batch_of(table: Table, first: int = 0) -> EventBatch:
    """Events as a topic hands them out, from an offset on."""
    index = np.arange(len(table))
    slices = (Coded.of(table.slices),)
    return EventBatch("e", 0, index, index + first, table.time_ms, table.numeric, table.categories, slices)


def better(number: int = 1) -> RetrainRequest:
    """The request that the candidate answers."""
    return ask(number, LATER + number, reason="drift")


@dataclass
class World:
    """One stream in a folder of its own.

    Attributes:
        folder: of its files.
        topics: what the trainer has sent.
        consumers: that the shadow has read with.
        said: lines for the person who watches.
        outcome: of the gates, for any request.
        log: bodies of the events topic.
        live: the live events among them.
    """

    folder: Path
    topics: Topics
    consumers: list[FakeConsumer]
    said: list[str]
    outcome: Outcome
    log: list[bytes | None]
    live: Table = field(default_factory=lambda: live())

    def start(self, **trainer: Any) -> Trainer:
        """A new process on the same files."""
        started = Trainer(config_in(self.folder, **trainer), {}, self.said.append)
        started._answering.finish_earlier()
        return started

    @property
    def registry(self) -> Registry:
        return Registry(config_in(self.folder))

    def wait_for_a_person(self, reason: str) -> None:
        """Let the gates leave it to a person from now on."""
        notice = msgspec.structs.replace(self.outcome.notice, status="waiting", reason=reason)
        self.outcome = replace(self.outcome, notice=notice, verdict="wait")

    def answers(self) -> list[ModelNotice]:
        """Notices after that of the first model."""
        return self.registry.notices()[1:]

    def read(self, _: Any, ranges: Any, *__: Any) -> list[EventBatch]:
        """The topic, as :func:`read_ranges` hands it out, up to the ends of the ranges."""
        extra = ranges[0].end - HOURS
        shifted = batch_of(rows(SHIFT, seed=5))
        return [shifted, batch_of(self.live.span(0, extra), HOURS)] if extra else [shifted]


def answered(trainer: Trainer, made: RetrainRequest) -> None:
    """Answer a request, the shadow included."""
    trainer.handle(asked(made))
    until_decided(trainer)


def until_decided(trainer: Trainer, steps: int = 2_000) -> None:
    """Let the shadow come to its end."""
    for _ in range(steps):
        if not trainer.go_on(timeout_ms=0):
            return
    raise AssertionError("the shadow does not come to an end")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A folder with a model in service, and what the gates say of a better one."""
    folder = tmp_path_factory.mktemp("shadow")
    with pytest.MonkeyPatch.context() as patch:
        topics = Topics(patch)
        topics.connect(patch)
        trainer = Trainer(config_in(folder), {}, lambda _: None)
        first = trainer.handle(asked(ask(0)))
        assert first is not None
        assert first.status == "promoted", first.reason
        trainer.close()
    config = config_in(folder)
    champion = Registry(config).current()
    with pytest.MonkeyPatch.context() as patch:  # whether the gates are right is for their own tests
        patch.setattr(training, "run_gates", lambda _: [Gate("likelihood", True, "it explains unseen events better")])
        outcome = answer(config, better(), Rows.of(rows(SHIFT, seed=5)), champion, signing_key(config))
    assert outcome.verdict == "pass", outcome.notice.reason
    return folder, outcome


@pytest.fixture
def world(prepared: tuple[Path, Outcome], topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The stream, its events shifted as the candidate has learnt them."""
    folder = tmp_path / "stream"
    shutil.copytree(prepared[0], folder)
    world = World(folder, topics, [], [], prepared[1], as_log(live()))

    def consumer(**_: Any) -> FakeConsumer:
        world.consumers.append(FakeConsumer({0: world.log}, a_poll=50))
        return world.consumers[-1]

    def answered(_: Any, request: RetrainRequest, *__: Any) -> Outcome:
        notice = msgspec.structs.replace(world.outcome.notice, request_id=request.id)
        return replace(world.outcome, notice=notice)

    monkeypatch.setattr(reading, "KafkaConsumer", consumer)
    monkeypatch.setattr(trying, "answer", answered)
    monkeypatch.setattr(candidates, "read_ranges", world.read)
    topics.read = lambda *_: batches()
    topics.seen = seen()
    return world


Crash = Callable[[pytest.MonkeyPatch], None]


def crashing(owner: Any, name: str, at: int, after: bool) -> Crash:
    """Kills the process at a call of a function, before or after it."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        done, calls = getattr(owner, name), iter(range(10**9))

        def die(*given: Any, **named: Any) -> Any:
            is_now = next(calls) == at
            if is_now and not after:
                raise KeyboardInterrupt
            result = done(*given, **named)
            if is_now:
                raise KeyboardInterrupt
            return result

        monkeypatch.setattr(owner, name, die)

    return patch


def places() -> Iterator[tuple[str, Any, str, int, bool]]:
    """Where a process may end: name, owner, function, which call, and whether after it."""
    from stream_app.trainer import delivery
    from stream_app.trainer.shadow.state import CandidateFile

    for owner, name, calls in (
        (Registry, "save", 2),
        (CandidateFile, "keep", 2),
        (Registry, "record", 2),
        (delivery, "publish", 2),
        (delivery, "tell", 2),
        (Registry, "change", 1),
        (CandidateFile, "clear", 1),
    ):
        for at in range(calls):
            for after in (False, True):
                yield f"{'after' if after else 'before'} {name} {at}", owner, name, at, after
