"""Every genuine notice of the topic is taken, the newest model is in service; all else is refused and reported once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from flowlib.artifact import Ed25519PrivateKey
from schemas.intake import take_in
from schemas.records import DeadLetter, ModelNotice
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.kafka.types import TopicPartition
from stream_app.models.keys import files as key_files
from stream_app.stages.outputs import Outgoing
from stream_app.worker.models_feed import ModelsFeed
from stream_app.worker.reports import Reports
from tests.worker.making import KEY, in_a_loop, notice, notice_record, record

MODELS = TopicPartition("s.models", 0)
NOTICE = [("ce_type", b"driftflow.model-notice.v1")]
JUNK = record(MODELS, 0, b"junk", NOTICE)
STRANGER = Ed25519PrivateKey.generate()


class Consumer:
    """An aiokafka consumer: each poll brings the next list of records; after the last, nothing.

    Attributes:
        end: high watermark as the last fetch gave it; None before the first.
    """

    def __init__(self, polls: list[list[Any]], end: int | None) -> None:
        self._polls, self.end = list(polls), end
        self._brought = polls
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

    async def seek_to_beginning(self) -> None:
        """All of it once more."""
        self._polls = [[record for poll in self._brought for record in poll]]
        self.next_offset = 0

    async def position(self, partition: TopicPartition) -> int:
        """After what was fetched."""
        return self.next_offset

    def last_stable_offset(self, partition: TopicPartition) -> int:
        """A broker that knows no transactions."""
        return -1

    def highwater(self, partition: TopicPartition) -> int | None:
        """See :attr:`end`."""
        return self.end


class Rig:
    """A feed with a consumer of its own; the bytes of models are "verified" unless their signature says otherwise.

    Attributes:
        taken: model and status of each notice handed over, and whether it came with a model.
        letters: offset and reason of each dead letter.
    """

    def __init__(self, config: Config, consumer: Consumer) -> None:
        self.consumer = consumer
        self.taken: list[tuple[str, str, bool]] = []
        self._promoted: dict[int, str] = {}
        self.letters: list[tuple[int, str]] = []
        self.feed = ModelsFeed(config, self._take, self._refuse)

    async def _take(self, sent: ModelNotice, density: Any) -> None:
        self.taken.append((sent.model_id, sent.status, density is not None))
        if density is not None:
            self._promoted[sent.sequence] = sent.model_id

    async def _refuse(self, letter: Outgoing, reports: Reports) -> None:
        read = take_in("dead_letters", "s", letter.value, letter.headers)
        assert isinstance(read, DeadLetter)
        self.letters.append((read.offset, read.reason))
        reports.ack()

    @property
    def service(self) -> str:
        """The newest of the models that were handed over."""
        return self._promoted[max(self._promoted)] if self._promoted else ""

    async def to_the_end(self) -> None:
        """Take all that there is."""
        async with self.running():
            await asyncio.wait_for(self.feed.caught_up.wait(), 10)

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


def trust(config: Config, key: Ed25519PrivateKey) -> None:
    """Put a public key where ``state.trusted_keys`` looks for it."""
    key_files.put_first(config.path(config.state.trusted_keys[0]), key.public_key())


@pytest.fixture
def make_rig(config: Config, monkeypatch: pytest.MonkeyPatch) -> MakeRig:
    """Rigs whose consumer brings the records given, all in one fetch unless ``polls`` says otherwise."""

    def verified(model: Any, trusted: Any) -> Any:
        if model.signature == b"forged":
            raise ModelError("its bytes are not those that were signed")
        if model.signature == b"a slip":
            raise KeyError("features")
        return SimpleNamespace(model_id=model.model_id)

    def check_stream(density: Any, config: Config) -> None:
        if density.model_id == "of another stream":
            raise ModelError("it was made for stream 'x', not 's'")

    room = "stream_app.worker.models_feed"
    trust(config, KEY)
    config.path(config.state.dir).mkdir(exist_ok=True)
    monkeypatch.setattr(f"{room}.verified", verified)
    monkeypatch.setattr(f"{room}.check_stream", check_stream)
    monkeypatch.setattr(f"{room}.scored_by", lambda config, density: density)

    def make(*records: Any, polls: list[list[Any]] | None = None, end: int | None = -1) -> Rig:
        fetches = [list(records)] if polls is None else polls
        consumer = Consumer(fetches, sum(map(len, fetches)) if end == -1 else end)
        monkeypatch.setattr("stream_app.worker.feeds.AIOKafkaConsumer", lambda *_, **__: consumer)
        return Rig(config, consumer)

    return make


@in_a_loop
async def test_models_are_handed_over_in_order(make_rig: MakeRig) -> None:
    rig = make_rig(
        polls=[
            [notice_record(MODELS, 0, notice("a", sequence=1))],
            [],
            [
                notice_record(MODELS, 1, notice("b", "refused", sequence=2)),
                notice_record(MODELS, 2, notice("c", sequence=3)),
            ],
        ]
    )
    await rig.to_the_end()
    assert rig.taken == [("a", "promoted", True), ("b", "refused", False), ("c", "promoted", True)]
    assert (rig.feed.taken, rig.feed.refused) == (3, 0)


def unreadable(**fields: Any) -> Any:
    """A signed notice with fields that are out of range."""
    return notice_record(MODELS, 0, notice("m", sequence=1, **fields))


@pytest.mark.parametrize(
    ("bad", "reason", "said"),
    [
        (JUNK, "undecodable", "JSON is malformed"),
        (record(MODELS, 0, None, []), "tombstone", "it has no value"),
        (record(MODELS, 0, b"{}", [("ce_type", None)]), "not_ours", "it has no header ce_type"),
        (record(MODELS, 0, b"{}", [("ce_type", b"driftflow.not-known.v9")]), "not_ours", "none of the kinds known"),
        (unreadable(stream="another"), "other_stream", "of stream 'another'"),
        (unreadable(created_ms=2**62), "wrong_type", "created_ms"),
        (unreadable(created_ms=10**25), "wrong_type", "created_ms"),
        (unreadable(train_rows=2**63), "wrong_type", "train_rows"),
        (unreadable(gates={"a": 2**63}), "wrong_type", "gates holds a number out of range"),
        (notice_record(MODELS, 0, notice("m", "refused", sequence=1), key=None), "unsigned", "it is not signed"),
        (notice_record(MODELS, 0, notice("m", sequence=1), key=STRANGER), "untrusted_key", "not trusted here"),
        (notice_record(MODELS, 0, notice("m")), "stale", "it has no number"),
        (unreadable(signature=b"forged"), "not_accepted", "model m: its bytes are not those"),
        (unreadable(signature=b"a slip"), "not_accepted", "model m: KeyError: 'features'"),
        (notice_record(MODELS, 0, notice("of another stream", sequence=1)), "not_accepted", "made for stream 'x'"),
    ],
)
@in_a_loop
async def test_what_is_altered_or_not_ours_is_refused_and_the_next_one_is_taken(
    make_rig: MakeRig, caplog: pytest.LogCaptureFixture, bad: Any, reason: str, said: str
) -> None:
    rig = make_rig(bad, notice_record(MODELS, 1, notice("good", sequence=2)))
    with caplog.at_level(logging.ERROR):
        await rig.to_the_end()
    (line,) = caplog.messages
    assert line.startswith("Model notice at s.models/0@0 refused: ")
    assert said in line
    assert line.endswith("The model in service stays.")
    assert (rig.feed.taken, rig.feed.refused) == (1, 1)
    assert rig.letters == [(0, reason)]
    assert rig.taken == [("good", "promoted", True)]


@in_a_loop
async def test_a_signature_covers_the_figures_too(make_rig: MakeRig) -> None:
    genuine = notice_record(MODELS, 0, notice("m", sequence=1, reason="no better"))
    forged = record(MODELS, 0, genuine.value.replace(b"no better", b"far ahead"), genuine.headers)
    rig = make_rig(forged, genuine)
    await rig.to_the_end()
    assert rig.letters == [(0, "bad_signature")]
    assert rig.taken == [("m", "promoted", True)]


@in_a_loop
async def test_what_has_been_reported_is_not_reported_at_every_start(
    make_rig: MakeRig, caplog: pytest.LogCaptureFixture
) -> None:
    good, later = notice_record(MODELS, 1, notice("good", sequence=2)), record(MODELS, 2, None, [])
    with caplog.at_level(logging.WARNING):
        for records in ((JUNK, good), (JUNK, good), (JUNK, good, later)):
            rig = make_rig(*records)
            await rig.to_the_end()
            assert rig.feed.refused == len(records) - 1, "it is counted whether it is news or not"
    assert rig.letters == [(2, "tombstone")]
    lines = [line.split(":")[0] for line in caplog.messages]
    before = "1 messages on s.models are refused as before (undecodable"
    assert lines == ["Model notice at s.models/0@0 refused", before, "Model notice at s.models/0@2 refused", before]


@in_a_loop
async def test_a_topic_that_was_made_anew_is_reported_anew(make_rig: MakeRig) -> None:
    await make_rig(*(record(MODELS, offset, None, []) for offset in range(5))).to_the_end()
    rig = make_rig(JUNK)
    await rig.to_the_end()
    assert rig.letters == [(0, "undecodable")]


@pytest.mark.parametrize("text", [b"", b"{", b'{"0": "x"}'])
@in_a_loop
async def test_a_damaged_note_of_what_was_reported_only_means_that_it_is_said_again(
    make_rig: MakeRig, config: Config, text: bytes
) -> None:
    (config.path(config.state.dir) / "models-reported.json").write_bytes(text)
    rig = make_rig(JUNK)
    await rig.to_the_end()
    assert rig.letters == [(0, "undecodable")]


@in_a_loop
async def test_an_older_model_that_is_published_again_is_there_and_does_not_take_over(make_rig: MakeRig) -> None:
    """After a compaction the copy that was published last may be the only one of a model that decisions name."""
    second, third = notice("second", sequence=2), notice("third", sequence=3)
    rig = make_rig(
        notice_record(MODELS, 1, second),
        notice_record(MODELS, 2, third),
        notice_record(MODELS, 3, notice("first", sequence=1)),
        notice_record(MODELS, 4, second),
        notice_record(MODELS, 5, third),
    )
    await rig.to_the_end()
    assert rig.taken == [("second", "promoted", True), ("third", "promoted", True), ("first", "promoted", True)]
    assert (rig.service, rig.feed.taken, rig.feed.refused) == ("third", 5, 0)


@in_a_loop
async def test_of_two_genuine_notices_with_one_number_the_first_counts(
    make_rig: MakeRig, caplog: pytest.LogCaptureFixture
) -> None:
    sent = [notice("a", sequence=1), notice("b", sequence=2), notice("c", sequence=1), notice("d", sequence=2)]
    rig = make_rig(*(notice_record(MODELS, offset, one) for offset, one in enumerate(sent)))
    with caplog.at_level(logging.ERROR):
        await rig.to_the_end()
    assert rig.letters == [(2, "stale"), (3, "stale")]
    assert rig.service == "b"
    assert "another notice has its number, 1, and the first one counts" in caplog.text


@in_a_loop
async def test_a_notice_waits_for_the_key_that_is_trusted_later(make_rig: MakeRig, config: Config) -> None:
    rig = make_rig(
        notice_record(MODELS, 0, notice("a", sequence=1)),
        notice_record(MODELS, 1, notice("b", sequence=2), key=STRANGER),
    )
    async with rig.running():
        await asyncio.wait_for(rig.feed.caught_up.wait(), 10)
        assert (rig.service, rig.letters) == ("a", [(1, "untrusted_key")])
        trust(config, STRANGER)
        while rig.service != "b":
            await asyncio.sleep(0.01)
    assert rig.taken == [("a", "promoted", True), ("b", "promoted", True)]


@in_a_loop
async def test_a_key_file_that_is_damaged_meanwhile_changes_nothing(
    make_rig: MakeRig, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    rig = make_rig(notice_record(MODELS, 0, notice("a", sequence=1)))
    config.path(config.state.trusted_keys[0]).write_text("half a k")
    with caplog.at_level(logging.ERROR):
        await rig.to_the_end()
    assert rig.service == "a"
    assert "The keys that were trusted before stay so." in caplog.text


@pytest.mark.parametrize("end", [None, 2])
@in_a_loop
async def test_silence_of_the_broker_is_not_the_end_of_the_topic(make_rig: MakeRig, end: int | None) -> None:
    rig = make_rig(notice_record(MODELS, 0, notice("a", sequence=1)), end=end)
    async with rig.running():
        for _ in range(50):
            await asyncio.sleep(0.002)
        assert rig.taken
        assert not rig.feed.caught_up.is_set()
        rig.consumer.end = 1
        await asyncio.wait_for(rig.feed.caught_up.wait(), 10)
