"""Slack, and what takes the same: an incoming webhook, or a bot whose messages about an incident are one thread.

A repeat has the same ``client_msg_id``, and the key in its metadata.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

import msgspec

from stream_app.errors import SinkError
from stream_app.incident_lines import short
from stream_app.notify.channels.base import Busy, Receipt
from stream_app.notify.channels.posting import Poster
from stream_app.notify.notices import Notice
from stream_app.sinks.base import Rejected
from stream_app.terminal import shortened, utc

_SECTION_MAX, _FALLBACK_MAX = 2_900, 3_000
_MARKS = {"critical": ":red_circle:", "warning": ":large_orange_circle:", "info": ":large_blue_circle:"}
_OVER = ":white_check_mark:"

_BAD_MESSAGE = frozenset(
    {
        "invalid_arguments",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_metadata_format",
        "invalid_metadata_schema",
        "metadata_too_large",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_text",
    }
)
_LOST_THREAD = frozenset({"cannot_reply_to_message", "invalid_thread_ts", "message_not_found", "thread_not_found"})


class _Said(msgspec.Struct):
    ok: bool
    error: str = ""
    ts: str = ""


class SlackWebhook:
    """An incoming webhook; see :class:`~stream_app.notify.channels.base.Channel`.

    Args:
        poster: posts to its address.
    """

    resend_s: float | None = None

    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    def send(self, notice: Notice, ref: str) -> Receipt:
        """See the class."""
        answer = self._poster.post(msgspec.json.encode(message(notice)), {})
        return Receipt(f"answered {answer.status} {answer.text}".strip())

    def resend(self, refs: Collection[str]) -> None:
        """Nothing lasts here."""

    def close(self) -> None:
        """See the class."""
        self._poster.close()


class SlackBot:
    """A bot; see :class:`~stream_app.notify.channels.base.Channel`. What is remembered of a thread is its ``ts``.

    Args:
        poster: posts to ``chat.postMessage``.
        token: the bot's.
        channel: id of the channel that it writes to.
    """

    resend_s: float | None = None

    def __init__(self, poster: Poster, token: str, channel: str) -> None:
        self._poster, self._channel = poster, channel
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json; charset=utf-8"}

    def send(self, notice: Notice, ref: str) -> Receipt:
        """See the class. A thread that somebody has deleted begins anew."""
        said = self._post(notice, ref)
        if ref and said.error in _LOST_THREAD:
            ref, said = "", self._post(notice, "")
        if not said.ok:
            raise self._refusal(said.error)
        return Receipt(f"said {said.ts}", ref or said.ts)

    def resend(self, refs: Collection[str]) -> None:
        """Slack forgets nothing."""

    def close(self) -> None:
        """See the class."""
        self._poster.close()

    def _post(self, notice: Notice, thread: str) -> _Said:
        fields: dict[str, Any] = {
            "channel": self._channel,
            "client_msg_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"driftflow:{self._channel}:{notice.key}")),
            "unfurl_links": False,
            "metadata": {
                "event_type": "driftflow_notice",
                "event_payload": {"key": notice.key, "thread": notice.thread, "state": notice.state},
            },
            **message(notice),
        }
        if thread:
            fields |= {"thread_ts": thread, "reply_broadcast": notice.is_grave}
        answer = self._poster.post(msgspec.json.encode(fields), self._headers)
        try:
            return msgspec.json.decode(answer.body, type=_Said)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise SinkError(f"{self._poster.where} gives an answer that makes no sense: {answer.text}") from None

    def _refusal(self, error: str) -> SinkError:
        shown = f"{self._poster.where} refuses it: {self._poster.hidden(error) or 'it does not say why'}"
        if error in _BAD_MESSAGE:
            return Rejected(shown)
        return Busy(shown, 0.0) if error in ("ratelimited", "rate_limited") else SinkError(shown)


def message(notice: Notice) -> dict[str, Any]:
    """The text for a notification, and the blocks that are shown."""
    mark = _OVER if notice.state == "over" else _MARKS.get(notice.severity, _MARKS["info"])
    head = f"{mark} *{_escaped(notice.title)}*\n{_escaped(notice.text)}"
    if notice.next:
        head += f"\n{_escaped(notice.next)}"
    blocks = [_section(head)]
    if notice.lines:
        blocks.append(_section("\n".join(f"• {_escaped(line)}" for line in notice.lines)))
    links = [f"<{_escaped(link)}|{_escaped(name)}>" for name, link in notice.links.items() if "|" not in link]
    foot = [f"incident {short(notice.thread)}"] if notice.about == "incidents" else []
    foot += [f"since {utc(notice.since_ms)} UTC", *links]
    small = {"type": "mrkdwn", "text": _cut(" · ".join(foot))}
    text = _cut(f"{_escaped(notice.title)}: {_escaped(notice.text)}", _FALLBACK_MAX)
    return {"text": text, "blocks": [*blocks, {"type": "context", "elements": [small]}]}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text)}}


def _cut(text: str, most: int = _SECTION_MAX) -> str:
    return shortened(text, most)


def _escaped(text: str) -> str:
    """What Slack's markup takes for text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
