"""``driftflow audit`` on a real broker: the topics as the trainer has written them, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kafka import KafkaProducer

from schemas.codecs import WireMessage
from stream_app.cli import main
from stream_app.config import Config, load
from stream_app.kafka.actions import action_message, send_action
from stream_app.kafka.topics import ensure_topics
from stream_app.models.keys import operator_key
from stream_app.models.signing import sign
from tests.audit.stories import INCIDENT, Story, copied

TOML = """
stream = "s"
[topics]
events = "e"
signals = "{name}.signals"
models = "{name}.models"
actions = "{name}.actions"
partials = "{name}.partials"
evidence = "{name}.evidence"
dead_letters = "{name}.dead-letters"
partitions = 1
[event]
time_field = "t"
numeric = ["x", "y"]
[kafka]
bootstrap = ["{bootstrap}"]
"""
Run = Callable[..., Result]


@pytest.fixture
def sent(once: Story, tansu: str, unique: Callable[[str], str], tmp_path: Path) -> Story:
    """The story on topics of a broker."""
    story = copied(once, tmp_path / "sent")
    (story.folder / "driftflow.toml").write_text(TOML.format(name=unique("audit"), bootstrap=tansu))
    config = load(story.folder / "driftflow.toml")
    ensure_topics(config)
    _send(config, story)
    return story


def _send(config: Config, story: Story) -> None:
    producer = KafkaProducer(bootstrap_servers=config.kafka.bootstrap, max_request_size=2**25)
    for topic, messages in ((config.topics.signals, story.signals), (config.topics.models, story.models)):
        for message in messages:
            producer.send(topic, value=message.value, headers=message.headers, partition=0)
    producer.flush()
    producer.close()
    key = operator_key(config)
    for action in story.actions:
        message: WireMessage = sign(action_message(action), key)
        send_action(config, message)


@pytest.fixture
def run(sent: Story) -> Run:
    """Runs a command in the stream's folder."""

    def run(*words: str) -> Result:
        return CliRunner().invoke(main, ["audit", *words, "-c", str(sent.folder / "driftflow.toml")])

    return run


def test_what_the_trainer_has_sent_is_verified_and_traced(sent: Story, run: Run, tmp_path: Path) -> None:
    done = run("verify", "--json")
    assert done.exit_code == 0, done.output
    verified = json.loads(done.stdout)
    assert (verified["whole"], verified["unasked"], verified["signed"]) == (True, [], 3), (
        "the first model was told of elsewhere"
    )
    assert "Nothing was changed, taken out, moved or cut." in run("verify", "--head", verified["head"]).stdout
    traced = json.loads(run("trace", INCIDENT[:8], "--json").stdout)
    assert traced["complete"]
    assert {"training", "gates", "shadow", "promotion", "change"} <= {step["kind"] for step in traced["steps"]}
    assert run("dossier", sent.second, "--out", str(tmp_path / "out")).exit_code == 0
    assert (tmp_path / "out" / "model.html").exists()
    events = [json.loads(line) for line in run("lineage", sent.second).stdout.splitlines()]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]


def test_what_was_tampered_with_ends_with_status_1(sent: Story, run: Run) -> None:
    path = sent.folder / "models" / "s.audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"topic":"e"', b'"topic":"f"', 1))
    done = run("verify")
    assert done.exit_code == 1
    assert "was changed after it was written" in done.stderr
    assert "Traceback" not in done.output
