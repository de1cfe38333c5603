"""What is kept of a partition never says more than what the broker has acknowledged."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from flowlib.artifact import key_id
from schemas.codecs import Envelope, encode_event
from schemas.intake import TYPES
from schemas.records import Activation, OffsetRange, RetrainRequest
from schemas.signing import is_signature
from stream_app.config import Config
from stream_app.kafka.types import TopicPartition
from stream_app.models.signing import signature_fault
from stream_app.sinks.spool import Spool
from stream_app.stages.outputs import Outgoing, Outputs, Point, Points
from stream_app.worker.agents import Worker
from stream_app.worker.files import FileStore
from stream_app.worker.outbox import GAPS, Outbox
from stream_app.worker.partitions import Partitions
from stream_app.worker.told import Told
from tests.worker.making import KEY, in_a_loop

POINT = Point("alerts", (("rule", "drift"),), 5, (("n", 1),))


class Rig:
    """An outbox whose broker acknowledges when a test says so.

    Attributes:
        pending: acknowledgements that the broker still owes, in the order of the sends.
        done: what has become durable, in order.
        taken_over: partitions that another worker has.
    """

    def __init__(self, config: Config, spool: Any) -> None:
        self.pending: list[asyncio.Future[Any]] = []
        self.sent: list[tuple[Any, ...]] = []
        self.done: list[str] = []
        self.taken_over: set[TopicPartition] = set()
        partitions: Any = self
        self.outbox = Outbox(self._send, config.topics, spool, partitions, KEY, Told(config))

    def save(self, tp: TopicPartition, told: Any, last: bool, at: Any) -> None:
        """As :class:`stream_app.worker.partitions.Partitions` does it."""
        self.done.append(f"saved {tp.topic}/{tp.partition}")

    def settle(self) -> None:
        """What was saved is durable already."""

    def __contains__(self, tp: TopicPartition) -> bool:
        return tp not in self.taken_over

    async def _send(self, topic: str, key: Any, value: Any, *, partition: Any, headers: Any) -> asyncio.Future[Any]:
        self.sent.append((topic, key, value, partition, headers))
        self.pending.append(asyncio.get_running_loop().create_future())
        return self.pending[-1]

    async def process(self, tp: TopicPartition, role: Any = "signals") -> asyncio.Future[Any]:
        """As if a batch had been processed: one message is on its way."""
        event: Any = SimpleNamespace(ack=lambda: self.done.append("acked"))
        await self.outbox.put(Outputs([Outgoing(role, 1, b"k", b"v", (("h", b"1"),))], Points([POINT])), tp, event)
        return self.pending[-1]


class Full:
    """A spool on a full disk."""

    def append(self, points: Any) -> None:
        """Refuse."""
        raise OSError("no space left on device")


@pytest.fixture
def rig(config: Config, spool: Spool) -> Rig:
    return Rig(config, spool)


def acknowledged(topic: str) -> Any:
    """What the broker says of a message that it has taken."""
    return SimpleNamespace(topic=topic, partition=1, offset=7)


@in_a_loop
async def test_state_is_saved_and_acked_after_the_broker_has_acknowledged(
    rig: Rig, spool: Spool, config: Config, source: TopicPartition
) -> None:
    pending = await rig.process(source)
    assert rig.sent == [(config.topics.signals, b"k", b"v", 1, (("h", b"1"),))]
    checkpoint = asyncio.ensure_future(rig.outbox.checkpoint())
    await asyncio.sleep(0)
    assert not rig.done
    assert not spool.read(9)
    assert rig.outbox.pending == 1
    pending.set_result(acknowledged(config.topics.signals))
    await checkpoint
    assert rig.done == ["saved e/0", "acked"]
    assert [point for _, point in spool.read(9)] == [POINT]
    assert rig.outbox.pending == 0


@in_a_loop
async def test_what_is_durable_is_not_done_again(
    rig: Rig, spool: Spool, config: Config, source: TopicPartition
) -> None:
    (await rig.process(source)).set_result(acknowledged(config.topics.signals))
    for _ in range(3):
        await rig.outbox.checkpoint()
    assert rig.done == ["saved e/0", "acked"]
    assert len(spool.read(9)) == 1


@in_a_loop
async def test_no_later_checkpoint_passes_a_message_that_was_not_taken(
    rig: Rig, spool: Spool, config: Config, source: TopicPartition
) -> None:
    (await rig.process(source)).set_exception(OSError("the broker went away"))
    (await rig.process(source)).set_result(acknowledged(config.topics.signals))
    for _ in range(2):
        with pytest.raises(OSError, match="went away"):
            await rig.outbox.checkpoint()
    assert not rig.done
    assert not spool.read(9)


@in_a_loop
async def test_a_checkpoint_that_is_cancelled_leaves_its_messages_on_their_way(
    rig: Rig, config: Config, source: TopicPartition
) -> None:
    pending = await rig.process(source, "partials")
    checkpoint = asyncio.ensure_future(rig.outbox.checkpoint())
    await asyncio.sleep(0)
    checkpoint.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checkpoint
    assert not pending.cancelled()
    assert not rig.done
    pending.set_result(acknowledged(config.topics.partials))
    await rig.outbox.checkpoint()
    assert rig.done == ["saved e/0", "acked"]
    assert rig.outbox.sent_until == {TopicPartition(config.topics.partials, 1): 8}


@in_a_loop
async def test_a_checkpoint_that_fails_half_way_is_made_up_for(
    config: Config, spool: Spool, source: TopicPartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(config, spool)
    (await rig.process(source)).set_result(acknowledged(config.topics.signals))
    with monkeypatch.context() as patch:
        patch.setattr(spool, "append", Full().append)
        with pytest.raises(OSError, match="no space left"):
            await rig.outbox.checkpoint()
    assert not rig.done
    await rig.outbox.checkpoint()
    assert rig.done == ["saved e/0", "acked"]
    assert len(spool.read(9)) == 1


@in_a_loop
async def test_points_of_no_partition_go_with_the_next_checkpoint(rig: Rig, spool: Spool) -> None:
    rig.outbox.add_point(POINT)
    await rig.outbox.checkpoint()
    assert [point for _, point in spool.read(9)] == [POINT]
    assert not rig.done


REQUEST = RetrainRequest(
    id="r",
    stream="s",
    reason="drift",
    slices=["north"],
    alerts=["a"],
    model_id="m",
    requested_pane_ms=1_000,
    train=[OffsetRange(topic="e", partition=0, start=0, end=9, start_ms=0, end_ms=1_000)],
    calibrate_from_ms=0,
)


@in_a_loop
async def test_requests_are_signed_outside_the_bytes_that_a_replay_compares(rig: Rig, source: TopicPartition) -> None:
    swap = Activation(stream="s", topic="e", partition=0, pane_start_ms=0, model_id="m")
    request, other = (encode_event(Envelope(one, "id", "/driftflow/s/watch/0", 1_000)) for one in (REQUEST, swap))
    assert dict(request.headers)["ce_type"].decode() in TYPES
    for message in (request, other, request):
        await rig.outbox.put(Outputs([Outgoing("signals", 3, None, message.value, message.headers)]), source)
    (_, _, value, _, headers), (*_, plain), again = rig.sent
    trusted = {key_id(KEY.public_key()): KEY.public_key()}
    assert signature_fault(value, headers, trusted) is None
    assert (value, tuple(h for h in headers if not is_signature(h[0]))) == (request.value, request.headers)
    assert plain == other.headers, "nobody acts on an activation"
    assert again == rig.sent[0], "sent again after a crash it is the same"


@in_a_loop
async def test_what_belongs_to_no_partition_is_acked_once_it_is_sent(rig: Rig, config: Config) -> None:
    message, note = Outgoing("dead_letters", 0, None, b"v", ()), SimpleNamespace(ack=lambda: rig.done.append("noted"))
    await rig.outbox.put(Outputs([message]), None, note)
    assert rig.outbox.pending == 0
    checkpoint = asyncio.ensure_future(rig.outbox.checkpoint())
    await asyncio.sleep(0)
    assert not rig.done
    rig.pending[0].set_result(acknowledged(config.topics.dead_letters))
    await checkpoint
    assert rig.done == ["noted"]


@in_a_loop
async def test_what_another_worker_has_taken_over_is_not_acked(rig: Rig, source: TopicPartition) -> None:
    """It would be committed, and no state has it: the other one has to read it again."""
    (await rig.process(source)).set_result(acknowledged("s.signals"))
    rig.taken_over.add(source)
    (await rig.process(source._replace(partition=1))).set_result(acknowledged("s.signals"))
    await rig.outbox.checkpoint()
    assert rig.done == ["saved e/0", "saved e/1", "acked"]


class Crash(Exception):
    """The process ends here."""


@pytest.mark.parametrize("gap", [gap.replace(" ", "-") for gap in GAPS])
@in_a_loop
async def test_a_crash_in_each_gap_leaves_what_was_durable_by_then(
    gap: str, worker: Worker, store: FileStore, spool: Spool, config: Config, source: TopicPartition
) -> None:
    gap, gaps = gap.replace("-", " "), list[str]()

    def at(name: str) -> None:
        gaps.append(name)
        if name == gap:
            raise Crash

    rig = Rig(config, spool)
    outbox = Outbox(rig._send, config.topics, spool, worker._partitions, KEY, Told(config), at)
    worker.pipeline.score_states[0].next_offset = 7
    event: Any = SimpleNamespace(ack=lambda: rig.done.append("acked"))
    await outbox.put(Outputs([Outgoing("signals", 1, b"k", b"v", ())], Points([POINT])), source, event)
    rig.pending[0].set_result(acknowledged(config.topics.signals))
    with pytest.raises(Crash):
        await outbox.checkpoint()
    done = GAPS.index(gap)
    assert gaps == [*GAPS[: done + 1]], "each is reached, in this order"
    assert len(spool.read(9)) == (done >= GAPS.index("spooled"))
    folder = config.path(config.state.dir)
    assert len(list(folder.glob("source-0.*.base"))) == (done >= GAPS.index("base kept"))
    assert len(list(folder.glob("source-0.head"))) == (done >= GAPS.index("saved"))
    assert rig.done == (["acked"] if gap == "acked" else [])
    reopened = Partitions(config, store, worker.pipeline)
    worker.pipeline.close_score(0)
    reopened.open(source)
    assert reopened.next_offset(source) == (7 if done >= GAPS.index("saved") else None), (
        "a base alone counts for nothing"
    )
