"""What can be wrong with a request before a row is read: each fault is a sentence that says which range, and what is
there instead. No Kafka here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from flowlib.table import DAY_MS
from schemas.records import OffsetRange, RetrainRequest
from stream_app.config import Config
from stream_app.terminal import utc

RANGES_MAX = 10_000
"""More ranges than this are no request: no topic has so many partitions."""

AHEAD_MAX_MS = DAY_MS
"""A request may be dated so much after the newest event at the ends of its ranges."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the broker holds of a partition: offsets ``[first, end)``."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Seen:
    """The events topic as it is now.

    Attributes:
        sources: how many partitions it has.
        held: by partition, of those that are asked for and exist.
        newest_ms: newest event time at the ends of the ranges; None where no event can be read there.
    """

    sources: int
    held: Mapping[int, Held]
    newest_ms: int | None


def fault_of(config: Config, request: RetrainRequest) -> str:
    """What is wrong with a request by itself, or ""."""
    ranges = request.train
    if len(ranges) > RANGES_MAX:
        return f"it names {len(ranges):,} ranges, and no more than {RANGES_MAX:,} are read"
    often = [number for number, times in Counter(part.partition for part in ranges).items() if times > 1]
    if often:
        return f"it names partition {min(often)} more than once"
    for part in ranges:
        if fault := _range_fault(config, part):
            return f"{_named(part)}: {fault}"
    if all(part.start == part.end for part in ranges):
        return "every range that it names is empty"
    first_ms, last_ms = min(part.start_ms for part in ranges), max(part.end_ms for part in ranges)
    if not first_ms <= request.calibrate_from_ms <= last_ms:
        when, asked = utc(request.calibrate_from_ms), f"{utc(first_ms)} to {utc(last_ms)}"
        return f"calibrate_from_ms ({when}) lies outside of the times that are asked for ({asked})"
    return ""


def stale(request: RetrainRequest, writer: str, newest_ms: int) -> str:
    """Why a request is none of its writer's next ones, where it is not later than the last one that was taken."""
    return f"it is stale: dated {utc(request.requested_pane_ms)}, and {writer} has asked at {utc(newest_ms)} already"


def _range_fault(config: Config, part: OffsetRange) -> str:
    if part.topic != config.topics.events:
        return f"only {config.topics.events} is read for this stream"
    if part.start > part.end:
        return "it starts after its end"
    if part.start_ms > part.end_ms:
        return f"its times start ({utc(part.start_ms)}) after their end ({utc(part.end_ms)})"
    return ""


def fault_in_log(request: RetrainRequest, seen: Seen) -> str:
    """What the log has not of what a request names, or ""; what retention has deleted in part is no fault."""
    for part in request.train:
        held = seen.held.get(part.partition)
        if held is None:
            return f"{_named(part)}: there is no such partition, the topic has {seen.sources} (from 0 on)"
        if part.end > held.end:
            return f"{_named(part)}: the log ends at offset {held.end:,}"
    if not any(part.end > max(part.start, seen.held[part.partition].first) for part in request.train):
        part = next(part for part in request.train if part.end > part.start)
        first = seen.held[part.partition].first
        return f"{_named(part)}: deleted by retention, as is all else that it names: the log starts at offset {first:,}"
    return ""


def fault_of_date(request: RetrainRequest, seen: Seen) -> str:
    """Why the date of a request cannot be right, or ""."""
    if seen.newest_ms is None:
        return "no event can be read at the ends of its ranges, so nothing says whether its date is right"
    if request.requested_pane_ms > seen.newest_ms + AHEAD_MAX_MS:
        newest, dated = utc(seen.newest_ms), utc(request.requested_pane_ms)
        return f"it is dated {dated}, and the newest event at the ends of its ranges {newest}"
    return ""


def shortfall(request: RetrainRequest, seen: Seen) -> str:
    """How much of what a request names retention has deleted, or ""."""
    asked = sum(part.end - part.start for part in request.train)
    gone = sum(
        max(min(seen.held[part.partition].first, part.end) - part.start, 0)
        for part in request.train
        if part.end > part.start
    )
    return (
        f"{gone:,} of the {asked:,} offsets asked for were deleted by retention before they were read" if gone else ""
    )


def _named(part: OffsetRange) -> str:
    return f"range {part.topic[:200]}/{part.partition} from {part.start:,} to {part.end:,}"
