"""Dead letters on real brokers: listed, explained, and their events sent again once the configuration can read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import TopicPartition as Partition

from schemas.intake import Refusal
from stream_app.cli import main
from stream_app.config import Config, load
from stream_app.kafka.clients import client_settings
from stream_app.kafka.reading import read_to_end
from stream_app.kafka.topics import ensure_topics
from stream_app.operators.letters.replaying import REPLAY_OF
from stream_app.stages.batches import RawBatch
from stream_app.stages.dead_letters import dead_letter
from stream_app.stages.outputs import Outgoing
from stream_app.stages.score.decoding import Decoder
from tests.brokers import APACHE, EMBEDDED

TOML = """
stream = "{stream}"
[topics]
events = "{stream}.events"
partitions = 2
[event]
time_field = "t"
time_format = "{time_format}"
numeric = ["x"]
id_field = "{id_field}"
sensitive = {sensitive}
[windows]
pane = "1h"
spans = ["1d"]
[kafka]
bootstrap = ["{bootstrap}"]
"""
HOUR_MS = 3_600_000
RIGHT, WRONG = "epoch_ms", "iso8601"
Event = tuple[int, bytes | None, bytes | None]
"""Partition, key, value."""


class Rig:
    """A stream on a broker, whose first configuration cannot read the times."""

    def __init__(self, folder: Path, stream: str, bootstrap: str, **options: str) -> None:
        self._toml = folder / "driftflow.toml"
        self._options = {"id_field": "", "sensitive": "[]", **options, "stream": stream, "bootstrap": bootstrap}
        self.config = self.configure(WRONG)
        ensure_topics(self.config)
        self._sent = [0, 0]

    def configure(self, time_format: str, **options: str) -> Config:
        """Write another configuration."""
        self._options |= options
        self._toml.write_text(TOML.format(time_format=time_format, **self._options))
        self.config = load(self._toml)
        return self.config

    def _producer(self) -> Any:
        return KafkaProducer(**client_settings(self.config.kafka))

    def produce(self, events: list[Event], refused: bool = True) -> None:
        """Send events; those that the configuration cannot read get their dead letters, as SCORE makes them."""
        producer, topic = self._producer(), self.config.topics.events
        for number, key, value in events:
            producer.send(topic, key=key, value=value, partition=number, headers=[("trace", b"1")])
        for number in {number for number, _, _ in events}:
            values = [value for other, _, value in events if other == number]
            offsets = self._sent[number] + np.arange(len(values), dtype=np.int64)
            self._sent[number] += len(values)
            _, rejects = Decoder(self.config).decode(RawBatch(topic, number, offsets, values))
            for of in rejects if refused else ():
                refusal = Refusal(of.reason, of.field, of.detail)
                self.bury(dead_letter(self.config, topic, number, of.offset, refusal, of.value), producer)
        producer.close()

    def bury(self, letter: Outgoing, producer: Any = None) -> None:
        """Put a dead letter on its topic."""
        link = producer or self._producer()
        link.send(self.config.topics.dead_letters, value=letter.value, headers=list(letter.headers), partition=0)
        if producer is None:
            link.close()

    def say(self, *words: str, status: int = 0) -> str:
        """What ``driftflow dead-letters`` says."""
        done = CliRunner().invoke(main, ["dead-letters", words[0], "-c", str(self._toml), *words[1:]])
        assert done.exit_code == status, done.output
        return done.output

    def plan(self, *words: str, status: int = 0) -> dict[str, Any]:
        """What a replay says, as JSON."""
        return dict(json.loads(self.say("replay", "--json", *words, status=status).splitlines()[0]))

    def events(self, number: int) -> list[tuple[bytes | None, bytes | None, dict[str, bytes]]]:
        """Key, value and headers of the records of a partition."""
        consumer = KafkaConsumer(**client_settings(self.config.kafka), auto_offset_reset="earliest")
        consumer.assign([Partition(self.config.topics.events, number)])
        found = [(record.key, record.value, dict(record.headers)) for record in read_to_end(consumer)]
        consumer.close()
        return found


@pytest.fixture
def rig(broker: tuple[str, str], unique: Callable[[str], str], tmp_path: Path) -> Callable[..., Rig]:
    return lambda **options: Rig(tmp_path, unique("letters"), broker[1], **options)


def event(hour: float, **fields: Any) -> bytes:
    return json.dumps({"t": int(hour * HOUR_MS), "x": 1.5, **fields}).encode()


def history(hours: int, per_hour: int = 4) -> list[Event]:
    """Events of both partitions, hour by hour."""
    return [
        (number, b"k%d" % number, event(500 + h + i / per_hour, id=f"{number}-{h}-{i}"))
        for h in range(hours)
        for i in range(per_hour)
        for number in (0, 1)
    ]


def test_what_a_wrong_time_format_refused_is_sent_again_once(rig: Callable[..., Rig]) -> None:
    stream = rig()
    stream.produce([(0, b"k", b"no json"), *history(10)])
    listed = [json.loads(line) for line in stream.say("list", "--json", "--limit", "1000").splitlines()]
    assert len(listed) == 81
    assert {letter["reason"] for letter in listed} == {"not_json", "bad_time"}
    short = stream.say("list", "--limit", "2")
    assert f"{stream.config.topics.events}: 80 bad_time, 1 not_json" in short
    assert "79 older ones are not listed" in short
    (first,) = stream.say("list", "--json", "--partition", "1", "--offset", "0").splitlines()
    name = json.loads(first)["id"]
    assert stream.plan()["refused"] == {"bad_time": 80, "not_json": 1}, "the configuration is as it was"
    assert "now it would be refused, bad_time, field t" in stream.say("explain", name[:12])

    stream.configure(RIGHT)
    told = stream.say("explain", f"{stream.config.topics.events}/1@0")
    assert f"dead letter {name}" in told
    assert "now it would be an event of 1970-01-21 20:00: sent again it would wait" in told, "there is no clock"
    assert event(500, id="1-0-0").decode() in told
    plan = stream.plan()
    assert (plan["letters"], plan["refused"], plan["dry_run"], plan["sent"]) == (81, {"not_json": 1}, True, 0)
    assert len(stream.events(0)) == 41, "nothing is sent without --yes"
    assert plan["fates"] == {"on time": 80}, "none was ever taken: together they are the stream that would have been"

    assert "48 events were sent again" in stream.say("replay", "--yes", "--limit", "49")
    plan = stream.plan("--yes")
    assert (plan["sent"], plan["before"]) == (32, 48)
    again = stream.events(0)[41:]
    assert [value for _, value, _ in again] == [event_[2] for event_ in history(10) if event_[0] == 0]
    assert {key for key, _, _ in again} == {b"k0"}
    assert {headers["trace"] for _, _, headers in again} == {b"1"}
    ids = {letter["id"] for letter in listed if letter["partition"] == 0 and letter["reason"] == "bad_time"}
    assert {headers[REPLAY_OF].decode() for _, _, headers in again} == ids
    plan = stream.plan("--yes")
    assert (plan["sent"], plan["before"]) == (0, 80)
    assert len(stream.events(0)) == len(stream.events(1)) + 1 == 81


@EMBEDDED
def test_an_id_makes_the_second_of_two_a_duplicate_or_late(rig: Callable[..., Rig]) -> None:
    stream = rig(id_field="id")
    stream.configure(RIGHT)
    stream.produce(history(10), refused=False)
    newest = event(509.9, id="new")
    stream.configure(WRONG)
    stream.produce([(0, b"k", newest), (0, b"k", event(505, id="old"))])
    stream.configure(RIGHT)
    assert stream.plan("--yes")["fates"] == {"on time": 1, "late": 1}
    plan = stream.plan("--yes")
    assert (plan["fates"], plan["before"]) == ({"duplicate": 1, "late": 1}, 0)
    assert "1 would be dropped: events with their ids have come" in stream.say("replay")


@EMBEDDED
def test_what_the_topic_has_no_more_comes_from_the_letter_or_is_refused(rig: Callable[..., Rig]) -> None:
    stream = rig()
    topic, refusal = stream.config.topics.events, Refusal("bad_time", "t", "a time")
    stream.produce([(0, b"k", event(1))], refused=False)
    small, large = event(2), event(3, note="x" * 5_000)
    for offset, value in ((0, small), (0, large), (7_000, event(4)), (7_001, event(5, note="x" * 5_000))):
        stream.bury(dead_letter(stream.config, topic, 0, offset, refusal, value))
    stream.bury(dead_letter(stream.config, topic, 9, 0, refusal, small))
    stream.bury(dead_letter(stream.config, stream.config.topics.actions, 0, 3, Refusal("unsigned", "", "no"), b"{}"))
    stream.configure(RIGHT)
    plan = stream.plan("--yes")
    assert (plan["letters"], plan["sent"], plan["gone"]) == (6, 2, 3)
    assert plan["others"] == {stream.config.topics.actions: 1}
    assert sorted(plan["why_gone"]) == [
        f"{topic} has no partition 9 any more",
        f"{topic}/0@0 holds another record now: the topic was made anew, and the dead letter carries 4,096 of its "
        f"{len(large):,} bytes",
        f"{topic}/0@7001 is not on the topic any more (retention), and the dead letter carries 4,096 of its "
        f"{len(event(5, note='x' * 5_000)):,} bytes",
    ]
    assert [(key, value) for key, value, _ in stream.events(0)[1:]] == [(None, small), (None, event(4))]
    assert "several dead letters are meant" in stream.say("explain", f"{topic}/0@0", status=1)
    assert "as the dead letter carries it" in stream.say("explain", f"{topic}/0@7000")
    assert "its message is gone" in stream.say("explain", f"{topic}/0@7001")
    told = stream.say("explain", f"{stream.config.topics.actions}/0@3")
    assert "as the dead letter carries it" in told
    assert "what would be made of it now cannot be said" in told


@APACHE
def test_a_sensitive_body_is_read_from_the_topic_while_it_is_there_and_shown_nowhere(rig: Callable[..., Rig]) -> None:
    stream = rig(sensitive='["who"]', id_field="who")
    secret = event(1, who="7b5e1f")
    stream.produce([(0, b"k", secret), (0, b"k", event(2, who="7b5e20"))])
    topic = stream.config.topics.events
    stream.configure(RIGHT)
    told = stream.say("explain", f"{topic}/0@0") + stream.say("list") + stream.say("explain", f"{topic}/0@0", "--json")
    assert "7b5e" not in told
    assert f"its body is not shown (event.sensitive): whoever may see it reads {topic}/0@0" in told
    assert stream.plan("--offset", "0", "--yes")["sent"] == 1
    assert stream.events(0)[-1][1] == secret
    admin = KafkaAdminClient(**client_settings(stream.config.kafka))
    admin.delete_records({Partition(topic, 0): 2})
    admin.close()
    why = f"{topic}/0@1 is not on the topic any more (retention), and the dead letter carries no body (event.sensitive)"
    assert f"nothing can be sent again: {why}" in stream.say("replay", "--offset", "1", "--yes", status=1)


@EMBEDDED
def test_choices_that_cannot_be_are_refused_all_at_once(rig: Callable[..., Rig]) -> None:
    stream = rig()
    said = stream.say("list", "--since", "yesterday", "--offset", "x", "--topic", "other", status=1)
    assert "--since: expected `now` or a time" in said
    assert "--offset: expected an offset, or the first and the last one as 10-20, got 'x'" in said
    assert "--topic: 'other' is no topic of this stream; there are" in said
    assert "no dead letter is meant by this" in stream.say("list", "--since", "2h")
    assert "no dead letter has an id that begins with 'abc'" in stream.say("explain", "abc", status=1)
    stream.produce([(0, None, b"{}")])
    stream.bury(Outgoing("dead_letters", 0, None, b"junk", (("ce_type", b"driftflow.dead-letter.v1"),)))
    assert "1 other messages on the topic are no dead letters of this stream" in stream.say("list")
    assert "1 missing_time" in stream.say("list", "--since", "2h", "--until", "2099-01-01", "--topic", "events")
    assert "no dead letter is meant" in stream.say("list", "--until", "2h", "--reason", "missing_time")
