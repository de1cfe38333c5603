"""What Grafana knows things by: at most 40 letters, digits, ``-`` and ``_``."""

from __future__ import annotations

import hashlib
import re

from stream_app.config import Config

MONITOR_UID = "driftflow-monitor"
"""The dashboard of the monitor itself, and the Prometheus that it asks."""

FOLDER = CONTACT = "driftflow"
"""Grafana's folder of the alert rules; whom they tell."""

_LONGEST, _DIGITS = 40, 10


def uid_of(*parts: str) -> str:
    """One to one: what would not fit, or has other signs, ends with a hash of all.

    >>> uid_of("driftflow", "beijing-air"), uid_of("driftflow", "a.b")
    ('driftflow-beijing-air', 'driftflow-a-b-40f95bb26c')
    """
    whole = "-".join(parts)
    clean = re.sub(r"[^a-zA-Z0-9_-]", "-", whole)
    if clean == whole and len(whole) <= _LONGEST:
        return whole
    return f"{clean[: _LONGEST - _DIGITS - 1]}-{hashlib.sha256(whole.encode()).hexdigest()[:_DIGITS]}"


def stream_uid(config: Config) -> str:
    """A stream's dashboard."""
    return uid_of("driftflow", config.stream)


def influx_uid(config: Config) -> str:
    """Where a stream's points are: the same bucket is the same data source."""
    return uid_of("driftflow", "influx", config.sink.bucket)
