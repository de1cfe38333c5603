"""What becomes of the events that arrive, of late: how many are dropped, and on which source partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scipy.special import betainc

from stream_app.console.rows import Row

EVENTS_MIN = 200
"""So many events back, or to the report before where that is further."""

REPORTS_MAX = 4_000
"""Reports of all partitions that are looked at."""

CRITICAL, WARNING = 0.5, 0.1
"""Shares of dropped events from which on they are so severe, as in :mod:`stream_app.stages.score.intake_words`."""

TOLERATED = 0.01
"""``event.tolerated`` where nobody has said another one."""

_ERROR = 1e-6

TOTALS = ("received", "windowed", "late", "rejected", "duplicate", "held")
"""What is counted of events."""

DROPPED = ("rejected", "late")
"""Those of them that count in no window."""


def tone_of(dropped: int, events: int, tolerated: float = TOLERATED) -> str:
    """How severe it is that so many of some events are dropped: nothing is said unless it is surely too many.

    >>> tone_of(200, 200), tone_of(30, 200), tone_of(15, 200), tone_of(1, 200), tone_of(1, 1)
    ('critical', 'warning', 'info', 'ok', 'ok')
    """
    if not dropped or betainc(dropped, events - dropped + 1, tolerated) > _ERROR:
        return "ok"
    share = dropped / events
    return "critical" if share >= CRITICAL else "warning" if share >= WARNING else "info"


def newest(stored: dict[str, int], live: Row | None) -> dict[str, int]:
    """The totals that are further: those of the store stand still while no pane closes, as where no event can be read;
    the workers' are those of this machine alone.

    >>> newest({"received": 10, "rejected": 0}, {"totals": {"received": 12, "rejected": 2}})
    {'received': 12, 'rejected': 2}
    >>> newest({"received": 10, "rejected": 0}, None)
    {'received': 10, 'rejected': 0}
    """
    told = (live or {}).get("totals", {})
    return dict(told) if told and told["received"] >= stored.get("received", 0) else stored


def recent(before: Mapping[str, int], after: Mapping[str, int], tolerated: float) -> Row:
    """What became of the events between two counts."""
    counts = {name: max(after[name] - before[name], 0) for name in ("received", *DROPPED)}
    dropped, events = sum(counts[name] for name in DROPPED), counts.pop("received")
    tone = tone_of(min(dropped, events), events, tolerated) if events else "ok"
    return {**counts, "events": events, "share": dropped / events if events else 0.0, "tone": tone}


def partitions(reports: Iterable[Row], tolerated: float = TOLERATED) -> list[Row]:
    """Each source partition: its totals, and what became of its last events; by number.

    Args:
        reports: points of ``counters``, the newest first.
        tolerated: share of events that may be dropped.
    """
    of: dict[str, list[Row]] = {}
    for row in reports:
        kept = of.setdefault(row["partition"], [])
        if len(kept) < 2 or kept[0]["received"] - kept[-1]["received"] < EVENTS_MIN:
            kept.append(row)
    return [_partition(of[name], tolerated) for name in sorted(of, key=lambda name: (len(name), name))]


def _partition(kept: list[Row], tolerated: float) -> Row:
    newest = kept[0]
    before = kept[-1] if len(kept) > 1 else dict.fromkeys(TOTALS, 0)
    totals = {name: newest[name] for name in TOTALS}
    return {"partition": newest["partition"], "time_ms": newest["time_ms"], "totals": totals} | recent(
        before, newest, tolerated
    )
