"""Every model of the topic is taken in order; what is altered or not ours changes nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.kafka.types import TopicPartition
from stream_app.worker.models_feed import ModelsFeed
from tests.worker.making import in_a_loop, notice, notice_record, record

MODELS = TopicPartition("s.models", 0)
JUNK = record(MODELS, 0, b"junk", [("ce_type", b"driftflow.model-notice.v1")])


class Consumer:
    """An aiokafka consumer: each poll brings the next list of records; after the last, nothing.

    Attributes:
        end: high watermark as the last fetch gave it; None before the first.
    """

    def __init__(self, polls: list[list[Any]], end: int | None) -> None:
        self._polls, self.end = polls, end
        self.next_offset = 0
        self.stopped = False

    async def start(self) -> None:
        """Connected."""

    async def stop(self) -> None:
        """Closed."""
        self.stopped = True

    def assignment(self) -> set[TopicPartition]:
        """The topic's one partition."""
        return {MODELS}

    async def getmany(self, *, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        """The next records."""
        await asyncio.sleep(0)
        records = self._polls.pop(0) if self._polls else []
        self.next_offset += len(records)
        return {MODELS: records} if records else {}

    async def position(self, partition: TopicPartition) -> int:
        """After what was fetched."""
        return self.next_offset

    def highwater(self, partition: TopicPartition) -> int | None:
        """See :attr:`end`."""
        return self.end


class Rig:
    """A feed with a consumer of its own; models are "verified" unless their signature says otherwise.

    Attributes:
        taken: model and status of each notice handed over, and whether it came with a model.
    """

    def __init__(self, config: Config, consumer: Consumer) -> None:
        self.consumer = consumer
        self.taken: list[tuple[str, str, bool]] = []
        self.feed = ModelsFeed(config, self._take)

    async def _take(self, sent: ModelNotice, density: Any) -> None:
        self.taken.append((sent.model_id, sent.status, density is not None))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The feed, stopped in the end."""
        task = asyncio.ensure_future(self.feed.run())
        try:
            yield
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert self.consumer.stopped


MakeRig = Callable[..., Rig]


@pytest.fixture
def make_rig(config: Config, monkeypatch: pytest.MonkeyPatch) -> MakeRig:
    """Rigs whose consumer brings the records given, all in one fetch unless ``polls`` says otherwise."""

    def verified(model: Any, trusted: Any) -> Any:
        if model.signature == b"forged":
            raise ModelError("its bytes are not those that were signed")
        return SimpleNamespace(model_id=model.model_id)

    def check_stream(density: Any, config: Config) -> None:
        if density.model_id == "of another stream":
            raise ModelError("it was made for stream 'x', not 's'")

    room = "stream_app.worker.models_feed"
    monkeypatch.setattr(f"{room}.trusted_keys", lambda _: {})
    monkeypatch.setattr(f"{room}.verified", verified)
    monkeypatch.setattr(f"{room}.check_stream", check_stream)
    monkeypatch.setattr(f"{room}.scored_by", lambda config, density, clock: density)

    def make(*records: Any, polls: list[list[Any]] | None = None, end: int | None = -1) -> Rig:
        fetches = [list(records)] if polls is None else polls
        consumer = Consumer(fetches, sum(map(len, fetches)) if end == -1 else end)
        monkeypatch.setattr(f"{room}.AIOKafkaConsumer", lambda *_, **__: consumer)
        return Rig(config, consumer)

    return make


@in_a_loop
async def test_models_are_handed_over_in_order(make_rig: MakeRig) -> None:
    rig = make_rig(
        polls=[
            [notice_record(MODELS, 0, notice("a"))],
            [],
            [notice_record(MODELS, 1, notice("b", "refused")), notice_record(MODELS, 2, notice("c"))],
        ]
    )
    async with rig.running():
        await asyncio.wait_for(rig.feed.caught_up.wait(), 10)
    assert rig.taken == [("a", "promoted", True), ("b", "refused", False), ("c", "promoted", True)]
    assert rig.feed.refused == 0


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (JUNK, "Model notice at s.models/0@0 refused"),
        (notice_record(MODELS, 0, notice("m", signature=b"forged")), "Model m at s.models/0@0 refused: its bytes"),
        (notice_record(MODELS, 0, notice("of another stream")), "refused: it was made for stream 'x'"),
    ],
)
@in_a_loop
async def test_what_is_altered_is_refused_and_the_next_one_is_taken(
    make_rig: MakeRig, caplog: pytest.LogCaptureFixture, bad: Any, said: str
) -> None:
    rig = make_rig(bad, notice_record(MODELS, 1, notice("good")))
    with caplog.at_level(logging.ERROR):
        async with rig.running():
            await asyncio.wait_for(rig.feed.caught_up.wait(), 10)
    assert said in caplog.text
    assert "The model in service stays." in caplog.text
    assert rig.feed.refused == 1
    assert rig.taken == [("good", "promoted", True)]


@pytest.mark.parametrize(
    "other",
    [
        record(MODELS, 0, None, []),
        record(MODELS, 0, b"{}", [("ce_type", b"driftflow.not-known-here.v9")]),
        notice_record(MODELS, 0, notice("m", stream="another")),
    ],
)
@in_a_loop
async def test_what_is_not_for_this_stream_is_passed_over_in_silence(make_rig: MakeRig, other: Any) -> None:
    rig = make_rig(other)
    async with rig.running():
        await asyncio.wait_for(rig.feed.caught_up.wait(), 10)
    assert not rig.taken
    assert rig.feed.refused == 0


@pytest.mark.parametrize("end", [None, 2])
@in_a_loop
async def test_silence_of_the_broker_is_not_the_end_of_the_topic(make_rig: MakeRig, end: int | None) -> None:
    rig = make_rig(notice_record(MODELS, 0, notice("a")), end=end)
    async with rig.running():
        for _ in range(50):
            await asyncio.sleep(0.002)
        assert rig.taken
        assert not rig.feed.caught_up.is_set()
        rig.consumer.end = 1
        await asyncio.wait_for(rig.feed.caught_up.wait(), 10)
