"""What is wrong with a sample's data, or limits what can be found in them: a sentence each, with what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from flowlib.table import Ints
from stream_app.config import TrainerConfig
from stream_app.event_files.amounts import amount
from stream_app.setup import pacing, remedies
from stream_app.setup.columns import Column
from stream_app.setup.lifetimes import KNOWN, SHARES, ends_of, lives_of
from stream_app.setup.pacing import Pace
from stream_app.setup.roles import Roles
from stream_app.setup.sampling import Sample
from stream_app.setup.times import NONE, TimeColumn, is_clock, sortedness

_ORDERED = 0.02
_NAMED = 12
_FEW = TrainerConfig().min_rows


def of_order(pace: Pace, time: TimeColumn, sample: Sample, where: str) -> list[str]:
    """Where rows would be late for good: a file of one series after the other, say."""
    pane = pacing.pane_of(pace, live=False)
    if pace.late_ms <= 32 * pane and (pace.backwards < _ORDERED or sortedness(time.times_ms) > 1 - _ORDERED):
        behind = np.maximum.accumulate(time.times_ms) - time.times_ms
        if not len(behind) or float(np.mean(behind > 32 * pane)) < _ORDERED:
            return []
    how = remedies.sorting(time.name, time.format, sample, where)
    return [f"the rows are not in order of time: driftflow score brings them into it; before driftflow produce, {how}"]


def of_lives(time: TimeColumn, codes: Ints, slicing: str) -> list[str]:
    """Where the series live at other times than each other, so that a first model knows few of them."""
    found = [lives_of(time.times_ms, codes, end) for end in ends_of(time.times_ms)]
    if found[0].share >= KNOWN:
        return []
    begun = ", ".join(f"{one.begun:,} in the first {share:.0%}" for share, one in zip(SHARES, found, strict=True))
    return [
        f"the {found[0].series:,} values of {slicing} begin at times of their own ({begun}): a model knows those that "
        "it was trained on, and judges the others by what all have in common; driftflow score trains on as much of the "
        "time as it takes to know most; where they are different things, a file and a configuration for each do better"
    ]


def of_always(roles: Roles, columns: Mapping[str, Column]) -> list[str]:
    """About columns of a topic that have had one value so far: what comes later may have others."""
    if not roles.always:
        return []
    told = ", ".join(f"{name} ({next(iter(columns[name].counts))[:40]})" for name in roles.always[:_NAMED])
    more = f" and {len(roles.always) - _NAMED:,} more" if len(roles.always) > _NAMED else ""
    return [
        f"always the same in the events looked at: {told}{more}; they are left out, since a model learns nothing of "
        "them: where they may change, add them to event.numeric or event.categorical before the first training, and "
        "what is new is told"
    ]


def of_columns(roles: Roles, columns: Mapping[str, Column], twice: Sequence[str]) -> list[str]:
    """About names and numbers of columns."""
    notes = [
        f"the name {name[:60]!r} is there more than once: its columns are left out; give each a name of its own"
        for name in twice
    ]
    shown = {name: such for name in roles.numeric if (such := _amount_of(columns[name]))}
    if shown:
        told = ", ".join(f"{name} ({such!r} is {amount(such)})" for name, such in list(shown.items())[:4])
        notes.append(f"numbers are written for people in {told}: of files they are read so, from a topic they are not")
    if roles.as_text:
        notes.append(f"numbers come as text in {remedies.names_of(roles.as_text)}: they are read so (event.policy)")
    if roles.partly_text:
        notes.append(
            f"some numbers come as text in {remedies.names_of(roles.partly_text)}: they are read, and told as an "
            "incident of events that were read leniently; let the producer send numbers"
        )
    if roles.ambiguous:
        notes.append(
            f"{remedies.names_of(roles.ambiguous)} hold numbers such as 1,234, which may be a thousand or have a "
            "decimal comma: their events are rejected; write them with a point"
        )
    return notes


def _amount_of(column: Column) -> str:
    """A value that is a number in a table alone, the longest of the first; "" where there is none."""
    if not column.amounts:
        return ""
    return max(list(column.counts)[:200], key=lambda text: (bool(set(text) & set("$€£¥₹%' ")), len(text)))


def of_rows(columns: Mapping[str, Column], sample: Sample, time: TimeColumn, where: str) -> list[str]:
    """About rows that come to nothing, and times that say too little."""
    notes, bad = list[str](), int(np.count_nonzero(time.times_ms == NONE))
    if bad:
        n = len(time.times_ms)
        notes.append(f"{bad:,} of {n:,} rows looked at have no {time.name} that can be read: they will be rejected")
    if sample.whole and sample.seen < _FEW:
        notes.append(f"{sample.seen:,} rows are few: a first model takes {_FEW:,} (trainer.min_rows)")
    if sample.unreadable:
        notes.append(f"{sample.unreadable:,} lines cannot be read: they will be counted and left out")
    hours = [name for name, column in columns.items() if column.words & {"hour", "hr", "h", "hh"} or is_clock(column)]
    if not time.has_clock and hours:
        clock = next((name for name in hours if is_clock(columns[name])), hours[0])
        how = remedies.joining_clock(time.name, clock, sample, where)
        notes.append(f"{time.name} has the day only, and the hour stands in {clock}: {how}")
    return notes
