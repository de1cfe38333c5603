"""Receivers that are away, slow, busy, broken or unwilling: nothing is lost, nothing goes round, nothing leaks."""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest

from stream_app.errors import SinkError
from stream_app.notify import courier as couriers
from stream_app.notify.channels.base import Busy, Channel
from stream_app.notify.channels.pagerduty import PagerDuty
from stream_app.notify.channels.posting import ANSWER_MAX, BODY_MAX, Poster, patience_s
from stream_app.notify.channels.slack import SlackBot
from stream_app.notify.channels.webhook import Webhook
from stream_app.notify.courier import Courier
from stream_app.notify.outbox import Outbox
from stream_app.sinks.base import Rejected
from tests.notify.receivers import A, B, Receiver, Reply, slack_like, told, wait_for
from tests.people import incident
from tests.sinks.slow_servers import SlowServer, silent, trickling

MESSAGES = [told(incident(A, number=n, state="open" if n == 1 else "update")) for n in range(1, 6)]
SECRET = "s3cret-token"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    made = Outbox(tmp_path / "notify.sqlite", 1_000)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait for."""
    monkeypatch.setattr(couriers, "_BACKOFF_S", 0.01)
    monkeypatch.setattr(couriers, "BACKOFF_MAX_S", 0.05)


def webhook(url: str, timeout_s: float = 10.0) -> Webhook:
    return Webhook(Poster(url, timeout_s, None, [SECRET]), {"Authorization": f"Bearer {SECRET}"}, SECRET)


@contextmanager
def running(outbox: Outbox, channel: Channel) -> Iterator[Courier]:
    courier = Courier("x", channel, outbox)
    courier.start()
    try:
        yield courier
    finally:
        courier.stop(10.0)


def test_messages_arrive_in_order_and_what_comes_later_wakes_the_courier(receiver: Receiver, outbox: Outbox) -> None:
    outbox.append([("x", notice) for notice in MESSAGES[:3]])
    with running(outbox, webhook(receiver.url)) as courier:
        receiver.wait(lambda sent: len(sent) == 3)
        outbox.append([("x", notice) for notice in MESSAGES[3:]])
        courier.wake()
        sent = receiver.wait(lambda sent: len(sent) == 5)
        wait_for(lambda: not outbox.waiting(), "the last to be settled")
        assert courier.state.delivered == 5
    assert [each.headers["webhook-id"] for each in sent] == [notice.key for notice in MESSAGES]


def test_a_receiver_that_fails_at_random_gets_all_in_order(receiver: Receiver, outbox: Outbox, seed: int) -> None:
    draw = random.Random(seed)
    faults = [Reply(500), Reply(502, b"<html>"), Reply(429), Reply(503, headers={"Retry-After": "0"}), Reply(404)]
    receiver.reply = lambda _: draw.choice(faults) if draw.random() < 0.6 else Reply()
    taken: list[str] = []
    answer = receiver.reply

    def reply(sent: object) -> Reply:
        said = answer(sent)  # type: ignore[arg-type]
        if said.status == 200:
            taken.append(sent.headers["webhook-id"])  # type: ignore[attr-defined]
        return said

    receiver.reply = reply
    outbox.append([("x", notice) for notice in MESSAGES])
    with running(outbox, webhook(receiver.url)):
        wait_for(lambda: not outbox.waiting(), "all to be delivered")
    assert taken == [notice.key for notice in MESSAGES]


def test_a_receiver_that_is_not_there_is_waited_for_and_said(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outbox.append([("x", notice) for notice in MESSAGES])
    with running(outbox, webhook(f"http://127.0.0.1:{port}/path-s3cret?key=s3cret")) as courier:
        wait_for(lambda: courier.state.failures >= 10, "ten tries")
        why = "cannot be reached: Failed to establish a new connection: [Errno 111] Connection refused"
        assert courier.state.failing == f"http://127.0.0.1:{port} {why}"
        assert outbox.waiting() == {"x": 5}
    assert caplog.text.count("what waits is kept") == 2, "the first time and the tenth"
    assert "s3cret" not in caplog.text


def test_a_receiver_that_asks_for_patience_is_not_asked_before(receiver: Receiver, outbox: Outbox) -> None:
    receiver.first = [Reply(429, headers={"Retry-After": "0.4"})]
    asked = list[float]()
    receiver.reply = lambda _: Reply()
    outbox.append([("x", MESSAGES[0])])
    begun_s = time.monotonic()
    with running(outbox, webhook(receiver.url)):
        receiver.wait(lambda sent: asked.append(time.monotonic()) or len(sent) == 2)  # type: ignore[func-returns-value]
    assert asked[-1] - begun_s >= 0.4


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7),
        ("in 90 s", 60, 95),
        (formatdate(0, usegmt=True), 0, 0),
        ("1e300", 3600, 3600),
        ("-5", 0, 0),
        ("nan", 0, 0),
        ("soon", 0, 0),
        ("", 0, 0),
    ],
    ids=["seconds", "a date", "a past date", "for ever", "negative", "nan", "a word", "nothing"],
)
def test_patience_is_a_number_or_a_date_within_bounds(header: str, least: float, most: float) -> None:
    if header == "in 90 s":
        header = formatdate(time.time() + 90, usegmt=True)
    assert least <= patience_s(header) <= most


def test_what_is_refused_for_good_is_set_aside_and_told_and_what_is_behind_it_goes_on(
    receiver: Receiver, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.first = [Reply(), Reply(400, b'{"errors":["Length of \'routing_key\' is incorrect"]}')]
    outbox.append([("x", notice) for notice in MESSAGES])
    with running(outbox, webhook(receiver.url)) as courier:
        receiver.wait(lambda sent: len(sent) == 5)
        wait_for(lambda: not outbox.waiting(), "the others")
        assert courier.state.refused == 1
    (aside,) = outbox.aside()
    assert aside.title == MESSAGES[1].title
    assert 'refuses it with 400 ({"errors":["Length of \'routing_key\' is incorrect"]})' in aside.reason
    assert "x has refused" in caplog.text


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (silent, "has not answered within 0.3 s in all"),
        (trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", 0.02), "has not answered within 0.3 s in all"),
        (trickling(b"\x16\x03\x01 no http\r\n", 0.02), "cannot be reached"),
    ],
    ids=["silent", "trickling", "no http"],
)
def test_a_receiver_that_hangs_is_let_go_of_in_time(behaviour: object, said: str) -> None:
    server = SlowServer(behaviour)  # type: ignore[arg-type]
    channel = webhook(f"http://{server.address}", timeout_s=0.3)
    with pytest.raises(SinkError, match=said):
        channel.send(MESSAGES[0], "")
    channel.close()
    server.close()


def test_being_stopped_breaks_off_a_delivery_which_is_made_again(receiver: Receiver, outbox: Outbox) -> None:
    receiver.first = [Reply(hangs=True)]
    outbox.append([("x", MESSAGES[0])])
    with running(outbox, webhook(receiver.url, timeout_s=60.0)):
        receiver.wait(lambda sent: len(sent) == 1)
        begun_s = time.monotonic()
    assert time.monotonic() - begun_s < 10
    with running(outbox, webhook(receiver.url)):
        sent = receiver.wait(lambda sent: len(sent) == 2)
    assert len({each.headers["webhook-id"] for each in sent}) == 1


def test_no_redirect_is_followed(receiver: Receiver) -> None:
    with Receiver() as elsewhere:
        receiver.reply = lambda _: Reply(307, headers={"Location": elsewhere.url})
        with pytest.raises(SinkError, match="answers 307, and redirects are not followed"):
            webhook(receiver.url).send(MESSAGES[0], "")
        assert elsewhere.sent == []


def test_bodies_and_answers_have_bounds(receiver: Receiver) -> None:
    channel = webhook(receiver.url)
    huge = told(incident(evidence="e" * 16_000))
    with pytest.raises(Rejected, match="no more than 1,000,000 are sent"):
        Poster(receiver.url, 10.0, None, []).post(b"x" * (BODY_MAX + 1), {})
    receiver.reply = lambda _: Reply(200, b"y" * (4 * ANSWER_MAX))
    assert channel.send(huge, "").says == "answered 200"
    assert channel.send(huge, "").says == "answered 200", "the connection is fit for another call"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_no_answer_brings_a_secret_into_a_message(receiver: Receiver, status: int) -> None:
    receiver.reply = lambda sent: Reply(status, f"bad {sent.path} {sent.headers['authorization']}\r\n\x1b[2J".encode())
    with pytest.raises(SinkError) as raised:
        webhook(f"{receiver.url}/services/T0/B0/s3cr3t?token=abcdef").send(MESSAGES[0], "")
    text = str(raised.value)
    assert not any(secret in text for secret in (SECRET, "/services/T0", "abcdef"))
    assert f"{status}" in text
    assert text.isprintable()


@pytest.mark.parametrize(
    ("error", "kind"),
    [("invalid_auth", SinkError), ("ratelimited", Busy), ("msg_too_long", Rejected), ("channel_not_found", SinkError)],
)
def test_what_slack_says_no_to_is_tried_again_or_set_aside(
    receiver: Receiver, error: str, kind: type[Exception]
) -> None:
    receiver.reply = lambda _: Reply(body=f'{{"ok":false,"error":"{error}"}}'.encode())
    with pytest.raises(kind, match=f"refuses it: {error}") as raised:
        SlackBot(Poster(receiver.url, 10.0, None, []), "t", "C1").send(MESSAGES[0], "")
    assert type(raised.value) is kind
    receiver.reply = lambda _: Reply(body=b"<html>a proxy's page</html>")
    with pytest.raises(SinkError, match="makes no sense"):
        SlackBot(Poster(receiver.url, 10.0, None, []), "t", "C1").send(MESSAGES[0], "")


def test_a_thread_goes_on_after_the_process_was_started_again(receiver: Receiver, tmp_path: Path) -> None:
    receiver.reply = slack_like
    for part in (MESSAGES[:1], MESSAGES[1:]):
        outbox = Outbox(tmp_path / "notify.sqlite", 1_000)
        outbox.append([("x", notice) for notice in [*part, told(incident(B, number=part[0].at_ms % 7 + len(part)))]])
        with running(outbox, SlackBot(Poster(receiver.url, 10.0, None, []), "t", "C1")):
            wait_for(lambda box=outbox: not box.waiting(), "all to be settled")  # type: ignore[misc]
        outbox.close()
    by_thread = dict[str, list[str | None]]()
    for sent in receiver.sent:
        thread = sent.json["metadata"]["event_payload"]["thread"]
        by_thread.setdefault(thread, []).append(sent.json.get("thread_ts"))
    assert by_thread[A][0] is by_thread[B][0] is None
    assert set(by_thread[A][1:]) | {None} == {None, f"1.{receiver.sent[0].json['client_msg_id'][:6]}"}
    assert None not in by_thread[A][1:] + by_thread[B][1:]


def test_an_error_that_nobody_foresaw_ends_no_courier(
    receiver: Receiver, outbox: Outbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    channel, failed = PagerDuty(Poster(receiver.url, 10.0, None, []), "k" * 32), threading.Event()
    send = channel.send

    def once(notice: object, ref: str) -> object:
        if not failed.is_set():
            failed.set()
            raise ZeroDivisionError("s3cret")
        return send(notice, ref)  # type: ignore[arg-type]

    monkeypatch.setattr(channel, "send", once)
    outbox.append([("x", MESSAGES[0])])
    with caplog.at_level(logging.INFO), running(outbox, channel):
        receiver.wait(lambda sent: len(sent) == 1)
        wait_for(lambda: not outbox.waiting(), "it to be settled")
    assert "delivering failed with ZeroDivisionError; what waits is kept" in caplog.text
    assert "x takes messages again" in caplog.text
    assert "s3cret" not in caplog.text
