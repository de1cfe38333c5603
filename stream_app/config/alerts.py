"""Settings of what reaches people: the promise about false incidents, and how often an incident speaks."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from stream_app.config.types import Duration, Section, days

MONTH_MS = 30 * 86_400_000
"""A month of the promise: 30 days of event time."""


class AlertsConfig(Section, frozen=True):
    """Incidents: when they open, what they say and when. All rules and slices of the stream share one promise."""

    false_incidents_per_month: Annotated[float, Meta(gt=0.0, le=10_000.0)] = 1.0
    """While nothing changes so many incidents open in 30 days of event time on average, or fewer, on the whole stream:
    the evidence that opens one follows from it, and from how many slices and rules there are."""
    single_events_per_day: Annotated[float, Meta(gt=0.0, le=10_000.0)] = 0.1
    """While nothing changes so many single events a day are told as strange on average, or fewer."""
    join_within: Duration = days(7)
    """Slices that come to change in the same channel within this time are one incident; so is what comes back on the
    same slice so soon after its end."""
    gather: Duration = days(1)
    """An open incident tells of new members at most this often."""
    reminders: list[Duration] = msgspec.field(default_factory=lambda: [days(1), days(3), days(7)])
    """An open incident that waits for a person and goes on is told again so long after it opened: nobody has
    acknowledged it, and it asks for no model, or has asked for longer than ``retrain.cooldown`` and none has ended it.
    """
    repeat: Duration = days(7)
    """After the last of the reminders, it is told again this often."""
    trusted_keys: list[str] = msgspec.field(default_factory=lambda: ["keys/operator.pub"])
    """Public Ed25519 keys of those whose actions count (``driftflow accept``, ``ack``, ``silence`` and so on)."""
    console_url: str = ""
    """Address of the console as people reach it, for the links in messages; none without."""
    grafana_url: str = ""
    """Address of the dashboard as people reach it, for the links in messages; none without."""
