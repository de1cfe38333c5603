"""What a sink will not take of a stream, said when it is opened: before points are refused, or wait in the spool."""

from __future__ import annotations

from collections.abc import Iterator

from stream_app.config import Config
from stream_app.terminal import utc

TAKES_A_SECOND = {"sqlite": 100_000, "influx": 50_000}
"""Points of windows that are handed over in a second with one core, about (``infra/README.md``); a sink of one's own
has no line here."""

_DAY_S, _HOUR_S = 86_400, 3_600


def limits(config: Config, retention_s: int | None, now_s: float) -> Iterator[str]:
    """Sentences for a log: what does not fit, and what to do.

    Args:
        config: the stream.
        retention_s: how long the sink keeps a point; 0 for ever, None where it is not known.
        now_s: the time by the clock.
    """
    if retention_s:
        oldest = utc(int(1_000 * max(now_s - retention_s, 0)), "%Y-%m-%d")
        yield (
            f"Bucket {config.sink.bucket} keeps {_long(retention_s)}: points of events before {oldest} will be refused "
            "and set aside. Give it a longer retention, or none, where history is replayed."
        )
    a_pane, pane_s, takes = points_of_pane(config), config.windows.pane.seconds, TAKES_A_SECOND.get(config.sink.kind)
    if takes and a_pane > takes * pane_s:
        yield (
            f"With {config.windows.max_slices:,} slices in each slicing (windows.max_slices) a pane of {pane_s:g} s "
            f"makes {a_pane:,} points, and {config.sink.kind} takes about {takes:,} a second: they would wait in the "
            f"spool, which holds {config.sink.spool_max_points:,}. Take a longer windows.pane, fewer windows.spans, or "
            "fewer slices."
        )


def points_of_pane(config: Config) -> int:
    """Most points of windows that a pane makes: of each slice one for itself, and one for each span."""
    return config.windows.max_slices * len(config.event.slicings) * (1 + len(config.windows.spans))


def _long(seconds: int) -> str:
    """Whole days, or hours where it is less than two days.

    >>> _long(2_592_000), _long(86_400)
    ('30 days', '24 hours')
    """
    return f"{seconds // _DAY_S} days" if seconds >= 2 * _DAY_S else f"{seconds // _HOUR_S} hours"
