"""One message in a hundred on the topics between the stages, and many of those on the topics of models and actions, are
garbage: every one is taken or refused, once, and the signals are those of a clean run.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from flowlib.artifact import Ed25519PrivateKey
from schemas.codecs import WireMessage, encode_partials
from schemas.evidence import EvidenceClosed
from schemas.incidents import Action
from schemas.intake import take_in
from schemas.records import DeadLetter, PaneClosed
from stream_app.kafka.actions import action_message
from stream_app.kafka.clients import client_settings
from stream_app.kafka.reading import read_to_end
from stream_app.models.registry import Registry
from stream_app.models.signing import sign
from stream_app.stages.partitioning import partition_for
from tests.brokers import APACHE
from tests.integration.conftest import MakeStream
from tests.integration.stream import Stream, as_lines
from tests.integration.test_same_everywhere import score_locally
from tests.kafka.fakes import NoText

Place = tuple[str, int, int]
Headers = list[tuple[str, bytes | None]]
Kind = tuple[str, bytes | None, Headers]
"""Reason of the dead letter, value and headers."""
STRANGER = Ed25519PrivateKey.generate()
ONE_IN = 100


class Poisoner:
    """Puts garbage on topics of a stream.

    Attributes:
        injected: place to the reason that its dead letter has to give.
    """

    def __init__(self, stream: Stream, seed: int) -> None:
        self._topics, self._chance = stream.config.topics, random.Random(seed)
        self._kafka = stream.config.kafka
        self._notice = Registry(stream.config).notices()[0]
        self.injected: dict[Place, str] = {}

    def partials(self, number: int) -> None:
        """So many messages that are no partials, over all partitions."""
        marker = PaneClosed(stream="another", partition=0, pane_start_ms=0, pane_end_ms=21_600_000, offset_end=1)
        other = encode_partials([marker])[0].value
        odd = encode_partials([msgspec.structs.replace(marker, stream="air", pane_end_ms=7)])[0].value
        kinds: list[Kind] = [
            ("undecodable", b"\xc1junk", [("kind", b"block")]),
            ("wrong_type", b"\x93\x01\x02\x03", [("kind", b"closed")]),
            ("not_ours", b"junk", []),
            ("not_ours", other, [("kind", None)]),
            ("tombstone", None, [("kind", b"block")]),
            ("other_stream", other, [("kind", b"closed")]),
            ("not_accepted", odd, [("kind", b"closed")]),
        ]
        self._send(self._topics.partials, number, kinds, 4)

    def evidence(self, number: int) -> None:
        """So many messages that are no evidence."""
        nothing: dict[str, list[Any]] = {
            "groups": [],
            "models": [],
            "other": [],
            "top": [],
            "marks": [],
            "strangers": [],
        }
        marker = EvidenceClosed(
            stream="another",
            partition=0,
            pane_start_ms=0,
            pane_end_ms=21_600_000,
            slices={},
            events=0,
            service="",
            **nothing,
        )
        other = encode_partials([marker])[0].value
        forged = encode_partials([msgspec.structs.replace(marker, stream="air", service="forged")])[0].value
        kinds: list[Kind] = [
            ("undecodable", b"\xc1junk", [("kind", b"evidence")]),
            ("wrong_type", b"\x93\x01\x02\x03", [("kind", b"judge")]),
            ("not_ours", other, [("kind", b"closed")]),
            ("tombstone", None, [("kind", b"evidence")]),
            ("other_stream", other, [("kind", b"judge")]),
            ("not_accepted", forged, [("kind", b"judge")]),
        ]
        self._send(self._topics.evidence, number, kinds, 1)

    def actions(self, number: int) -> None:
        """So many messages by which nobody may act."""
        action = Action(id="a", stream="air", verb="mark", by="mallory", at_ms=5)
        message = action_message(action)
        strange = sign(message, STRANGER)
        kinds: list[Kind] = [
            ("undecodable", b"{junk", list(message.headers)),
            ("not_ours", message.value, []),
            ("tombstone", None, list(message.headers)),
            ("unsigned", message.value, list(message.headers)),
            ("untrusted_key", message.value, list(strange.headers)),
        ]
        self._send(self._topics.actions, number, kinds, 1)

    def models(self, number: int) -> None:
        """So many messages that are no notices to act on."""
        header: Headers = [("ce_type", b"driftflow.model-notice.v1")]
        forged = msgspec.json.encode(msgspec.structs.replace(self._notice, sequence=99, reason="forged"))
        strange = sign(WireMessage(forged, tuple((name, value or b"") for name, value in header)), STRANGER)
        future = forged.replace(b'"created_ms":', b'"created_ms":1' + b"0" * 25)
        kinds: list[Kind] = [
            ("undecodable", b"{junk", header),
            ("not_ours", forged, []),
            ("not_ours", forged, [("ce_type", None)]),
            ("tombstone", None, header),
            ("unsigned", forged, header),
            ("untrusted_key", forged, list(strange.headers)),
            ("wrong_type", future, header),
        ]
        self._send(self._topics.models, number, kinds, 1)

    def _send(self, topic: str, number: int, kinds: list[Kind], partitions: int) -> None:
        chosen = [(self._chance.randrange(partitions), self._chance.choice(kinds)) for _ in range(number)]
        self.injected |= asyncio.run(self._sent(topic, chosen))

    def odd_names(self, key: bytes | None, event: bytes | None) -> None:
        """A header whose name is no text, on every topic; an event with one is as good as any."""
        topics, odd = self._topics, [(NoText(), b"1")]
        with closing(KafkaProducer(**client_settings(self._kafka))) as producer:
            producer.send(topics.events, key=key, value=event, headers=odd, partition=partition_for(key, 4)).get(30)
            for topic in (topics.partials, topics.evidence, topics.models, topics.actions):
                sent = producer.send(topic, key=b"odd", value=b"junk", headers=odd, partition=0)
                self.injected[topic, 0, sent.get(30).offset] = "not_ours"

    async def _sent(self, topic: str, chosen: list[tuple[int, Kind]]) -> dict[Place, str]:
        """By aiokafka: kafka-python sends no null headers."""
        injected = {}
        async with AIOKafkaProducer(**client_settings(self._kafka)) as producer:
            for partition, (reason, value, headers) in chosen:
                key = self._chance.randbytes(8)  # a compacted topic takes no message without one
                sent = await producer.send_and_wait(topic, value, key, partition, headers=headers)
                injected[topic, sent.partition, sent.offset] = reason
        return injected


def records_of(stream: Stream, topic: str) -> list[Any]:
    """Everything on a topic."""
    consumer = KafkaConsumer(**client_settings(stream.config.kafka), auto_offset_reset="earliest")
    try:
        consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)])
        return list(read_to_end(consumer))
    finally:
        consumer.close()


@APACHE
@pytest.mark.timeout(400)
def test_every_message_is_taken_or_refused_once(
    make_stream: MakeStream, broker: tuple[str, str], example: Path, seed: int
) -> None:
    stream = make_stream()
    topics = stream.config.topics
    stream.publish()
    rows = stream.rows(example)
    poison = Poisoner(stream, seed)
    poison.models(20)
    poison.partials(10)
    poison.evidence(10)
    poison.actions(10)
    if broker[0] == "kafka":  # the embedded broker takes them and gives nothing back
        poison.odd_names(*rows[0])
        stream.sent += 1
    stream.start_worker()
    for part in range(4):
        stream.produce(rows[max(part * len(rows) // 4, stream.sent) : (part + 1) * len(rows) // 4])
        poison.partials(len(rows) // 4 // ONE_IN // 4)
        poison.evidence(5)
        poison.actions(5)
        poison.models(5)
        if part == 1:
            stream.wait_until_done()
            stream.stop()  # what was refused and said is not said again
            stream.start_worker()
    roles: dict[str, str] = {role: getattr(topics, role) for role in ("partials", "evidence", "models", "actions")}
    refused = {role: sum(topic == place[0] for place in poison.injected) for role, topic in roles.items()}
    stream.wait(lambda: stream.status().get("refused") == refused, f"{refused} to be refused")
    stream.wait_until_done()
    stream.stop()
    status = stream.status()
    for role, topic in roles.items():
        assert status["taken"][role] + refused[role] == len(records_of(stream, topic)), f"seed {seed}"
    sent = records_of(stream, topics.dead_letters)
    letters = [take_in("dead_letters", "air", one.value, one.headers) for one in sent]
    assert all(isinstance(letter, DeadLetter) for letter in letters)
    found = Counter((letter.topic, letter.partition, letter.offset, letter.reason) for letter in letters)
    assert found == Counter((*place, reason) for place, reason in poison.injected.items()), f"seed {seed}"
    assert len({letter.id for letter in letters}) == len(letters)
    assert status["received"] == status["windowed"] == len(rows)
    assert as_lines(stream.signals()) == score_locally(stream, example), f"seed {seed}"
