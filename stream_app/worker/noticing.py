"""What only a running worker knows of the partitions that it has: lag that does not shrink, silence by the clock, and
transactions that stay open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from stream_app.kafka.types import TopicPartition
from stream_app.worker.progress import STALL_S, Progress

TRANSACTION_S = 60.0
"""How long the last stable offset may stand still below what is written."""
LAG_S = STALL_S / 2
"""How long a partition with lag may stand still; after ``STALL_S`` the worker ends."""
GROWTH_S, GROWTH_STEPS, GROWTH_MIN = 60.0, 5, 1_000
"""Lag grows where it was larger at each of so many looks, that far apart, and is so many records now."""
SILENCE_S, SILENCE_TIMES = 900.0, 3.0
"""Silence is said after so long, or after so many times the longest silence that has ended by itself."""


@dataclass(slots=True)
class _Seen:
    """One partition: offsets, and the monotonic times at which they last moved."""

    settled: int
    end: int
    written: int
    settled_s: float
    written_s: float
    held_s: float
    longest_s: float = 0.0
    lags: list[int] = field(default_factory=list)
    looked_s: float = 0.0


class Noticing:
    """Looks at the partitions of one worker, again and again.

    Args:
        events: the events topic: silence is of its partitions alone.
    """

    def __init__(self, events: str) -> None:
        self._events = events
        self._seen: dict[TopicPartition, _Seen] = {}

    def look(self, progress: Progress, written: Mapping[TopicPartition, int | None], now_s: float) -> dict[str, str]:
        """What is wrong now, each with a sentence, by a name that stays the same for as long as it does.

        Args:
            progress: of each partition that the worker has.
            written: high watermark of each.
            now_s: a monotonic time.
        """
        self._seen = {tp: seen for tp, seen in self._seen.items() if tp in progress}
        for tp, (settled, end) in progress.items():
            high = written.get(tp)
            if end is not None and high is not None:
                self._note(tp, settled or 0, end, high, now_s)
        wrong = [found for tp, seen in sorted(self._seen.items()) for found in _wrong(tp, seen, now_s)]
        return dict([*wrong, *self._silent(now_s)])

    def _note(self, tp: TopicPartition, settled: int, end: int, written: int, now_s: float) -> None:
        seen = self._seen.setdefault(tp, _Seen(settled, end, written, now_s, now_s, now_s, looked_s=now_s))
        if settled != seen.settled or settled >= end:
            seen.settled_s = now_s
        if written != seen.written:
            seen.longest_s, seen.written_s = max(seen.longest_s, now_s - seen.written_s), now_s
        if end != seen.end or end >= written:
            seen.held_s = now_s
        seen.settled, seen.end, seen.written = settled, end, written
        if now_s - seen.looked_s >= GROWTH_S:
            seen.looked_s, seen.lags = now_s, [*seen.lags, max(end - settled, 0)][-GROWTH_STEPS - 1 :]

    def _silent(self, now_s: float) -> Iterator[tuple[str, str]]:
        """Partitions of the events topic that have had records and get none any more; the topic where it is all."""
        busy = {tp: seen for tp, seen in self._seen.items() if tp.topic == self._events and seen.written > 0}
        silent = {tp: seen for tp, seen in busy.items() if now_s - seen.written_s > _patience_s(seen)}
        if silent and len(silent) == len(busy):
            since_s = now_s - max(seen.written_s for seen in silent.values())
            yield f"silence {self._events}", f"nothing is written to {self._events} for {since_s / 60:.0f} minutes"
            return
        for tp, seen in sorted(silent.items()):
            place, minutes = f"{tp.topic}/{tp.partition}", (now_s - seen.written_s) / 60
            yield f"silence {place}", f"nothing is written to {place} for {minutes:.0f} minutes, and to others there is"


def _patience_s(seen: _Seen) -> float:
    return max(SILENCE_S, SILENCE_TIMES * seen.longest_s)


def _wrong(tp: TopicPartition, seen: _Seen, now_s: float) -> Iterator[tuple[str, str]]:
    place, lag = f"{tp.topic}/{tp.partition}", seen.end - seen.settled
    if now_s - seen.held_s > TRANSACTION_S:
        yield (
            f"transaction {place}",
            f"a transaction that began at offset {seen.end:,} of {place} is open for {now_s - seen.held_s:.0f} s: the "
            f"{seen.written - seen.end:,} offsets from there on wait for its end; look at its producer",
        )
    if now_s - seen.settled_s > LAG_S:
        yield (
            f"lag {place}",
            f"{lag:,} offsets of {place} wait, and none was done with for {now_s - seen.settled_s:.0f} s; after "
            f"{STALL_S:.0f} s the worker ends, to be started again",
        )
    lags = seen.lags
    growing = len(lags) > GROWTH_STEPS and all(before < after for before, after in pairwise(lags))
    if growing and lags[-1] >= GROWTH_MIN:
        yield (
            f"growing lag {place}",
            f"{lag:,} offsets of {place} wait, {lags[-1] - lags[0]:,} more than {GROWTH_STEPS * GROWTH_S / 60:.0f} "
            "minutes ago: events come faster than they are scored; start another worker",
        )
