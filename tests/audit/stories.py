"""What a real trainer has written and sent: a first model, a better one by way of the shadow, one that was refused, a
roll-back, an anchor, and what people said. Small models, trained in the run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from schemas.codecs import Envelope, encode_event
from schemas.incidents import Action, Incident
from schemas.records import EventAnomaly, Record, ServiceChange
from stream_app.audit import records
from stream_app.config import Config
from stream_app.kafka.actions import new_action
from stream_app.models.keys.commands import new_key, rotate_key
from stream_app.models.keys.private import private_key
from stream_app.models.keys.roles import role_of
from stream_app.models.registry import Registry
from stream_app.models.signing import sign
from tests.people import incident
from tests.trainer.asking import LATER, ask, asked
from tests.trainer.conftest import Topics
from tests.trainer.shadow.worlds import World, better, config_in, until_decided

CHANGE = "22222222-0000-5000-8000-000000000000"
INCIDENT = "11111111-0000-5000-8000-000000000000"


@dataclass
class Story:
    """A stream and its record.

    Attributes:
        folder: of its files.
        signals, models: messages of these topics.
        actions: what people have said.
        first, second: ids of the two models, the second was rolled back.
    """

    folder: Path
    signals: list[Any] = field(default_factory=list)
    models: list[Any] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    first: str = ""
    second: str = ""

    @property
    def config(self) -> Config:
        return config_in(self.folder)

    def say(self, record: Record, name: str, key: Any = None) -> None:
        """Put a record on the signals topic."""
        wire = encode_event(Envelope(record, name, "/driftflow/s/judge", LATER))
        self.signals.append(_message(sign(wire, key) if key else wire))


def anomaly(number: int, model_id: str) -> EventAnomaly:
    return EventAnomaly(
        id=f"a{number:07d}",
        stream="s",
        topic="e",
        partition=0,
        offset=number,
        event_time_ms=LATER + number,
        slice="all",
        model_id=model_id,
        log_prob=-30.0,
        p_value=0.0005,
        pooled=False,
        threshold=0.01,
        blame=[],
    )


def _message(wire: Any) -> Any:
    return SimpleNamespace(topic="t", partition=0, offset=0, value=wire.value, headers=list(wire.headers))


def _incident(model_id: str) -> Incident:
    return incident(INCIDENT, stream="s", model_id=model_id, number=1)


def tell(world: World, topics: Topics) -> Story:
    """Let it all happen."""
    config, story = config_in(world.folder), Story(world.folder)
    world.topics = topics
    story.first = world.registry.in_service()
    new_key(config, "operator")
    trainer = world.start()
    for verb, fields in (
        ("silence", {"why": "works", "from_ms": 1, "to_ms": 2}),
        ("feedback", {"incident_id": INCIDENT, "verdict": "useful"}),
        ("accept", {"incident_id": INCIDENT, "why": "the new normal"}),
        ("rollback", {"why": "too loud"}),
    ):
        story.actions.append(new_action("s", verb, "ann", 1, **fields))
        trainer._answering.act(story.actions[-1])
    request = msgspec.structs.replace(better(), alerts=[INCIDENT])
    trainer.handle(asked(request))
    until_decided(trainer)
    story.second = world.registry.in_service()
    assert story.second != story.first
    trainer.handle(asked(ask(9, LATER + 9, model_id=story.first)))  # covered
    anchor = new_action("s", "anchor", "ann", 2, model=story.second)
    story.actions.append(anchor)
    trainer._answering.act(anchor)
    change = ServiceChange(
        id=CHANGE,
        stream="s",
        verb="rollback",
        model_id=story.second,
        returns_to=story.first,
        by="ann",
        pane_end_ms=2 * LATER,
        why="too loud",
        figures={"alarm_share": 0.05},
    )
    trainer._answering.change(change)
    new_key(config, "worker")
    rotate_key(config, "operator")
    for sent in topics.producer.sent:
        if sent.topic in ("s.signals", "s.models"):
            (story.signals if sent.topic == "s.signals" else story.models).append(_message(sent))
    key = private_key(role_of(config, "worker"))
    story.say(request, request.id, key)
    story.say(change, change.id, key)
    story.say(_incident(story.first), INCIDENT)
    for number in range(25):
        story.say(anomaly(number, story.first), f"a{number}")
    return story


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[Story], Story]:
    """Lets a story's topics be read."""

    def answer(story: Story) -> Story:
        monkeypatch.setattr(records, "read_signals", lambda _: iter(story.signals))
        monkeypatch.setattr(records, "_messages", lambda *_: iter(story.models))
        monkeypatch.setattr(records, "read_actions", lambda *_: list(story.actions))
        return story

    return answer


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker answers."""

    def fail(*_: Any) -> Iterator[Any]:
        raise records.DriftflowError("topic s.signals cannot be read: no broker")

    monkeypatch.setattr(records, "read_signals", fail)


def copied(story: Story, folder: Path) -> Story:
    """The same record in a folder of its own."""
    shutil.copytree(story.folder, folder)
    return Story(folder, list(story.signals), story.models, list(story.actions), story.first, story.second)


def registry(story: Story) -> Registry:
    return Registry(story.config)
