"""What goes wrong in the middle of a batch is never saved, and a batch waits for what it needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from stream_app.errors import DriftflowError
from stream_app.stages.decisions import Activated
from stream_app.stages.outputs import Outgoing, Outputs
from stream_app.worker.agents import Worker
from stream_app.worker.batch_transport import Chunk, Token
from tests.worker.making import in_a_loop


class Stream:
    """Composites of one partition, as an agent gets them; counts the acks."""

    def __init__(self, *offsets: int, partition: int = 0) -> None:
        self.acked: list[int] = []
        self._events = [self._event(offset, partition) for offset in offsets]

    def _event(self, offset: int, partition: int) -> Any:
        record = SimpleNamespace(topic="e", partition=partition, offset=offset, value=b"{}", timestamp=0, headers=())
        chunk = Chunk([record], Token(offset))
        return SimpleNamespace(value=chunk, ack=lambda: self.acked.append(offset))

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[Any]:
        for event in self._events:
            yield event


@pytest.fixture
def scored(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Offsets that the pipeline was given; it sends nothing."""
    given: list[int] = []

    def score(raw: Any) -> Outputs:
        given.extend(raw.offsets.tolist())
        return Outputs()

    monkeypatch.setattr(worker.pipeline, "score", score)
    worker._ready.set()
    return given


@in_a_loop
async def test_a_batch_that_fails_ends_the_worker_and_nothing_after_it_is_saved(
    worker: Worker, scored: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> None:
        raise OSError("the producer is closed")

    stream = Stream(0, 1)
    await worker._score(Stream(7))
    out = Outputs(messages=[Outgoing("signals", 0, None, b"", ())])
    monkeypatch.setattr(worker.pipeline, "score", lambda raw: out)
    monkeypatch.setattr(worker._outbox, "put", refuse)
    with pytest.raises(OSError, match="the producer is closed"):
        await worker._score(stream)
    assert worker.app.crash_reason is not None, "a supervisor starts it again"
    for _ in range(2):  # Faust starts an agent that raised again, on what is left of the stream
        with pytest.raises(DriftflowError, match="not whole any more"):
            await worker._score(stream)
    with pytest.raises(DriftflowError, match="not whole any more"):
        await worker._checkpoint()
    await worker._revoked({TP("e", 0)})
    assert worker.store.load("source-0") is None
    assert not stream.acked


@in_a_loop
async def test_a_batch_waits_for_a_model_that_another_worker_put_in_service(worker: Worker, scored: list[int]) -> None:
    worker.pipeline.score_states[0].activate(0, "elsewhere")
    agent = asyncio.ensure_future(worker._score(Stream(3)))
    await asyncio.sleep(0.2)
    assert not scored
    worker.pipeline.models["elsewhere"] = SimpleNamespace()  # type: ignore[assignment]
    await agent
    assert scored == [3]


@pytest.mark.parametrize("role", ["score", "watch"])
@in_a_loop
async def test_a_partition_that_was_given_away_is_left_alone(worker: Worker, scored: list[int], role: str) -> None:
    """Between the hook of a revoke and the end of its commit the composites of the partition still look current."""
    stream = Stream(0, partition=1)
    await (worker._score(stream) if role == "score" else worker._watch(stream))
    assert not scored
    assert not worker._outbox._dirty


@in_a_loop
async def test_a_checkpoint_that_fails_half_way_is_made_up_for(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    worker._outbox.add_point(SimpleNamespace())  # type: ignore[arg-type]
    worker._outbox._dirty.add(("source", 0))
    kept: list[Any] = []

    def full(points: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(worker._outbox._spool, "append", full)
    with pytest.raises(OSError, match="no space left"):
        await worker._checkpoint()
    monkeypatch.setattr(worker._outbox._spool, "append", kept.extend)
    await worker._checkpoint()
    assert len(kept) == 1
    assert worker.store.load("source-0") is not None


@pytest.mark.parametrize("cut", [1, 30, 60])
def test_a_decision_cut_short_by_a_crash_is_forgotten_and_does_no_harm(worker: Worker, cut: int) -> None:
    store = worker.store
    first, second, third = (Activated(0, 1_000 * n, f"m{n}", "fused") for n in range(3))
    store.record(first)
    whole = (store._dir / "decisions.jsonl").read_bytes()
    store.record(second)
    path = store._dir / "decisions.jsonl"
    path.write_bytes(path.read_bytes()[: len(whole) + cut])
    assert store.decisions() == [first]
    store.record(third)
    assert store.decisions() == [first, third]
