"""What people say counts where an operator's key has signed it, once; all else is refused and reported once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaProducer

from flowlib.artifact import Ed25519PrivateKey
from schemas.codecs import Envelope, WireMessage, encode_event
from schemas.incidents import Action
from schemas.intake import take_in
from schemas.records import DeadLetter
from stream_app.config import Config
from stream_app.kafka.actions import action_message
from stream_app.kafka.topics import ensure_topics
from stream_app.models.keys import files as key_files
from stream_app.models.signing import sign
from stream_app.stages.outputs import Outgoing
from stream_app.worker.actions_feed import ActionsFeed
from stream_app.worker.reports import Reports
from stream_app.worker.topic_ids import TopicIds
from tests.worker.making import in_a_loop, make_config

Names = Callable[[str], str]
KEY, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


@pytest.fixture
def config(broker: tuple[str, str], unique: Names, tmp_path: Path) -> Config:
    """A stream whose topics are there, and whose operator is trusted."""
    made = msgspec.structs.replace(make_config(broker[1], unique("acts"), partitions=1), root=str(tmp_path))
    key_files.put_first(tmp_path / "keys" / "operator.pub", KEY.public_key())
    ensure_topics(made)
    return made


class Rig:
    """A feed, and what it hands over.

    Attributes:
        taken: id and offset of each action.
        letters: offset and reason of each dead letter.
        decided: ids of the actions that were taken in before, and why nothing follows; None where JUDGE is not here.
        here: what is answered to an action.
        said: lines for the status.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.taken: list[tuple[str, int]] = []
        self.letters: list[tuple[int, str]] = []
        self.decided: dict[str, str] | None = {}
        self.here = True
        self.said: dict[str, str] = {}
        self.feed = ActionsFeed(config, lambda: self.decided, self._take, self._refuse, mention=self.said.__setitem__)

    async def _take(self, offset: int, action: Action) -> bool:
        if self.here:
            assert self.decided is not None
            self.taken.append((action.id, offset))
            self.decided[action.id] = "no such model was promoted" if action.model == "none" else ""
        return self.here

    async def _refuse(self, letter: Outgoing, reports: Reports) -> None:
        read = take_in("dead_letters", self.config.stream, letter.value, letter.headers)
        assert isinstance(read, DeadLetter)
        self.letters.append((read.offset, read.reason))
        reports.ack()

    async def until(self, count: int) -> None:
        """So many messages of the topic were taken or refused."""
        async with asyncio.timeout(30):
            while self.feed.taken + self.feed.refused < count:
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The feed, stopped in the end."""
        task = asyncio.ensure_future(self.feed.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled() or task.exception() is None

    async def to_the_end(self, count: int) -> None:
        """Take all that there is: so many messages."""
        async with self.running():
            await self.until(count)


def action(config: Config, name: str, **fields: Any) -> Action:
    return Action(id=name, stream=config.stream, verb="mark", by="ann", at_ms=5, why="release 4.2", **fields)


def signed(config: Config, name: str, key: Ed25519PrivateKey = KEY) -> WireMessage:
    """An action as the command line sends it."""
    return sign(action_message(action(config, name)), key)


def write(config: Config, *messages: WireMessage | None) -> None:
    with KafkaProducer(bootstrap_servers=config.kafka.bootstrap) as producer:
        for message in messages:
            headers = list(message.headers) if message else []
            value = message.value if message else None
            producer.send(config.topics.actions, value, b"k", headers=headers, partition=0).get(timeout=30)


@in_a_loop
async def test_genuine_actions_are_handed_over_in_order_and_the_others_are_refused(config: Config) -> None:
    source = Envelope(action(config, "x"), "x", f"/driftflow/{config.stream}/worker", 5)
    altered = signed(config, "y")
    write(
        config,
        signed(config, "a"),
        None,
        WireMessage(b"garbage", altered.headers),
        action_message(action(config, "z")),
        signed(config, "w", STRANGER),
        sign(encode_event(source), KEY),
        signed(config, "b"),
        signed(config, "a"),
    )
    rig = Rig(config)
    await rig.to_the_end(8)
    assert rig.taken == [("a", 0), ("b", 6)]
    reasons = ["tombstone", "undecodable", "unsigned", "untrusted_key", "not_accepted"]
    assert rig.letters == list(enumerate(reasons, 1))
    assert (rig.feed.taken, rig.feed.refused) == (3, 5), "together they are the records of the topic"
    again = Rig(config)
    again.decided = {"a": "", "b": ""}
    await again.to_the_end(8)
    assert (again.taken, again.letters, again.feed.refused) == ([], [], 5), (
        "a worker that starts anew says it not again"
    )


@in_a_loop
async def test_what_nothing_follows_from_by_decision_is_reported_once(config: Config) -> None:
    pin = msgspec.structs.replace(action(config, "p"), verb="pin", model="none")
    write(config, sign(action_message(pin), KEY), signed(config, "b"))
    rig = Rig(config)
    await rig.to_the_end(2)
    assert (rig.letters, rig.feed.refused) == ([(0, "not_accepted")], 1)
    again = Rig(config)
    again.decided = rig.decided
    await again.to_the_end(2)
    assert (again.letters, again.taken, again.feed.refused) == ([], [], 1)


@in_a_loop
async def test_an_action_counts_as_soon_as_its_key_is_trusted(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(config)
    async with rig.running():
        write(config, signed(config, "a", STRANGER), signed(config, "b"))
        await rig.until(2)
        assert rig.taken == [("b", 1)]
        public = Path(config.root) / "keys" / "operator.pub"
        whole = public.read_bytes()
        public.write_bytes(b"garbage")
        write(config, signed(config, "c"))
        await rig.until(3)
        assert rig.taken == [("b", 1), ("c", 2)], "who was trusted before stays so"
        assert "The keys that were trusted before stay so." in caplog.text
        public.write_bytes(whole)
        key_files.put_first(public, STRANGER.public_key())
        async with asyncio.timeout(30):
            while len(rig.taken) < 3:
                await asyncio.sleep(0.01)
    assert rig.taken == [("b", 1), ("c", 2), ("a", 0)]


@in_a_loop
async def test_it_ends_where_judge_goes_to_another_worker_and_begins_again_where_it_comes(config: Config) -> None:
    write(config, signed(config, "a"))
    rig = Rig(config)
    rig.decided = None
    await asyncio.wait_for(rig.feed.run(), 30)
    rig.decided, rig.here = {}, False
    await asyncio.wait_for(rig.feed.run(), 30)
    assert not rig.taken
    rig.here, rig.feed.taken = True, 0
    await rig.to_the_end(1)
    assert rig.taken == [("a", 0)]


@in_a_loop
async def test_a_topic_that_was_made_anew_is_said_and_read_from_its_start(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    former = "5d6e0c3a-0000-4000-8000-000000000000"
    state = Path(config.root) / "state"
    TopicIds(config).keep("actions", former)
    (state / "actions-reported.json").write_text('{"0": 9}')
    write(config, signed(config, "a"), signed(config, "b"), signed(config, "w", STRANGER))
    rig = Rig(config)
    rig.decided = {"a": ""}
    with caplog.at_level(logging.ERROR):
        await rig.to_the_end(3)
    assert rig.taken == [("b", 1)], "what was taken in does not count twice"
    assert f"the topic was deleted and made again (its id was {former}, and is " in caplog.text
    assert list(rig.said) == [f"log {config.topics.actions}"]
    assert rig.letters == [(2, "untrusted_key")], "what was reported was of the former one"
    assert json.loads((state / "actions-reported.json").read_text()) == {"0": 3}
    await Rig(config).to_the_end(3)
    assert caplog.text.count("made again") == 1
