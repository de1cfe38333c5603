"""Decisions are made only where they change nothing that has been said, and lose nothing that is still to be read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from flowlib.density import Density
from stream_app.stages.decisions import Activated, PassedOver
from stream_app.worker.agents import Worker
from stream_app.worker.status import StatusFile
from tests.worker.making import in_a_loop

Progress = dict[Any, tuple[int | None, int | None]]


def set_progress(worker: Worker, monkeypatch: pytest.MonkeyPatch, topic: str, settled: int, high: int | None) -> None:
    table: Progress = {TP(topic, 0): (settled, high)}
    monkeypatch.setattr(Worker, "progress", lambda _: table)


def put_in_service(worker: Worker, model_id: str) -> None:
    """A model that has arrived; what scores it is written down with the decision."""
    worker.pipeline.models[model_id] = cast(Density, SimpleNamespace(engine=SimpleNamespace(name="fused")))
    worker._decider.service = model_id


def tell_unread(worker: Worker, lag: int | None) -> None:
    """What the owner of source partition 1 writes into its status."""
    StatusFile(worker.config).write({"counters": {}, "unread": {1: lag}})


def pass_over_idle(worker: Worker) -> None:
    worker._decider.pass_over_idle(worker.lags(worker.config.topics.partials))


@pytest.mark.parametrize(("unread", "lag", "passed"), [(0, 0, True), (7, 0, False), (None, 0, False), (0, 3, False)])
@in_a_loop
async def test_only_a_source_with_nothing_to_read_is_idle(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, unread: int | None, lag: int, passed: bool
) -> None:
    watcher = worker.pipeline.watch_states[0]
    watcher.closed = {0: 9_000, 1: 2_000}
    set_progress(worker, monkeypatch, worker.config.topics.partials, 10 - lag, 10)
    tell_unread(worker, unread)
    clock = iter((0.0, 5.0))
    monkeypatch.setattr("stream_app.worker.deciding.time", SimpleNamespace(monotonic=lambda: next(clock)))
    pass_over_idle(worker)  # hears of both for the first time
    assert not worker.store.decisions()
    pass_over_idle(worker)
    expected = [PassedOver(q=0, partition=1, from_ms=2_000, to_ms=9_000)] if passed else []
    assert worker.store.decisions() == expected


@in_a_loop
async def test_a_source_that_nobody_owns_is_not_idle(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    worker.pipeline.watch_states[0].closed = {0: 9_000, 1: 2_000}
    set_progress(worker, monkeypatch, worker.config.topics.partials, 10, 10)
    clock = iter((0.0, 5.0))
    monkeypatch.setattr("stream_app.worker.deciding.time", SimpleNamespace(monotonic=lambda: next(clock)))
    for _ in range(2):
        pass_over_idle(worker)
    assert not worker.store.decisions()


@in_a_loop
async def test_a_new_model_waits_until_what_a_killed_worker_may_have_scored_is_behind(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Activated(0, 0, "old")
    worker.store.record(old)
    events, q = worker.config.topics.events, {TP(worker.config.topics.events, 0)}
    await worker._assigned(q)
    put_in_service(worker, "new")
    for settled, high in ((3, None), (3, 10), (9, 12)):  # the end counts as it was when it was first heard of
        set_progress(worker, monkeypatch, events, settled, high)
        worker._decider.activate(0)
        worker._decider.end_catching_up(worker.progress())
        assert worker.store.decisions() == [old]
    set_progress(worker, monkeypatch, events, 10, 15)
    worker._decider.end_catching_up(worker.progress())
    assert [d.model_id for d in worker.store.decisions() if isinstance(d, Activated)] == ["old", "new"]


@in_a_loop
async def test_the_first_model_need_not_wait(worker: Worker) -> None:
    await worker._assigned({TP(worker.config.topics.events, 0)})
    put_in_service(worker, "first")
    worker._decider.activate(0)
    assert worker.store.decisions() == [Activated(0, 0, "first", "fused")]
