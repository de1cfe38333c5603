"""POSTs that end in time, to servers whatever they answer: no redirect is followed, no answer is read beyond a bound,
and no error tells an address or a secret.
"""

from __future__ import annotations

import email.utils
import logging
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import urllib3

from stream_app.errors import SinkError
from stream_app.notify.channels.base import Busy
from stream_app.sinks.base import Rejected
from stream_app.sinks.deadline import Deadline, Sockets
from stream_app.terminal import printable

BODY_MAX = 1_000_000
"""Bytes of a message."""
ANSWER_MAX = 65_536
"""Bytes that are read of an answer."""
PATIENCE_MAX_S = 3_600.0
"""What a receiver may ask for."""

_SHOWN_MAX = 300
_REFUSED = (400, 413, 422)
_LATER = (408, 425, 429, 503)
_REMEDIES = {
    401: "its key, token or password is wrong or missing",
    403: "this key may not write there",
    404: "there is nothing at this address",
    410: "what was there is gone",
    408: "the server was too slow",
    429: "the server asks for patience",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server has said.

    Attributes:
        status: of 200 to 299.
        body: what it has answered, at most :data:`ANSWER_MAX` bytes of it.
        text: the beginning of that on one line, without our secrets.
    """

    status: int
    body: bytes
    text: str


class Poster:
    """Posts bodies to one server.

    Args:
        url: where to.
        timeout_s: longest time of one call in all.
        cafile: authorities that its certificate is checked against; None for the system's.
        secrets: what no message may tell; the path of the address is one of them.

    Raises:
        SinkError: the file of authorities holds no certificate.
    """

    def __init__(self, url: str, timeout_s: float, cafile: Path | None, secrets: list[str]) -> None:
        parts = urlsplit(url)
        self._url, self.where = url, f"{parts.scheme}://{parts.netloc}"
        self._secrets = [text for text in (*secrets, parts.query, parts.path) if len(text) > 3]
        self._sockets, self._timeout_s = Sockets(), timeout_s
        logging.getLogger("urllib3").setLevel(logging.WARNING)  # below, it logs addresses
        self._http = urllib3.PoolManager(num_pools=1, maxsize=1, ssl_context=_context(cafile))
        self._sockets.watch(self._http)
        self._deadline = Deadline(self.where, timeout_s, self._sockets)

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a body; the answer where the server has taken it.

        Raises:
            Rejected: the server will never take it, or it is too large.
            Busy: it asks for patience.
            SinkError: it cannot be reached, or answers as no receiver does that has taken something.
        """
        if len(body) > BODY_MAX:
            raise Rejected(f"the message has {len(body):,} bytes, and no more than {BODY_MAX:,} are sent")
        return self._deadline.run(lambda: self._post(body, headers))

    def close(self) -> None:
        """Let go of connections; a call that is under way ends."""
        self._sockets.shut()
        self._http.clear()

    def hidden(self, text: str) -> str:
        """A text of others on one line, bounded, without our secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return printable(" ".join(text.split()))[:_SHOWN_MAX]

    def _post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        try:
            response = self._http.request(
                "POST",
                self._url,
                body=body,
                headers={"Content-Type": "application/json", "User-Agent": "driftflow", **headers},
                timeout=urllib3.Timeout(total=self._timeout_s),
                retries=False,
                preload_content=False,
                redirect=False,
            )
            with response:
                answer = response.read(ANSWER_MAX, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if _is_late(error):
                raise SinkError(f"{self.where} has not answered within {self._timeout_s:g} s in all") from None
            raise SinkError(f"{self.where} cannot be reached: {self.hidden(_reason(error))}") from None
        return self._settled(response.status, answer, response.headers.get("Retry-After", ""))

    def _settled(self, status: int, body: bytes, retry_after: str) -> Answer:
        text = self.hidden(body.decode("utf-8", "replace"))
        if 200 <= status < 300:
            return Answer(status, body, text)
        shown = f" ({text})" if text else ""
        if status in _REFUSED:
            raise Rejected(f"{self.where} refuses it with {status}{shown}")
        if 300 <= status < 400:
            raise SinkError(f"{self.where} answers {status}, and redirects are not followed: set the address they name")
        sentence = f"{self.where} answers {status}: {_REMEDIES.get(status, 'the server has a problem')}{shown}"
        raise Busy(sentence, patience_s(retry_after)) if status in _LATER else SinkError(sentence)


def patience_s(retry_after: str) -> float:
    """Seconds of a header Retry-After, which holds a number or a date; 0 where it holds neither."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return min(max(0.0, seconds), PATIENCE_MAX_S)  # in this order NaN is 0


def _is_late(error: Exception) -> bool:
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)  # a kind of time-out, says the client
    return isinstance(error, urllib3.exceptions.TimeoutError) and not refused


def _reason(error: Exception) -> str:
    """An error of the client, without the connection that it is of, which is named before it."""
    text = str(error)
    return text.partition(": ")[2] if text.startswith(("HTTP", "<urllib3")) else text or type(error).__name__


def _context(cafile: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(cafile) if cafile else None)
    except OSError as error:
        raise SinkError(f"{cafile} (cafile) holds no certificate: {error.strerror or error}") from None
