"""How far a week's findings can be trusted, in plain words: is what should be rare as rare as it should be, and how
much of what came was looked at at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from flowlib.intervals import wilson
from schemas.evidence import ALARM
from stream_app.reporting.parts import Bar, Bars, Block, Bullets, Text
from stream_app.reporting.weekly.counts import LOST, Counted, Share, share_of
from stream_app.reporting.weekly.gathering import Gathered, Row
from stream_app.reporting.weekly.words import join, many, percent, said

_DAYS_MIN, _EVENTS_MIN = 3, 1_000
"""Days with calm events, and calm events, below which nothing is said: ten of a thousand are called strange."""
_HIGH_MAX = 5 * ALARM
"""End of the interval beyond which one says that nothing can be said: a day or two were far from the others."""

_FAILURES_MAX = 8
_LOST = {"late": "came too late", "rejected": "could not be read", "duplicate": "had been counted before"}


def judged(counts: Counted, before: Counted | None = None) -> str:
    """``as meant``, ``more``, ``fewer``; ``unsteady`` where days differ too much, ``unknown`` where too few count; and
    ``calmer`` where there are fewer in a week that is as meant together with the one before.

    A p-value is a promise about weeks like those that calibrated the model. Weeks differ more than their days do: in
    the example's year the share goes from 0.2 to 5 % with the weather, and is 1 to 2 % in all.
    """
    share = share_of(counts.calm_strange, counts.calm)
    if share.days < _DAYS_MIN or int(counts.calm.sum()) < _EVENTS_MIN:
        return "unknown"
    if share.low <= ALARM <= share.high:
        return "as meant" if share.high <= _HIGH_MAX else "unsteady"
    if share.value > ALARM:
        return "more"
    both = share if before is None else _both(counts, before)
    if both.high < ALARM:
        return "fewer"
    return "calmer" if both.low <= ALARM and both.high <= _HIGH_MAX else "unsteady"


def _both(counts: Counted, before: Counted) -> Share:
    """The share of calm events of two weeks."""
    strange = np.concatenate([counts.calm_strange, before.calm_strange])
    return share_of(strange, np.concatenate([counts.calm, before.calm]))


def verdict(counts: Counted, before: Counted | None) -> str:
    """In one sentence."""
    return {
        "as meant": "The findings can be trusted: where all was calm, as few events were called strange as should be.",
        "more": "Take single strange events with care: where all was calm, more of them were called strange than "
        "should be.",
        "fewer": "Small changes may have been missed: where all was calm, fewer events were called strange than "
        "should be.",
        "calmer": "The findings can be trusted: this week was calmer than the one before, and in both together as few "
        "events were called strange as should be.",
        "unsteady": "How far to trust it cannot be said: on some days far more events than on others were called "
        "strange, though all seemed calm.",
        "unknown": "How far to trust it cannot be said: too few of the week's events lay outside of unusual times.",
    }[judged(counts, before)]


def trust(found: Gathered) -> Iterator[Block]:
    """The part of the page."""
    counts = found.counts
    share = share_of(counts.calm_strange, counts.calm)
    yield Text(_calibration(counts, share, found.counts_before))
    bars = list(_days(found))
    if bars:
        yield Text("Day by day, with how far chance may have moved each; the dashes are what is meant.")
        yield Bars(bars, ALARM)
    yield Text(_looked_at(counts))
    lost = _lost(counts)
    if lost:
        yield Text(lost)
    if found.failures:
        yield Text("driftflow itself had trouble:")
        yield Bullets(_failures(found.failures))
    if counts.left_out:
        yield Text(f"{many(counts.left_out, 'row')} of the store could not be read, and count nowhere here.", True)


def _calibration(counts: Counted, share: Share, before: Counted | None) -> str:
    calm, said = int(counts.calm.sum()), judged(counts, before)
    if said == "unknown":
        everything = percent(share_of(counts.strange, counts.scored).value)
        return (
            "Of ordinary events one in a hundred is called strange when all is well. Of all events of this week it was "
            f"{everything}, unusual times among them; outside of those lay {many(calm, 'event')} on "
            f"{many(share.days, 'day')}, too little to tell."
        )
    meaning = {
        "as meant": "1 % is among them: this is as it should be.",
        "unsteady": "1 % is among them, and far more too: look at the days below.",
        "more": "1 % is less than that: the model calls ordinary events strange too often.",
        "fewer": "1 % is more than that: either the week was calmer than those that the model was calibrated on, or it "
        "is too easy to please, and may overlook small changes.",
        "calmer": f"1 % is more than that, but the week before had "
        f"{percent(share_of(before.calm_strange, before.calm).value if before else 0.0)}: weeks differ, this one was "
        "calmer than those that the model was calibrated on.",
    }[said]
    return (
        "Of ordinary events one in a hundred is called strange when all is well. This week it was "
        f"{percent(share.value)} of the {calm:,} events outside of unusual times. A week is short: any share from "
        f"{percent(share.low)} to {percent(share.high)} would agree with what was seen. {meaning}"
    )


def _days(found: Gathered) -> Iterator[Bar]:
    counts = found.counts
    low, high = wilson(counts.calm_strange, counts.calm)
    for i, name in enumerate(found.week.names()):
        n = int(counts.calm[i])
        if n:
            value = int(counts.calm_strange[i]) / n
            yield Bar(name, value, float(low[i]), float(high[i]), is_high=float(low[i]) > ALARM)


def _looked_at(counts: Counted) -> str:
    seen, scored = int(counts.seen.sum()), int(counts.scored.sum())
    if not seen:
        return "No event was counted."
    unseen = (seen - scored) / seen
    told = f"{percent(scored / seen)} of the events were looked at"
    told += f"; of {percent(unseen)} no model could say anything." if scored < seen else ": none was left out."
    if counts.elsewhere:
        told += f" {percent(counts.elsewhere / seen)} belong to groups too small or too new to be watched one by one."
    return told


def _lost(counts: Counted) -> str:
    received = counts.totals.get("received", 0)
    reasons = [
        f"{percent(counts.totals[name] / received)} {_LOST[name]}" for name in LOST if received and counts.totals[name]
    ]
    return f"Of all that came in, {join(reasons)}: these count nowhere above." if reasons else ""


def _failures(rows: Sequence[Row]) -> list[str]:
    parts = {row.part: row for row in rows}
    lines = [f"{said(part)}: {said(row.says)}" for part, row in list(parts.items())[:_FAILURES_MAX]]
    more = len(parts) - _FAILURES_MAX
    return [*lines, *([f"{more:,} more"] if more > 0 else [])]
