"""What the page shows at once: what people are told, slices, features, and the sentence above them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from flowlib.flatness import distance
from flowlib.pit import PIT_BINS
from flowlib.table import DAY_MS, Ints
from stream_app.console import arriving, listing, people, picture, rates, shapes, threads, verdict
from stream_app.console.queries import Points
from stream_app.console.rows import SHIFTS, Row, counted

OPEN_MAX = 20
"""Open incidents that are shown whole, the worst first; the list has all."""

FEATURE_DAYS = 7
"""Days that the histograms of the features are of, at most."""

FAR = 0.25
"""How far from flat a histogram is said to be elsewhere than predicted."""

_TIED = 0.5
"""Where a bin has more of the values than this, most are equal, and a hump says nothing."""

_HEALTH_MAX = 50
_PIT_MAX = 10_000
_ACTIVATIONS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Whole:
    """Everything that is asked for again and again, from one look at the store.

    Attributes:
        page: what is shown at once, but for the slices.
        incidents: what the open incidents say in a sentence.
        signs: what else is in colour.
        slices: all of them, the worst first.
        lines: all incidents.
        windows: newest windows of slices and spans.
    """

    page: Row
    incidents: Row
    signs: list[verdict.Sign]
    slices: list[Row]
    lines: list[Row]
    windows: int

    def answer(self, live: Row | None) -> Row:
        """The overview as it is sent, with the sentence that follows from all of it."""
        signs = [*self.signs, *verdict.of_processes(live), *verdict.of_health(_failing(self.page["health"], live))]
        first = listing.slices(self.slices, "", 0)
        counts = arriving.newest(self.page["counters"], live)
        return {**self.page, **first, "counters": counts, "verdict": verdict.verdict(self.incidents, signs)}


def _failing(stored: list[Row], live: Row | None) -> list[Row]:
    """Parts that fail, by what the store has been told and by what the workers say now, each once."""
    known = {row["part"] for row in stored}
    return [*stored, *({"part": part} for part in (live or {}).get("failing", {}) if part not in known)]


def overview_of(points: Points, tolerated: float) -> Whole | None:
    """Look at the store; None while there is no window, no incident and no report of events.

    Args:
        points: the store.
        tolerated: share of events that may be dropped.
    """
    windows, heads, reports = (
        points.last_windows(),
        threads.by_cause(points.heads()),
        points.newest("counters", arriving.REPORTS_MAX),
    )
    if not windows and not heads and not reports:
        return None
    open_heads = threads.worst_first(head for head in heads if threads.is_open(head))
    slices = _slices(windows, open_heads, threads.accepted(heads))
    states = Counter(row["state"] for row in slices)
    activations = points.newest("activations", _ACTIVATIONS_MAX)
    partitions = arriving.partitions(reversed(reports), tolerated)
    features, time_ms = _features(points), max(row["time_ms"] for row in windows or heads or reports)
    page = {
        "stream": points.stream,
        "time_ms": time_ms,
        **_told(points, heads, open_heads, time_ms),
        "states": states,
        "tones": Counter(row["tone"] for row in slices),
        "slicings": len({row["slicing"] for row in slices}),
        "counters": counters(points),
        "arrivals": threads.worst(row["tone"] for row in partitions),
        "retrains": points.count("retrains"),
        "swaps": shapes.swap_count(activations),
        "service": activations[-1]["model_id"] if activations else "",
        "features": features,
        "health": failing(points),
        "left_out": points.left_out,
    }
    signs = [*verdict.of_slices(slices), *verdict.of_features(features["entries"]), *verdict.of_arrivals(partitions)]
    past = [head for head in heads if not threads.is_open(head)][::-1]
    lines = [threads.line(head) for head in [*open_heads, *past]]
    return Whole(page, _headline(heads, open_heads, states), signs, slices, lines, len(windows))


def _told(points: Points, heads: list[Row], open_heads: list[Row], time_ms: int) -> Row:
    """What people are told, and what they answered."""
    actions = points.newest("actions", picture.ACTIONS_MAX)
    return {
        "open": [threads.card(head) for head in open_heads[:OPEN_MAX]],
        "open_count": len(open_heads),
        "past_count": len(heads) - len(open_heads),
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


def _slices(windows: list[Row], open_heads: list[Row], accepted: set[tuple[str, str, str]]) -> list[Row]:
    """Every slice with its rate in the longest span, what is off in any span, and what open incidents say of it."""
    of_slice, found = threads.by_slice(open_heads), rates.sides(windows, rates.error_of(len(windows)))
    places: dict[threads.Slice, list[int]] = {}
    for at, row in enumerate(windows):
        places.setdefault((row["slicing"], row["slice"]), []).append(at)
    lengths = {span: shapes.span_ms(span) for span in {row["span"] for row in windows}}
    is_off, intervals, made = (found != rates.AS_PROMISED).any(axis=1), rates.intervals(windows), list[Row]()
    for key, rows in places.items():
        longest = max(rows, key=lambda at: lengths[windows[at]["span"]])
        bad = [at for at in rows if is_off[at]]
        off = rates.off([windows[at] for at in bad], found[bad]) if bad else []
        known = (*key, windows[longest]["model_id"]) in accepted
        made.append(_slice(windows[longest], intervals[longest], of_slice.get(key, []), off, known))
    return sorted(made, key=shapes.worst_first)


def _slice(row: Row, interval: list[float] | None, heads: list[Row], off: list[Row], known: bool) -> Row:
    state = threads.worst(map(threads.severity, heads))
    rate = threads.hushed(threads.worst(one["tone"] for one in off), "silenced" if known else state)
    return {
        "slicing": row["slicing"],
        "slice": row["slice"],
        "folded": listing.folded(row["slice"]),
        "span": row["span"],
        "incidents": [threads.span(head) for head in heads],
        "state": state,
        "rate_tone": rate,
        "tone": threads.worst((state, rate)),
        "off": off[:2],
        "share": shapes.share(row, "p_le_01"),
        "interval": interval,
        "scored": row.get("scored", 0),
        "shifts": [row.get(name) for name in SHIFTS],
    }


def counters(points: Points) -> dict[str, int]:
    """Totals of all source partitions, by name."""
    total: Counter[str] = Counter()
    for row in points.lasts("counters"):
        total.update({name: row[name] for name in counted(row)})
    return dict(total)


def _features(points: Points) -> Row:
    """PIT histograms of all slices together over the newest days of the newest model; what moved most comes first."""
    rows = shapes.newest_days(points.newest("pit", _PIT_MAX)[::-1], FEATURE_DAYS)
    counts: dict[str, Ints] = {}
    for row in rows:
        counts[row["feature"]] = counts.get(row["feature"], 0) + bins_of(row)
    moved = distance(np.stack([shapes.without_gaps(bins) for bins in counts.values()])).tolist() if counts else []
    entries = [
        {"feature": feature, "moved": off, "counts": bins.tolist(), "tone": _tone(off, bins)}
        for (feature, bins), off in zip(counts.items(), moved, strict=True)
    ]
    return {
        "entries": sorted(entries, key=lambda entry: (-entry["moved"], entry["feature"])),
        "from_ms": min(((row["time_ms"] - 1) // DAY_MS * DAY_MS for row in rows), default=0),
    }


def bins_of(row: Row) -> Ints:
    """The histogram ``(20,)`` of a row of ``pit``."""
    return np.array([row[f"h{b:02d}"] for b in range(PIT_BINS)], dtype=np.int64)


def _tone(moved: float, bins: Ints) -> str:
    """``info`` where values fall elsewhere; where most of them are equal nothing can be said."""
    total = int(bins.sum())
    tied = bool(total) and bool((bins[1:-1] > _TIED * total).any())
    return "info" if round(moved, 2) >= FAR and not tied else "ok"
