"""``driftflow sink``: what was set aside, and sending it again. A worker may use the spool at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stream_app.config import Config
from stream_app.errors import SinkError
from stream_app.sinks.spool import Spool
from stream_app.terminal import utc

REASONS_MAX = 20
"""Reasons that are told apart: servers put the line they dislike into theirs."""

_OTHERS = "other reasons"
_DAMAGED = "(damaged)"


def list_aside(config: Config) -> dict[str, Any]:
    """What is set aside.

    Returns:
        ``count``; ``given_up``: how many were lost because there were too many; ``reasons``, reason to count, the most
        frequent first; ``measurements``, name to ``count``, ``oldest_ms`` and ``newest_ms``, in event time.

    Raises:
        SinkError: there is no spool, or it cannot be read.
    """
    reasons, measurements, count = dict[str, int](), dict[str, dict[str, Any]](), 0
    with _spool(config) as spool:
        for point, reason in spool.aside():
            count += 1
            known = reason if reason in reasons or len(reasons) < REASONS_MAX else _OTHERS
            reasons[known] = reasons.get(known, 0) + 1
            name, time_ms = (point.measurement, point.time_ms) if point else (_DAMAGED, None)
            row = measurements.setdefault(name, {"count": 0, "oldest_ms": time_ms, "newest_ms": time_ms})
            row["count"] += 1
            if time_ms is not None:
                row["oldest_ms"], row["newest_ms"] = min(row["oldest_ms"], time_ms), max(row["newest_ms"], time_ms)
        given_up = spool.forgotten
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return {
        "count": count,
        "given_up": given_up,
        "reasons": dict(ordered),
        "measurements": dict(sorted(measurements.items())),
    }


def lines_of(listed: dict[str, Any]) -> Iterator[str]:
    """What :func:`list_aside` has found, for people."""
    yield f"{listed['count']:,} points are set aside"
    if listed["given_up"]:
        yield f"{listed['given_up']:,} older ones were given up: sink.spool_max_points bounds them"
    for name, row in listed["measurements"].items():
        span = "" if row["oldest_ms"] is None else f"  {utc(row['oldest_ms'])} to {utc(row['newest_ms'])}"
        yield f"  {row['count']:>9,}  {name}{span}"
    for reason, count in listed["reasons"].items():
        yield f"  {count:>9,}  {reason}"


def retry_aside(config: Config) -> int:
    """Put all that is set aside at the end of the queue, durably; how many points these are.

    The drainer of a worker takes them; those that are refused again are set aside again.

    Raises:
        SinkError: there is no spool, it cannot be written, or its queue has no room for them.
    """
    with _spool(config) as spool:
        return spool.put_back()


@contextmanager
def _spool(config: Config) -> Iterator[Spool]:
    path = config.path(config.sink.spool)
    if not path.exists():
        raise SinkError(f"{path} does not exist: there is no spool before a worker's first start; see sink.spool")
    spool = Spool(path, config.sink.spool_max_points)
    try:
        yield spool
    finally:
        spool.close()
