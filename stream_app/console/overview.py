"""What the page shows at once: what people are told, slices, models, counters."""

from __future__ import annotations

from collections import Counter

import numpy as np

from flowlib.flatness import distance
from flowlib.pit import PIT_BINS
from flowlib.table import DAY_MS, Ints
from stream_app.console import people, picture, shapes, threads
from stream_app.console.queries import Points
from stream_app.console.rows import SHIFTS, Row, counted

OPEN_MAX = 60
PAST_MAX = 300
"""Incidents that are listed: open ones, the worst first, and past ones, the newest first."""

MODELS_MAX = 50
FEATURE_DAYS = 7
"""Days that the histograms of the features are of, at most."""

_HEALTH_MAX = 50
_PIT_MAX = 10_000
_ACTIVATIONS_MAX = 2_000


def overview_of(points: Points) -> Row | None:
    """The whole page but for what is chosen on it; None while there is no window and no incident."""
    windows, heads = _last_windows(points), points.heads()
    if not windows and not heads:
        return None
    open_heads = threads.worst_first(head for head in heads if threads.is_open(head))
    of_slice = threads.by_slice(open_heads)
    slices = [_slice(row, of_slice.get(key, [])) for key, row in windows.items()]
    states = Counter(row["state"] for row in slices)
    activations = points.newest("activations", _ACTIVATIONS_MAX)
    time_ms = max(row["time_ms"] for row in windows.values() or heads)
    return {
        "stream": points.stream,
        "time_ms": time_ms,
        **_told(points, heads, open_heads, time_ms),
        "headline": _headline(heads, open_heads, states),
        "slices": sorted(slices, key=shapes.worst_first),
        "states": states,
        "slicings": len({row["slicing"] for row in slices}),
        "counters": _counters(points),
        "retrains": points.count("retrains"),
        "swaps": shapes.swap_count(activations),
        "models": _models(points.newest("models", MODELS_MAX)),
        "service": activations[-1]["model_id"] if activations else "",
        "features": _features(points),
        "health": failing(points),
        "left_out": points.left_out,
    }


def _models(models: list[Row]) -> list[Row]:
    """What was decided of models; of a candidate whose request has its answer only that."""
    on_the_way = ("candidate", "waiting")
    answered = {model.get("request_id") for model in models if model["status"] not in on_the_way}
    return [model for model in models if model["status"] not in on_the_way or model.get("request_id") not in answered]


def _told(points: Points, heads: list[Row], open_heads: list[Row], time_ms: int) -> Row:
    """What people are told, and what they answered."""
    actions = points.newest("actions", picture.ACTIONS_MAX)
    past = [head for head in heads if not threads.is_open(head)][::-1]
    return {
        "open": [threads.card(head) for head in open_heads[:OPEN_MAX]],
        "open_count": len(open_heads),
        "past": [threads.line(head) for head in past[:PAST_MAX]],
        "past_count": len(past),
        "verdicts": people.verdicts(actions),
        "unlisted": threads.unlisted(open_heads),
        "last_ended": threads.last_ended(heads),
        "strange": [
            threads.builtins(row["record"]) for row in points.newest("strange_events", picture.STRANGE_MAX)[::-1]
        ],
        "marks": people.marks(actions),
        "silences": people.silences(actions, time_ms),
    }


def _headline(heads: list[Row], open_heads: list[Row], states: Counter[str]) -> Row:
    named = states.total() - states["ok"] - states["silenced"]
    return threads.headline(open_heads, states.total(), named, threads.last_ended(heads))


def failing(points: Points) -> list[Row]:
    """What fails in a process now, the newest first: what only the processes know."""
    failing = [row for row in points.lasts("health") if row["state"] == "failing"]
    return [
        {name: row[name] for name in ("part", "says", "source", "time_ms")} for row in failing[: -_HEALTH_MAX - 1 : -1]
    ]


def _last_windows(points: Points) -> dict[tuple[str, str], Row]:
    """The newest window of the longest span of each slice."""
    last: dict[tuple[str, str], Row] = {}
    for row in points.last_windows():
        key = (row["slicing"], row["slice"])
        if key not in last or shapes.span_ms(row["span"]) > shapes.span_ms(last[key]["span"]):
            last[key] = row
    return last


def _slice(row: Row, heads: list[Row]) -> Row:
    """A slice, and what the open incidents that name it say."""
    return {
        "slicing": row["slicing"],
        "slice": row["slice"],
        "span": row["span"],
        "incidents": [threads.span(head) for head in heads],
        "state": threads.worst(threads.severity(head) for head in heads),
        "share": shapes.share(row, "p_le_01"),
        "scored": row.get("scored", 0),
        "shifts": [row.get(name) for name in SHIFTS],
    }


def _counters(points: Points) -> dict[str, int]:
    total: Counter[str] = Counter()
    for row in points.lasts("counters"):
        total.update({name: row[name] for name in counted(row)})
    return dict(total)


def _features(points: Points) -> Row:
    """PIT histograms of all slices together over the newest days of the newest model; what moved most comes first."""
    rows = shapes.newest_days(points.newest("pit", _PIT_MAX)[::-1], FEATURE_DAYS)
    counts: dict[str, Ints] = {}
    for row in rows:
        bins = np.array([row[f"h{b:02d}"] for b in range(PIT_BINS)], dtype=np.int64)
        counts[row["feature"]] = counts.get(row["feature"], 0) + bins
    moved = distance(np.stack(list(counts.values()))).tolist() if counts else []
    entries = [
        {"feature": feature, "moved": off, "counts": bins.tolist()}
        for (feature, bins), off in zip(counts.items(), moved, strict=True)
    ]
    return {
        "entries": sorted(entries, key=lambda entry: (-entry["moved"], entry["feature"])),
        "from_ms": min(((row["time_ms"] - 1) // DAY_MS * DAY_MS for row in rows), default=0),
    }
