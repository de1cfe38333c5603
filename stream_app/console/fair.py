"""Who is called strange more often than others by the model in service, slice by slice."""

from __future__ import annotations

from flowlib.fairness import said
from stream_app.console.queries import Points
from stream_app.console.rows import Row
from stream_app.sinks.realised import realised

PARTS_MAX = 200
"""Parts that are listed: of each grouping the most over-alarmed."""

_SAID_MAX = 12


def fair_of(points: Points) -> Row:
    """Alarm shares of slices and groups of them against all others, over the newest days of the model in service.

    Raises:
        sqlite3.Error: the store cannot be read now.
    """
    found = realised(points.link, points.stream)
    names = ("grouping", "name", "rows", "alarms", "share", "share_95", "others", "ratio", "excess", "judged")
    parts = [{name: getattr(part, name) for name in names} for part in found.parts]
    return {
        "model_id": found.model_id,
        "from_ms": found.from_ms,
        "to_ms": found.to_ms,
        "said": said(found.parts)[:_SAID_MAX],
        "parts": parts[:PARTS_MAX],
        "left": max(len(parts) - PARTS_MAX, 0),
        "left_out": found.left_out,
    }
