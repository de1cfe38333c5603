"""A file of signals is delivered once, however often and however much longer it is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from schemas.incidents import Incident
from stream_app.cli import main
from stream_app.notify import courier as couriers
from tests.notify.receivers import A, B, Receiver, Reply, message_of
from tests.people import incident, silenced

TOML = """
stream = "s"
[topics]
events = "s.events"
[event]
time_field = "time"
numeric = ["x"]
[notify.webhook.own]
url = "{url}/hook"
"""
OVER = {"state": "resolve", "reason": "ended"}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(couriers, "_BACKOFF_S", 0.01)
    with Receiver() as server:
        yield server


def run(folder: Path, receiver: Receiver, *told: Incident) -> Result:
    """The command on a file of these signals, written as ``score --signals`` does."""
    (folder / "driftflow.toml").write_text(TOML.format(url=receiver.url))
    lines = []
    for one in told:
        message = message_of(one)
        headers = {name: value.decode() for name, value in message.headers}
        lines.append(json.dumps({"partition": 0, **headers, "data": json.loads(message.value)}))
    (folder / "signals.jsonl").write_text("\n".join(lines) + "\n")
    words = ["notify", "-c", str(folder / "driftflow.toml"), "--from-file", str(folder / "signals.jsonl")]
    return CliRunner().invoke(main, words)


def said(receiver: Receiver) -> list[tuple[str, int]]:
    return [(sent.json["data"]["id"], sent.json["data"]["number"]) for sent in receiver.sent]


def test_what_is_open_is_told_and_later_what_is_new(tmp_path: Path, receiver: Receiver) -> None:
    first = [incident(A), incident(B), incident(A, number=2, state="update"), incident(B, number=2, **OVER)]
    done = run(tmp_path, receiver, *first, silenced(incident("c" * 8)))
    assert (done.exit_code, done.output) == (0, "1 messages were delivered or set aside\n")
    assert said(receiver) == [(A, 2)]
    later = [*first, incident(A, number=3, state="update"), incident(A, number=4, **OVER), incident("d" * 8)]
    assert run(tmp_path, receiver, *later).exit_code == 0
    assert run(tmp_path, receiver, *later).output == "0 messages were delivered or set aside\n"
    assert said(receiver)[:1] + sorted(said(receiver)[1:]) == [(A, 2), (A, 3), (A, 4), ("d" * 8, 1)]


def test_what_cannot_be_delivered_waits_for_the_next_run(tmp_path: Path, receiver: Receiver) -> None:
    receiver.reply = lambda _: Reply(500)
    done = run(tmp_path, receiver, incident(A))
    assert done.exit_code == 1
    assert "1 messages wait for the next run" in done.output
    assert "answers 500" in done.output
    receiver.reply = lambda _: Reply()
    assert run(tmp_path, receiver, incident(A)).output == "1 messages were delivered or set aside\n"
