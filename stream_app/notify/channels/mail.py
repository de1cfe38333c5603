"""E-mail by SMTP: an incident is a thread, by Message-ID, In-Reply-To and References, under one subject.

A Message-ID follows from the message's key, so that a repeat has the same one and is shown once.
"""

from __future__ import annotations

import email.policy
import smtplib
import socket
import ssl
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from html import escape
from pathlib import Path

import msgspec

from stream_app.errors import SinkError
from stream_app.notify.channels.base import Receipt
from stream_app.notify.notices import Notice
from stream_app.sinks.base import Rejected
from stream_app.sinks.deadline import Deadline
from stream_app.terminal import printable, shortened, utc

_SUBJECT_MAX = 120
_COLOURS = {"critical": "#b3261e", "warning": "#8a5a00", "info": "#175cd3"}
_OVER = "#1b7f3b"
_SHOWN_MAX = 300
_READY = 220


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server and who logs in there, with the secrets as they are.

    Attributes:
        tls: ``starttls``, ``tls`` or ``none``.
        cafile: authorities that its certificate is checked against; None for the system's.
    """

    host: str
    port: int
    tls: str
    username: str
    password: str
    cafile: Path | None
    timeout_s: float

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.host}:{self.port}"


class Mail:
    """See :class:`~stream_app.notify.channels.base.Channel`. What is remembered of a thread is its first Message-ID and
    its subject.

    Raises:
        SinkError: the file of authorities holds no certificate.
    """

    resend_s: float | None = None

    def __init__(self, server: Server, sender: str, to: list[str]) -> None:
        self._server, self._sender, self._to = server, sender, to
        self._context = _context(server.cafile)
        self._line = _Line()
        self._deadline = Deadline(server.where, server.timeout_s, self._line)

    def send(self, notice: Notice, ref: str) -> Receipt:
        """See the class."""
        message, ref = letter(notice, ref, self._sender, self._to)
        return Receipt(self.post(message), ref)

    def post(self, message: EmailMessage) -> str:
        """Hand a message in; how many addresses it was taken for. Raises as :meth:`send` does."""
        refused = self._deadline.run(lambda: self._hand_in(message))
        says = f"taken for {len(self._to) - len(refused)} of {len(self._to)} addresses"
        return f"{says}, refused: {', '.join(refused)}" if refused else says

    def written(self, subject: str, text: str, page: str) -> EmailMessage:
        """A message of its own, outside any thread: plain text, and HTML."""
        message = EmailMessage(policy=email.policy.SMTP)
        message["From"], message["To"] = self._sender, ", ".join(self._to)
        message["Date"] = formatdate(localtime=False)
        message["Message-ID"] = make_msgid(domain=_domain(self._sender))
        message["Auto-Submitted"], message["Subject"] = "auto-generated", shortened(printable(subject), _SUBJECT_MAX)
        message.set_content(text)
        message.add_alternative(page, subtype="html")
        return message

    def resend(self, refs: Collection[str]) -> None:
        """Mail is kept by those who have it."""

    def close(self) -> None:
        """See the class."""
        self._line.shut()

    def _hand_in(self, message: EmailMessage) -> list[str]:
        """Hand it in; the addresses that were refused, of several."""
        try:
            smtp = self._connected()
            try:
                refused = list(smtp.send_message(message, self._sender, self._to))
                with suppress(smtplib.SMTPException, OSError):  # it has been taken, whatever the farewell is
                    smtp.quit()
                return refused
            finally:
                smtp.close()
        except smtplib.SMTPException as error:
            raise self._told(error) from None
        except OSError as error:
            raise SinkError(f"{self._server.where} cannot be reached: {error.strerror or error}") from None

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        if server.tls == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(timeout=server.timeout_s, context=self._context)
        else:
            smtp = smtplib.SMTP(timeout=server.timeout_s)
        self._line.smtp = smtp
        smtp._host = server.host  # type: ignore[attr-defined]  # the name that a certificate is checked against
        try:
            code, said = smtp.connect(server.host, server.port)
            if code != _READY:
                raise smtplib.SMTPConnectError(code, said)
            if server.tls == "starttls":
                smtp.starttls(context=self._context)
            if server.username:
                smtp.login(server.username, server.password)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _told(self, error: smtplib.SMTPException) -> SinkError:
        where = self._server.where
        match error:
            case smtplib.SMTPRecipientsRefused():
                codes = [code for code, _ in error.recipients.values()]
                why = next(iter(error.recipients.values()))[1]
                sentence = f"{where} refuses every address: {self._hidden(why)}"
                return Rejected(sentence) if all(code >= 500 for code in codes) else SinkError(sentence)
            case smtplib.SMTPDataError():
                sentence = f"{where} refuses the message with {error.smtp_code}: {self._hidden(error.smtp_error)}"
                return Rejected(sentence) if error.smtp_code >= 500 else SinkError(sentence)
            case smtplib.SMTPAuthenticationError():
                said = f"{where} refuses user and password with {error.smtp_code}"
                return SinkError(f"{said}: see username and password_env")
            case smtplib.SMTPNotSupportedError():
                return SinkError(f'{where} has no STARTTLS, or no login without it: see tls ("tls" or "none")')
            case smtplib.SMTPResponseException():
                return SinkError(f"{where} answers {error.smtp_code}: {self._hidden(error.smtp_error)}")
        return SinkError(f"{where} breaks off: {self._hidden(str(error))}")

    def _hidden(self, text: bytes | str) -> str:
        said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        if len(self._server.password) > 3:
            said = said.replace(self._server.password, "…")
        return printable(" ".join(said.split()))[:_SHOWN_MAX]


class _Line:
    """The connection of a delivery, for :class:`~stream_app.sinks.deadline.Deadline`."""

    def __init__(self) -> None:
        self.smtp: smtplib.SMTP | None = None

    def begin(self) -> None:
        self.smtp = None

    def end(self) -> None:
        self.smtp = None

    def shut(self) -> None:
        link = self.smtp.sock if self.smtp is not None else None
        if link is not None:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)


class _Thread(msgspec.Struct):
    root: str
    subject: str


def letter(notice: Notice, ref: str, sender: str, to: list[str]) -> tuple[EmailMessage, str]:
    """The message about a notice, and what is to be remembered of its thread.

    Args:
        notice: what there is to tell.
        ref: what was remembered before.
        sender, to: addresses.
    """
    own = f"<{notice.key}@{_domain(sender)}>"
    thread = msgspec.json.decode(ref, type=_Thread) if ref else None
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"], message["To"] = sender, ", ".join(to)
    message["Date"], message["Message-ID"] = formatdate(localtime=False), own
    message["X-Driftflow-Thread"], message["Auto-Submitted"] = notice.thread, "auto-generated"
    if thread is None:
        thread = _Thread(own, shortened(printable(f"{notice.title}: {notice.text}"), _SUBJECT_MAX))
        message["Subject"] = thread.subject
    else:
        message["Subject"] = f"Re: {thread.subject}"
        message["In-Reply-To"] = message["References"] = thread.root
    message.set_content(_plain(notice))
    message.add_alternative(_html(notice), subtype="html")
    return message, msgspec.json.encode(thread).decode()


def _domain(address: str) -> str:
    return address.rpartition("@")[2].strip("[]")


def _plain(notice: Notice) -> str:
    parts = [notice.title, notice.text, *(f"- {line}" for line in notice.lines), notice.next]
    parts += [f"{name}: {link}" for name, link in notice.links.items()]
    return "\n\n".join([*filter(None, parts), f"Since {utc(notice.since_ms)} UTC. Id: {notice.thread}"]) + "\n"


def _html(notice: Notice) -> str:
    colour = _OVER if notice.state == "over" else _COLOURS.get(notice.severity, _COLOURS["info"])
    lines = "".join(f"<li>{escape(line)}</li>" for line in notice.lines)
    links = " · ".join(f'<a href="{escape(link)}">{escape(name)}</a>' for name, link in _web(notice.links))
    parts = [
        f'<h2 style="font-size:17px;color:{colour}">{escape(notice.title)}</h2>',
        f"<p>{escape(notice.text)}</p>",
        f"<ul>{lines}</ul>" if lines else "",
        f"<p><em>{escape(notice.next)}</em></p>" if notice.next else "",
        f"<p>{links}</p>" if links else "",
        f'<p style="color:#666;font-size:12px">Since {utc(notice.since_ms)} UTC. Id: {escape(notice.thread)}</p>',
    ]
    body = "\n".join(filter(None, parts))
    return f'<!doctype html>\n<html lang="en"><body style="font-family:sans-serif">\n{body}\n</body></html>\n'


def _web(links: dict[str, str]) -> list[tuple[str, str]]:
    """Links that a browser opens; no other scheme has a place in mail."""
    return [(name, link) for name, link in links.items() if link.startswith(("https://", "http://"))]


def _context(cafile: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(cafile) if cafile else None)
    except OSError as error:
        raise SinkError(f"{cafile} (cafile) holds no certificate: {error.strerror or error}") from None
