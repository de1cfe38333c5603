"""What the embedded store knows of how a model did on each slice and day."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flowlib.table import DAY_MS
from stream_app.audit.dossier.fairness import Day, Key
from stream_app.config import Config
from stream_app.console.queries import open_store
from stream_app.terminal import utc

DAYS_MAX = 30
"""The newest days of a model in service that are looked at."""

_SPAN = """
SELECT min(time_ms), max(time_ms) FROM windows JOIN series ON id = series_id
WHERE json_extract(tags, '$.stream') = :stream AND json_extract(tags, '$.span') = 'pane'
    AND time_ms > (SELECT max(time_ms) FROM windows) - :looked_at AND json_extract(fields, '$.model_id') = :model
"""
_DAYS = f"""
SELECT json_extract(tags, '$.slicing'), json_extract(tags, '$.slice'), (time_ms - 1) / {DAY_MS} AS day,
    sum(json_extract(fields, '$.scored')), sum(json_extract(fields, '$.p_le_01')),
    total(json_extract(fields, '$.log_prob_mean') * json_extract(fields, '$.scored')),
    sum(json_extract(fields, '$.unscorable'))
FROM windows JOIN series ON id = series_id
WHERE json_extract(tags, '$.stream') = :stream AND json_extract(tags, '$.span') = 'pane'
    AND time_ms > :from AND time_ms <= :to AND json_extract(fields, '$.model_id') = :model
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""  # noqa: S608 - no values
_LOOKED_AT_MS = 400 * DAY_MS


@dataclass(frozen=True)
class Realised:
    """What is known.

    Attributes:
        days: of each slice, oldest first.
        says: of when that is, or why there is nothing.
    """

    days: Mapping[Key, Sequence[Day]] = field(default_factory=dict)
    says: str = ""


def realised(config: Config, model_id: str) -> Realised:
    """How a model did, on the newest :data:`DAYS_MAX` days that it has scored."""
    if config.sink.kind != "sqlite":
        return Realised(says=f'sink.kind is "{config.sink.kind}": only the embedded store can be asked here')
    path = config.path(config.sink.path)
    names: dict[str, object] = {"stream": config.stream, "model": model_id, "looked_at": _LOOKED_AT_MS}
    try:
        with open_store(path) as link:
            _, to_ms = link.execute(_SPAN, names).fetchone()
            if to_ms is None:
                return Realised(says=f"{path} has no windows that this model has scored")
            span = {"from": to_ms - DAYS_MAX * DAY_MS, "to": to_ms}
            rows = link.execute(_DAYS, names | span).fetchall()
    except sqlite3.Error as error:
        return Realised(says=f"{path} cannot be read: {error}")
    days = defaultdict[Key, list[Day]](list)
    for slicing, name, day, scored, alarms, log_prob, unscorable in rows:
        days[str(slicing), str(name)].append(Day(day, scored or 0, alarms or 0, log_prob or 0.0, unscorable or 0))
    first = min(row[2] for row in rows) * DAY_MS
    return Realised(days, f"what it has scored from {utc(first)} to {utc(to_ms)}")
