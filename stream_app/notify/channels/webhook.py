"""A receiver of one's own: the CloudEvent as JSON (structured mode), signed as Standard Webhooks are.

Headers ``webhook-id`` (the key: the same in a repeat), ``webhook-timestamp`` (seconds) and ``webhook-signature``:
``v1,`` and the base64 of HMAC-SHA256 over ``{id}.{timestamp}.{body}``. To verify one, without any library:

    >>> import base64, hashlib, hmac
    >>> secret, said, at, body = "any text", "id-1", "1700000000", b'{"specversion":"1.0"}'
    >>> mac = hmac.new(secret.encode(), f"{said}.{at}.".encode() + body, hashlib.sha256).digest()
    >>> hmac.compare_digest("v1," + base64.b64encode(mac).decode(), signature(secret, said, at, body))
    True

and refuse what is older than five minutes. A secret ``whsec_…`` is base64: its bytes are the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Collection

import msgspec

from stream_app.notify.channels.base import Receipt
from stream_app.notify.channels.posting import Poster
from stream_app.notify.notices import Notice

_PREFIX = "whsec_"


def key_of(secret: str) -> bytes:
    """The key that a secret stands for; raises ValueError where it is no base64 behind ``whsec_``."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ is no base64") from None


def signature(secret: str, said: str, at: str, body: bytes) -> str:
    """The header ``webhook-signature``.

    Args:
        secret: as configured.
        said: the header ``webhook-id``.
        at: the header ``webhook-timestamp``.
        body: the bytes of the body.
    """
    mac = hmac.new(key_of(secret), f"{said}.{at}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(mac.digest()).decode()}"


class Webhook:
    """See :class:`~stream_app.notify.channels.base.Channel`.

    Args:
        poster: posts to the receiver.
        headers: who asks.
        secret: what bodies are signed with, or "".
    """

    resend_s: float | None = None

    def __init__(self, poster: Poster, headers: dict[str, str], secret: str) -> None:
        self._poster, self._headers, self._secret = poster, headers, secret

    def send(self, notice: Notice, ref: str) -> Receipt:
        """See the class."""
        body, at = event_of(notice), str(int(time.time()))
        headers = {
            **self._headers,
            "Content-Type": "application/cloudevents+json; charset=UTF-8",
            "webhook-id": notice.key,
            "webhook-timestamp": at,
        }
        if self._secret:
            headers["webhook-signature"] = signature(self._secret, notice.key, at, body)
        return Receipt(f"answered {self._poster.post(body, headers).status}")

    def resend(self, refs: Collection[str]) -> None:
        """Nothing lasts here."""

    def close(self) -> None:
        """See the class."""
        self._poster.close()


def event_of(notice: Notice) -> bytes:
    """The CloudEvent of a notice in structured mode."""
    attributes = {"specversion": "1.0", "datacontenttype": "application/json", **notice.event, "id": notice.key}
    return msgspec.json.encode({**attributes, "data": msgspec.Raw(notice.data)})
