"""Answers from the page: signed actions on a real broker's topic, from our own page only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from stream_app.config import Config
from stream_app.console import acting
from stream_app.console.acting import BODY_MAX, TOKEN, Desk
from stream_app.console.answers import Store
from stream_app.console.server import Handle, start_in_thread
from stream_app.errors import DriftflowError
from stream_app.kafka.actions import read_actions
from stream_app.kafka.embedded import free_port
from stream_app.kafka.topics import ensure_topics
from stream_app.models.marks import Marks
from tests.brokers import EMBEDDED
from tests.console.telling import DRIFTED, PANE_MS, START_MS, made, made_incident, tell

ACK = {"verb": "ack", "incident_id": "drift-1", "why": "on it", "by": "Li"}


@pytest.fixture
def config(broker: tuple[str, str], unique: Callable[[str], str], tmp_path: Path) -> Config:
    config = with_token(made(tmp_path, unique("air"), broker[1]))
    ensure_topics(config)
    return config


def with_token(config: Config) -> Config:
    """The configuration with a token in a file."""
    config.path("console.token").write_text(f"{SECRET}\n")
    return replace(config, console=replace(config.console, token_file="console.token"))


SECRET = "a-token-that-nobody-guesses-0123456789"


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
    ours = {"origin": str(client.base_url).rstrip("/"), TOKEN: SECRET}
    sent = {name: value.encode("latin-1") for name, value in (ours | headers).items() if value}
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return client.post("/api/act", content=body, headers=sent)


def test_an_answer_is_an_action_that_is_believed(client: httpx.Client, config: Config) -> None:
    assert client.get("/api/acting", headers={TOKEN: SECRET}).json() == {"ready": True, "known": True, "why": ""}
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
@pytest.mark.parametrize("verb", ["ack", "accept"])
def test_nobody_answers_what_becomes_of_events(client: httpx.Client, config: Config, verb: str) -> None:
    fault = made_incident(config.stream, "", START_MS, START_MS + PANE_MS, id="intake-1", rules=["intake"], slices=[""])
    tell(config.path(config.sink.path), fault)
    refused = post(client, {"verb": verb, "incident_id": "intake-1"})
    assert (refused.status_code, refused.json()["error"][:17]) == (409, "it ends by itself")
    (line,) = [one for one in client.get("/api/incidents").json()["incidents"] if one["id"] == "intake-1"]
    assert line["answerable"] is False


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
        ({"verb": "mark", "incident_id": "drift-1"}, 400, "mark"),
        ({"verb": "silence", "incident_id": "drift-1", "why": "x"}, 400, "lasts from 1 to 744 hours"),
        ({"verb": "silence", "incident_id": "drift-1", "hours": 745, "why": "x"}, 400, "lasts from 1 to 744 hours"),
        ({"verb": "silence", "incident_id": "drift-1", "hours": 1}, 400, "has a reason"),
        (ACK | {"hours": 1}, 400, "nothing else lasts"),
        (ACK | {"model": "m"}, 400, "names it"),
        ({"verb": "approve"}, 400, "names it"),
        ({"verb": "pin", "model": "m", "incident_id": "drift-1"}, 400, "names it"),
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
    config = with_token(made(tmp_path, "air", f"127.0.0.1:{free_port()}"))
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
            assert (said["ready"], said["known"]) == (False, False)
            assert client.post("/api/act", content=b"{}").status_code == 403
    finally:
        handle.stop()


@EMBEDDED
def test_a_silence_covers_what_the_incident_is_about_from_its_last_message_on(
    client: httpx.Client, config: Config
) -> None:
    """Of the slice, for so many hours of the stream's time; and it can be taken back."""
    asked = {"verb": "silence", "incident_id": "drift-1", "hours": 8, "why": "sensor is exchanged", "by": "Li"}
    silence_id = post(client, asked).json()["sent"]
    assert post(client, {"verb": "unsilence", "incident_id": silence_id, "by": "Li"}).status_code == 202
    silence, lifted = read_actions(config, Marks(config).is_trusted)
    end_ms = START_MS + 8 * PANE_MS
    assert (silence.verb, silence.slices, silence.channel) == ("silence", [f"station={DRIFTED}"], "")
    assert (silence.from_ms, silence.to_ms, silence.why) == (end_ms, end_ms + 8 * 3_600_000, "sensor is exchanged")
    assert (lifted.verb, lifted.incident_id) == ("unsilence", silence_id)


@EMBEDDED
def test_what_is_said_of_models_goes_the_way_of_the_command(client: httpx.Client) -> None:
    """By what stands on the signals topic: there is none here, and the sentence of the command says so."""
    for verb in ("approve", "reject", "pin", "rollback"):
        refused = post(client, {"verb": verb, "model": "nowhere"})
        assert refused.status_code == 503
        assert "model" in refused.json()["error"], refused.text
    said = post(client, {"verb": "unpin", "by": "Li"})
    assert said.status_code == 202
    assert said.json()["says"][0].startswith("Li lets the newest promoted model be in service again")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "cannot be read"),
        ("short", "holds no token"),
        ("a token with spaces in it", "holds no token"),
        ("", "holds"),
    ],
    ids=["missing", "short", "spaces", "empty"],
)
def test_a_token_that_is_none_is_said_at_the_start(tmp_path: Path, text: str | None, why: str) -> None:
    config = made(tmp_path, "air", "127.0.0.1:1", key=False)
    if text is not None:
        config.path("console.token").write_text(text)
    config = replace(config, console=replace(config.console, token_file="console.token"))
    with pytest.raises(DriftflowError, match=why):
        Desk(config)


def test_without_a_file_the_token_is_another_at_each_start_and_is_told(tmp_path: Path) -> None:
    config = made(tmp_path, "air", "127.0.0.1:1", key=False)
    one, other = Desk(config), Desk(config)
    assert one.token != other.token
    assert one.way_in("http://127.0.0.1:8765") == f"to answer there too: http://127.0.0.1:8765/#token={one.token}"
    assert SECRET not in Desk(with_token(config)).way_in("http://127.0.0.1:8765")
