"""Alertmanager, by its API v2: an incident is an alert that is sent again for as long as it is open.

The labels of an alert are its identity. Those of an incident are its stream and id, which never change, and its
severity and kind, by which alerts are routed: where one of these changes, the alert as it was ends in the same request
that begins the new one, so that who is woken by ``critical`` is woken. Where a silence of driftflow covers an incident
its alert ends, and begins again where the incident goes on after the silence.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import msgspec

from stream_app.notify.channels.base import Receipt
from stream_app.notify.channels.posting import Poster
from stream_app.notify.notices import Notice
from stream_app.terminal import utc

HOLD_MS = 86_400_000
"""An alert that is not sent again ends by itself after this time, as one of a process that is gone for good."""

ALERT_NAME = "DriftflowIncident"
_SILENCED = "in driftflow: it fires again where it goes on when the silence has ended"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class Alert(msgspec.Struct, rename="camel"):
    """An alert as the API takes it, its end apart, which is one of the clock."""

    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str
    generator_url: str = msgspec.field(name="generatorURL", default="")


class Alertmanager:
    """See :class:`~stream_app.notify.channels.base.Channel`.

    Args:
        poster: posts to ``/api/v2/alerts``.
        headers: who asks.
        resend_s: how often open incidents are sent again.
    """

    def __init__(self, poster: Poster, headers: dict[str, str], resend_s: float) -> None:
        self._poster, self._headers, self.resend_s = poster, headers, resend_s

    def send(self, notice: Notice, ref: str) -> Receipt:
        """See the class."""
        alert, before, now_ms = _alert(notice), _remembered(ref), time.time_ns() // 1_000_000
        alerts = [_until(alert, now_ms if notice.rests else now_ms + HOLD_MS)]
        if before is not None and before.labels != alert.labels:
            alerts.append(_until(before, now_ms))
        answer = self._poster.post(msgspec.json.encode(alerts), self._headers)
        return Receipt(f"answered {answer.status}", "" if notice.rests else msgspec.json.encode(alert).decode())

    def resend(self, refs: Collection[str]) -> None:
        """See the class."""
        end_ms = time.time_ns() // 1_000_000 + HOLD_MS
        alerts = [_until(alert, end_ms) for alert in map(_remembered, refs) if alert is not None]
        for first in range(0, len(alerts), 100):
            self._poster.post(msgspec.json.encode(alerts[first : first + 100]), self._headers)

    def close(self) -> None:
        """See the class."""
        self._poster.close()


def _alert(notice: Notice) -> Alert:
    labels = {"alertname": ALERT_NAME, "stream": notice.stream, "incident": notice.thread, **notice.labels}
    texts = {
        "summary": notice.title,
        "description": "\n".join([notice.text, *notice.lines]),
        "next": notice.next,
        "acknowledged_by": notice.acked_by,
        "silenced": _SILENCED if notice.silenced else "",
        "ended": utc(notice.at_ms, _TIME) if notice.state == "over" else "",
        **{f"{name}_url": link for name, link in notice.links.items()},
    }
    since_ms = min(notice.since_ms, time.time_ns() // 1_000_000 - 1)  # one that is to begin later is refused at its end
    annotations = {name: text for name, text in texts.items() if text}
    return Alert(labels, annotations, utc(since_ms, _TIME), notice.links.get("console", ""))


def _until(alert: Alert, end_ms: int) -> dict[str, Any]:
    """The alert with its end; nothing stands in it that is empty."""
    built: dict[str, Any] = msgspec.to_builtins(alert)
    end = f"{utc(end_ms, '%Y-%m-%dT%H:%M:%S')}.{end_ms % 1_000:03d}Z"
    return {name: value for name, value in (built | {"endsAt": end}).items() if value}


def _remembered(ref: str) -> Alert | None:
    return msgspec.json.decode(ref, type=Alert) if ref else None
