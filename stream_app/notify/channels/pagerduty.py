"""PagerDuty, by its Events API v2: an incident is an alert with the incident's id as ``dedup_key``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from stream_app.notify.channels.base import Receipt
from stream_app.notify.channels.posting import Poster
from stream_app.notify.notices import Notice
from stream_app.terminal import shortened, utc

_SUMMARY_MAX = 1_024
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class PagerDuty:
    """See :class:`~stream_app.notify.channels.base.Channel`.

    Args:
        poster: posts to the API.
        key: the routing key.
    """

    resend_s: float | None = None

    def __init__(self, poster: Poster, key: str) -> None:
        self._poster, self._key = poster, key

    def send(self, notice: Notice, ref: str) -> Receipt:
        """See the class. What is acknowledged in driftflow is triggered first where it was never told here."""
        if notice.acked_by and not notice.rests and not ref:
            self._post(_event(notice, "trigger"))
        answer = self._post(_event(notice, action_of(notice)))
        return Receipt(answer, "" if notice.rests else "triggered")

    def _post(self, event: dict[str, Any]) -> str:
        body = msgspec.json.encode({"routing_key": self._key, **event})
        answer = self._poster.post(body, {})
        return f"answered {answer.status} {answer.text}".strip()

    def resend(self, refs: Collection[str]) -> None:
        """PagerDuty forgets nothing."""

    def close(self) -> None:
        """See the class."""
        self._poster.close()


def action_of(notice: Notice) -> str:
    """What becomes of the alert; while it is silenced it is over there."""
    if notice.rests:
        return "resolve"
    return "acknowledge" if notice.acked_by else "trigger"


def _event(notice: Notice, action: str) -> dict[str, Any]:
    event: dict[str, Any] = {"event_action": action, "dedup_key": notice.thread}
    if action != "trigger":
        return event
    details = {"what": notice.text, "details": notice.lines, "next": notice.next, "id": notice.thread}
    return event | {
        "client": "driftflow",
        "payload": {
            "summary": shortened(f"{notice.title}: {notice.text}", _SUMMARY_MAX),
            "source": f"driftflow/{notice.stream}",
            "severity": notice.severity,
            "timestamp": utc(notice.since_ms, _TIME),
            "component": notice.stream,
            "class": notice.labels.get("kind", notice.about),
            "custom_details": {name: value for name, value in details.items() if value},
        },
        "links": [{"href": link, "text": name} for name, link in notice.links.items()],
    }
