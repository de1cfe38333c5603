"""What the store tells of the watcher itself: what arrived and what was dropped, requests for models, sinks."""

from __future__ import annotations

from stream_app.config import Config
from stream_app.console import arriving, roster
from stream_app.console.overview import counters, failing
from stream_app.console.queries import Points
from stream_app.console.rows import Row

REQUESTS_MAX = 50
"""Requests for models that are listed, the newest."""

PARTITIONS_MAX = 200


def watched_of(points: Points, config: Config | None, tolerated: float) -> Row:
    """Look at the store.

    Args:
        points: the store.
        config: see :class:`~stream_app.console.answers.Store`.
        tolerated: share of events that may be dropped.
    """
    found = arriving.partitions(reversed(points.newest("counters", arriving.REPORTS_MAX)), tolerated)
    worst_first = sorted(found, key=lambda row: -row["share"])
    return {
        "counters": counters(points),
        "partitions": worst_first[:PARTITIONS_MAX],
        "more_partitions": max(len(found) - PARTITIONS_MAX, 0),
        "requests": roster.requests_of(points, roster.news_of(points, config), REQUESTS_MAX),
        "health": failing(points),
        "left_out": points.left_out,
    }
