"""Mail through a real server: threads, STARTTLS, logins, and what a server may refuse."""

from __future__ import annotations

import email
import email.policy
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from stream_app.config import parse
from stream_app.errors import ConfigError, SinkError
from stream_app.kafka.embedded import free_port
from stream_app.notify import send_page
from stream_app.notify.channels.mail import Mail, Server
from stream_app.sinks.base import Rejected
from tests.certificates import write_certificates
from tests.notify.receivers import A, B, told
from tests.people import incident
from tests.sinks.slow_servers import SlowServer, silent, trickling

FIRST = told(incident(A, links={"console": "https://c/#a", "other": "javascript:x"}, next="Look at <b>it</b>"))
SECOND = told(incident(A, number=2, state="update", reason="members"))
OVER = told(incident(A, number=3, state="resolve", reason="ended"))
SENDER, TO = "driftflow@example.com", ["anna@example.com", "bo@example.com"]
USER, PASSWORD = "driftflow", "s3cret-password"


class Box:
    """What a mail server has taken, and what it answers where a test wants it to refuse."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.rcpt: dict[str, str] = {}
        self.data = ""

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:
        if address in self.rcpt:
            return self.rcpt[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:
        if self.data:
            return self.data
        letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        return "250 OK"


def _login(_: Any, __: Any, ___: Any, ____: Any, given: Any) -> AuthResult:
    right = (given.login, given.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=right)


@contextmanager
def mail_server(box: Box, certificates: Path | None = None) -> Iterator[int]:
    """Run it; with certificates it wants STARTTLS and a login. Gives its port."""
    options: dict[str, Any] = {}
    if certificates is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem")
        options = {"tls_context": context, "require_starttls": True, "auth_required": True, "authenticator": _login}
    controller = Controller(box, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def port(box: Box) -> Iterator[int]:
    with mail_server(box) as port:
        yield port


def mail(port: int, timeout_s: float = 10.0, **fields: Any) -> Mail:
    known = {"host": "127.0.0.1", "tls": "none", "username": "", "password": "", "cafile": None}
    return Mail(Server(**{**known, "port": port, "timeout_s": timeout_s, **fields}), SENDER, TO)


def test_an_incident_is_a_thread_with_one_subject(port: int, box: Box) -> None:
    channel = mail(port)
    receipt = channel.send(FIRST, "")
    assert receipt.says == "taken for 2 of 2 addresses"
    refs = [receipt.ref, channel.send(SECOND, receipt.ref).ref, channel.send(OVER, receipt.ref).ref]
    other = channel.send(told(incident(B)), "")
    assert refs == [receipt.ref] * 3
    assert other.ref != receipt.ref
    first, second, over, elsewhere = box.letters
    assert first["Message-ID"] == f"<{FIRST.key}@example.com>"
    assert (first["In-Reply-To"], first["References"]) == (None, None)
    for letter in (second, over):
        assert (letter["In-Reply-To"], letter["References"]) == (first["Message-ID"], first["Message-ID"])
        assert letter["Subject"] == f"Re: {first['Subject']}", "by its subject Gmail knows a thread"
    assert len({letter["Message-ID"] for letter in box.letters}) == 4
    assert elsewhere["References"] is None
    assert first["Subject"] == "s: critical drift aaaaaaaa: Dongsi: TEMP is lower"
    assert (first["From"], first["To"]) == (SENDER, ", ".join(TO))
    assert first["X-Driftflow-Thread"] == A


def test_a_repeat_is_the_same_letter(port: int, box: Box) -> None:
    for _ in range(2):
        mail(port).send(FIRST, "")
    assert len({letter["Message-ID"] for letter in box.letters}) == 1


def test_a_letter_is_plain_text_and_html_and_says_the_same_in_both(port: int, box: Box) -> None:
    mail(port).send(FIRST, "")
    (letter,) = box.letters
    plain, page = letter.get_body(("plain",)), letter.get_body(("html",))
    assert plain is not None
    assert page is not None
    for part in (plain, page):
        text = part.get_content()
        assert "Dongsi: TEMP is lower" in text
        assert "https://c/#a" in text
    assert "Look at &lt;b&gt;it&lt;/b&gt;" in page.get_content()
    assert "javascript:" not in page.get_content()


def test_nothing_of_others_becomes_a_header(port: int, box: Box) -> None:
    wild = told(incident(A, summary="x\r\nBcc: eve@example.com\r\n\r\nbody" + "y" * 5_000, acked_by="a\nTo: b"))
    mail(port).send(wild, "")
    (letter,) = box.letters
    assert letter["Bcc"] is None
    assert len(letter["Subject"]) <= 120


def test_a_subject_ends_with_a_whole_word(port: int, box: Box) -> None:
    words = "All 12 stations of the city: " + "TEMP is considerably higher than usual; " * 9
    mail(port).send(told(incident(A, summary=words)), "")
    (letter,) = box.letters
    subject = str(letter["Subject"])
    assert 100 < len(subject) <= 120
    assert subject.endswith("…")
    whole = f"{told(incident(A)).title}: {words}".split()
    assert subject.removesuffix("…").split()[-1] in [word.rstrip(";:") for word in whole]


def test_with_starttls_it_logs_in_behind_tls_and_checks_the_certificate(tmp_path: Path, box: Box) -> None:
    write_certificates(tmp_path)
    login = {"tls": "starttls", "username": USER, "password": PASSWORD, "cafile": tmp_path / "ca.pem"}
    with mail_server(box, tmp_path) as port:
        mail(port, **login).send(FIRST, "")
        assert len(box.letters) == 1
        with pytest.raises(SinkError, match="refuses user and password with 535: see username") as refused:
            mail(port, **{**login, "password": "wrong-s3cret"}).send(FIRST, "")
        assert "s3cret" not in str(refused.value)
        with pytest.raises(SinkError, match="CERTIFICATE_VERIFY_FAILED"):
            mail(port, **{**login, "cafile": None}).send(FIRST, "")
        assert len(box.letters) == 1
    assert type(refused.value) is SinkError, "a password can be mended"


def test_a_server_without_starttls_gets_nothing_where_that_was_asked_for(port: int, box: Box) -> None:
    with pytest.raises(SinkError, match="has no STARTTLS"):
        mail(port, tls="starttls").send(FIRST, "")
    assert box.letters == []


@pytest.mark.parametrize(
    ("rcpt", "data", "kind", "said"),
    [
        (dict.fromkeys(TO, "550 no such user"), "", Rejected, "refuses every address: no such user"),
        (dict.fromkeys(TO, "451 greylisted"), "", SinkError, "refuses every address: greylisted"),
        ({}, "554 looks like spam", Rejected, "refuses the message with 554: looks like spam"),
        ({}, "452 disk full", SinkError, "refuses the message with 452: disk full"),
    ],
    ids=["no such user", "greylisted", "spam", "disk full"],
)
def test_what_is_refused_for_now_is_tried_again_and_what_is_refused_for_good_is_not(
    port: int, box: Box, rcpt: dict[str, str], data: str, kind: type[Exception], said: str
) -> None:
    box.rcpt, box.data = rcpt, data
    with pytest.raises(SinkError, match=said) as raised:
        mail(port).send(FIRST, "")
    assert type(raised.value) is kind


def test_one_address_that_is_refused_keeps_it_from_no_other(port: int, box: Box) -> None:
    box.rcpt = {TO[1]: "550 no such user"}
    assert mail(port).send(FIRST, "").says == f"taken for 1 of 2 addresses, refused: {TO[1]}"


@pytest.mark.parametrize("behaviour", [silent, trickling(b"220-", 0.02)], ids=["silent", "trickling"])
def test_a_server_that_hangs_is_let_go_of_in_time(behaviour: Any) -> None:
    server = SlowServer(behaviour)
    channel = mail(int(server.address.partition(":")[2]), timeout_s=0.3)
    with pytest.raises(SinkError, match=r"has not answered within|cannot be reached|breaks off"):
        channel.send(FIRST, "")
    channel.close()
    server.close()


def test_a_page_is_mailed_outside_any_thread(port: int, box: Box, tmp_path: Path) -> None:
    raw = {"stream": "s", "topics": {"events": "s.events"}, "event": {"time_field": "time", "numeric": ["x"]}}
    owners = {"host": "127.0.0.1", "port": port, "tls": "none", "sender": SENDER, "to": TO}
    config = parse({**raw, "notify": {"mail": {"owners": owners}}})
    said = send_page(config, "owners", "A week of s", "In sentences.", "<!doctype html><p>In sentences.</p>")
    assert said == "taken for 2 of 2 addresses"
    (letter,) = box.letters
    assert (letter["Subject"], letter["In-Reply-To"]) == ("A week of s", None)
    with pytest.raises(ConfigError, match=r"notify.mail: there is no channel 'ops' \(owners\)"):
        send_page(config, "ops", "", "", "")


def test_a_server_that_is_not_there_is_said() -> None:
    with pytest.raises(SinkError, match=r"127.0.0.1:\d+ cannot be reached: Connection refused"):
        mail(free_port()).send(FIRST, "")
