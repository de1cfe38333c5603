"""What JUDGE has told people is told once, whatever of it a head does not know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from kafka import KafkaProducer

from schemas.codecs import Envelope, encode_event
from stream_app.config import Config
from stream_app.kafka.topics import ensure_topics
from stream_app.stages.outputs import Outgoing
from stream_app.stages.partitioning import judge_signals
from stream_app.worker import told as room
from stream_app.worker.heads import NOTHING_TOLD, Until
from stream_app.worker.told import Told
from tests.trainer.asking import ask
from tests.worker.making import make_config

Names = Callable[[str], str]


@pytest.fixture
def config(broker: tuple[str, str], unique: Names, tmp_path: Path) -> Config:
    """A stream whose topics are there."""
    made = msgspec.structs.replace(make_config(broker[1], unique("told"), partitions=1), root=str(tmp_path))
    ensure_topics(made)
    return made


def said(config: Config, number: int, source: str = "judge", role: Any = "signals") -> Outgoing:
    """Something that JUDGE says: a request, whose id is its number."""
    request = ask(number, stream=config.stream)
    message = encode_event(Envelope(request, f"event-{number}", f"/driftflow/{config.stream}/{source}", 0))
    return Outgoing(role, judge_signals(1), b"k", message.value, message.headers)


def write(config: Config, *messages: Outgoing) -> Any:
    """Put messages on the topic; where the last one is."""
    with KafkaProducer(bootstrap_servers=config.kafka.bootstrap) as producer:
        for message in messages:
            pending = producer.send(
                config.topics.signals, message.value, headers=list(message.headers), partition=message.partition
            )
        return pending.get(timeout=30)


def found(config: Config, *numbers: int, until: Until = NOTHING_TOLD) -> list[int]:
    """Which of them a worker that takes over finds told, with a head that knows of what is below an offset."""
    told = Told(config)
    told.look(until)
    return [number for number in numbers if told.is_told(said(config, number))]


def test_what_the_broker_has_is_not_told_again(config: Config) -> None:
    assert found(config, 1) == [], "nothing was told yet"
    write(config, said(config, 1), said(config, 2))
    assert found(config, 1, 2, 3) == [1, 2]
    told = Told(config)
    told.look(NOTHING_TOLD)
    assert not told.is_told(said(config, 1, role="dead_letters")), "dead letters may come twice"
    assert not told.is_told(Outgoing("signals", 0, b"k", b"", said(config, 1).headers)), "of SCORE"


def test_only_what_the_head_does_not_know_of_is_read(config: Config) -> None:
    told = Told(config)
    told.look(NOTHING_TOLD)
    told.took(write(config, said(config, 1)))
    write(config, said(config, 2))
    assert found(config, 1, 2, until=told.until) == [2]
    assert found(config, 1, 2) == [1, 2], "as far back as needed"


def test_what_others_have_written_keeps_nothing_back(config: Config) -> None:
    """Whoever may write there cannot silence JUDGE by its ids, unless it forges its messages whole."""
    forged = said(config, 2)
    write(
        config,
        said(config, 1, source="score/0"),
        Outgoing("signals", forged.partition, None, b"{}", forged.headers),
        Outgoing("signals", forged.partition, None, b"\xff", (("ce_id", b"event-3"),)),
        said(config, 4),
    )
    assert found(config, 1, 2, 3, 4) == [4]


def test_a_topic_that_was_made_anew_is_read_from_its_start(config: Config) -> None:
    write(config, said(config, 1))
    assert found(config, 1, 7, until=Until("5d6e0c3a-0000-4000-8000-000000000000", 5)) == [1]


def test_of_many_ids_the_latest_are_kept(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "IDS_MAX", 2)
    write(config, *(said(config, number) for number in range(4)))
    assert found(config, 0, 1, 2, 3) == [2, 3]


def test_what_others_are_told_is_no_matter_of_it(config: Config) -> None:
    told = Told(config)
    told.look(NOTHING_TOLD)
    told.took(SimpleNamespace(topic=config.topics.signals, partition=0, offset=9))
    assert told.until.offset == 0
