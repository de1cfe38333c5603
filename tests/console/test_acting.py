"""Answers from the page: signed actions on a real broker's topic, from our own page only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_app.config import Config
from stream_app.console import acting
from stream_app.console.acting import BODY_MAX, TOKEN, Desk
from stream_app.console.answers import Store
from stream_app.console.server import Handle, start_in_thread
from stream_app.kafka.actions import read_actions
from stream_app.kafka.embedded import free_port
from stream_app.kafka.topics import ensure_topics
from stream_app.models.marks import Marks
from tests.brokers import EMBEDDED
from tests.console.telling import made

ACK = {"verb": "ack", "incident_id": "drift-1", "why": "on it", "by": "Li"}


@pytest.fixture
def config(broker: tuple[str, str], unique: Callable[[str], str], tmp_path: Path) -> Config:
    config = made(tmp_path, unique("air"), broker[1])
    ensure_topics(config)
    return config


@pytest.fixture
def handle(config: Config) -> Iterator[Handle]:
    served = start_in_thread(Store.of(config), names=["monitor.example"], desk=Desk(config))
    yield served
    served.stop()


@pytest.fixture
def client(handle: Handle) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=handle.url, trust_env=False, timeout=60) as client:
        yield client


def post(client: httpx.Client, answer: Any = ACK, **headers: str) -> httpx.Response:
    """As the page would, but for the headers that are given; without those that are empty."""
    ours = {"origin": str(client.base_url).rstrip("/"), TOKEN: client.get("/api/acting").json()["token"]}
    sent = {name: value.encode("latin-1") for name, value in (ours | headers).items() if value}
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return client.post("/api/act", content=body, headers=sent)


def test_an_answer_is_an_action_that_is_believed(client: httpx.Client, config: Config) -> None:
    assert client.get("/api/acting").json() | {"token": ""} == {"ready": True, "token": "", "why": ""}
    answers = [
        ACK,
        {"verb": "feedback", "incident_id": "drift-0", "verdict": "noise"},
        {"verb": "feedback", "incident_id": "strange-1", "verdict": "useful", "by": "Li"},
        {"verb": "accept", "incident_id": "fault-2"},
    ]
    sent = [post(client, answer) for answer in answers]
    assert [answer.status_code for answer in sent] == [202] * 4
    actions = read_actions(config, Marks(config).is_trusted)
    assert [(a.verb, a.incident_id, a.verdict, a.why) for a in actions] == [
        ("ack", "drift-1", "", "on it"),
        ("feedback", "drift-0", "noise", ""),
        ("feedback", "strange-1", "useful", ""),
        ("accept", "fault-2", "", ""),
    ]
    assert [answer.json()["sent"] for answer in sent] == [action.id for action in actions]
    assert (actions[0].by, actions[1].by.endswith("(console)") or actions[1].by == "console") == ("Li", True)


@EMBEDDED
def test_other_sites_cannot_answer(client: httpx.Client, config: Config) -> None:
    port = client.base_url.port
    for headers in (
        {TOKEN: ""},
        {TOKEN: "guessed"},
        {TOKEN: "\u00e9"},
        {"origin": ""},
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": f"http://evil.example:{port}"},
        {"origin": f"http://localhost:{port}"},
        {"origin": f"http://127.0.0.1:{port}.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        assert post(client, **headers).status_code == 403, headers
    assert post(client, host="evil.example", origin="http://evil.example").status_code == 400
    assert post(client, host="monitor.example", origin="https://monitor.example").status_code == 202
    assert post(client, host="monitor.example").status_code == 403
    assert [action.verb for action in read_actions(config, Marks(config).is_trusted)] == ["ack"]


@EMBEDDED
def test_what_is_no_answer_or_about_nothing_is_not_sent(client: httpx.Client, config: Config) -> None:
    for answer, status, words in (
        (b"", 400, "this is no answer"),
        (b"\xff", 400, "this is no answer"),
        (b"[" * 20_000, 400, "this is no answer"),
        ({"verb": "silence", "incident_id": "drift-1"}, 400, "silence"),
        (ACK | {"verdict": "useful"}, 400, "nothing else has one"),
        ({"verb": "feedback", "incident_id": "drift-1"}, 400, "feedback has a verdict"),
        (ACK | {"incident_id": "x" * 300}, 400, "incident_id"),
        (ACK | {"extra": 1}, 400, "extra"),
        (b" " * (BODY_MAX + 1), 413, f"at most {BODY_MAX:,} bytes"),
        (ACK | {"incident_id": "nowhere"}, 404, "no such incident"),
        (ACK | {"incident_id": "drift-0"}, 409, "it is over already"),
        (ACK | {"incident_id": "strange-1"}, 409, "it is over already"),
    ):
        refused = post(client, answer)
        assert refused.status_code == status, answer
        assert words in refused.json()["error"]
    assert client.get("/api/act").status_code == 405
    assert read_actions(config, Marks(config).is_trusted) == []


def test_without_the_key_the_page_says_what_to_do(tmp_path: Path) -> None:
    desk = Desk(made(tmp_path, "air", "127.0.0.1:1", key=False))
    assert "driftflow keys new operator" in desk.fault()


def test_without_a_broker_that_is_said_and_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, clock = made(tmp_path, "air", f"127.0.0.1:{free_port()}"), [1_000.0]
    monkeypatch.setattr(acting.time, "monotonic", lambda: clock[0])
    desk = Desk(config)
    assert "check kafka.bootstrap" in desk.fault()
    monkeypatch.setattr(acting, "tcp_fault", lambda _: None)
    assert desk.fault() != ""
    clock[0] += 31
    assert desk.fault() == ""


def test_where_the_broker_does_not_take_it_the_page_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = made(tmp_path, "air", f"127.0.0.1:{free_port()}")
    monkeypatch.setattr(acting, "tcp_fault", lambda _: None)  # it was there a moment ago
    handle = start_in_thread(Store.of(config), desk=Desk(config))
    try:
        with httpx.Client(base_url=handle.url, trust_env=False, timeout=90) as client:
            refused = post(client)
            assert refused.status_code == 503
            assert config.kafka.bootstrap[0] in refused.json()["error"]
    finally:
        handle.stop()


def test_a_console_without_a_configuration_only_shows(tmp_path: Path) -> None:
    config = made(tmp_path, "air", "127.0.0.1:1", key=False)
    handle = start_in_thread(Store.of(config))
    try:
        with httpx.Client(base_url=handle.url, trust_env=False) as client:
            said = client.get("/api/acting").json()
            assert (said["ready"], said["token"]) == (False, "")
            assert client.post("/api/act", content=b"{}").status_code == 403
    finally:
        handle.stop()
