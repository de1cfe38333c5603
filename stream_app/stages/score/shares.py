"""Evidence that a share has grown beyond what is tolerated, over consecutive rows, whatever the size of the batches.

For each of a few odds the likelihood ratio of a row is an e-value while the share is the tolerated one or less
(:mod:`stream_app.stages.detection.detectors.counting`). ``M ← max(1, M)·e`` keeps the product since the moment that is
best for it. It is never above the Shiryaev-Roberts sum over all such moments, so an alarm where the mean of M over the
odds reaches ``A`` comes after A rows or more on average while nothing is wrong (Shin, Ramdas & Rinaldo, arXiv
2203.03532, theorem 2.4). And its logarithm is a sum and a minimum, which whole numbers give exactly: cuts into
batches cannot matter.

An incident ends by evidence as well: the odds that spoke for it most have lost ``log(OPEN / RESOLVE)`` since. Where
smaller odds have gained meanwhile the share has become smaller and is still too large: they speak for it from then on.
A share of little more than twice the tolerated one may still be taken to be over by chance, and is told again.
One that comes back soon takes twice as much to be over, so that outages in bursts are not told one by one.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from flowlib.table import Bools, Ints

ODDS = (1.5, 2.0, 4.0)
OPEN, RESOLVE = 20_000.0, 2.0
"""As of rules: rows between false alarms, and what evidence has to fall to."""

RUNS = 2.0
"""Variance ratio that is allowed for: bad rows come in runs. So 17 of them in a row open an incident."""

SAID_AGAIN = 10
"""An open incident is said again where it has so many times the bad rows that it had."""

AGAIN_ROWS, PATIENCE_MAX = 20_000, 64
_STEP = 2**20
"""Of the logarithm, to a nat."""

_GAIN = 2 * _STEP


class Bets:
    """The steps of the logarithm of each odds, rounded down: what is lost by that is safe."""

    def __init__(self, tolerated: float) -> None:
        odds = np.array(ODDS)
        miss = np.log1p(tolerated * (odds - 1.0)) / RUNS
        self.down: Ints = np.ceil(miss * _STEP).astype(np.int64)
        self.up: Ints = np.floor((np.log(odds) / RUNS - miss) * _STEP).astype(np.int64)
        self.open = math.ceil(math.log(OPEN * len(ODDS)) * _STEP)
        self.fall = math.ceil(math.log(OPEN / RESOLVE) * _STEP)

    def steps(self, hit: Bools) -> Ints:
        """``(n, b)`` of rows."""
        return np.where(hit[:, None], self.up, -self.down)


@dataclass(frozen=True, slots=True)
class Change:
    """What a row brings about.

    Attributes:
        row: its place in the batch.
        state: ``open``, ``update`` or ``resolve``.
        opened: offset of the row that opened the incident.
        since, until: offsets of the first and the last bad row of it.
        hits, rows: bad rows from there to there, and rows in all.
        statistic: evidence, in rows between false alarms.
        before: rows before its first bad one; of no two incidents the same, whatever becomes of offsets.
    """

    row: int
    state: str
    opened: int
    since: int
    until: int
    hits: int
    rows: int
    statistic: float
    before: int


@dataclass(slots=True)
class Open:
    """An incident.

    Attributes:
        offset: of the row that opened it.
        since: offset of its first bad row; rows and bad rows before that one.
        said: bad rows at the last message.
        bet: the odds that speak for it most.
        top: the level that these reached.
        base: level of every odds then.
    """

    offset: int
    since: list[int]
    said: int
    bet: int
    top: int
    base: list[int]


@dataclass(slots=True)
class Share:
    """The evidence on one kind of bad rows.

    Attributes:
        level: of each odds, steps; 0 at least while no incident is open.
        since: of each odds, where its level has been above 0 since: as in :class:`Open`; −1 where it is 0.
        rows, hits: so far.
        last: offset of the last bad row, and its number among all rows.
        open: the incident that is open.
        patience: how many times the usual evidence ends the next one.
        over: rows when the last one ended; −1 before.
    """

    NONE: ClassVar[list[int]] = [-1, 0, 0]

    level: list[int] = field(default_factory=lambda: [0] * len(ODDS))
    since: list[list[int]] = field(default_factory=lambda: [list(Share.NONE) for _ in ODDS])
    rows: int = 0
    hits: int = 0
    last: list[int] = field(default_factory=lambda: [-1, 0])
    open: Open | None = None
    patience: int = 1
    over: int = -1

    def take(self, bets: Bets, hit: Bools, offsets: Ints, forced: Bools | None = None) -> list[Change]:
        """Take rows in, in their order.

        Args:
            bets: the steps.
            hit: ``(n,)`` bad rows.
            offsets: ``(n,)``.
            forced: ``(n,)`` bad rows that open an incident whatever the evidence; None for none.
        """
        changes: list[Change] = []
        if self.open is not None or any(self.level) or hit.any():
            batch = _Rows(bets.steps(hit), np.cumsum(hit), hit, offsets, forced)
            at = 0
            while at < len(hit):
                part = batch.part(at)
                stop, change = self._go_on(bets, part) if self.open else self._wait(bets, part)
                self._count(part, stop)
                if change:
                    changes.append(self._say(bets, part, stop, at, change))
                at += stop + 1
        else:
            self.rows += len(hit)
        return changes

    def _wait(self, bets: Bets, part: _Rows) -> tuple[int, str]:
        """Up to the row that opens an incident, or the last one: its place, and what it brings about."""
        total = np.cumsum(part.steps, axis=0)
        level = total + np.maximum(np.array(self.level), -np.minimum.accumulate(total, axis=0))
        opens = (level >= bets.open).any(axis=1)
        if part.forced is not None:
            opens |= part.forced
        stop = int(np.argmax(opens)) if opens.any() else len(level) - 1
        self._move_starts(part, level[: stop + 1])
        self.level = level[stop].tolist()
        return stop, "open" if opens[stop] else ""

    def _move_starts(self, part: _Rows, level: Ints) -> None:
        for b in range(len(ODDS)):
            zeros = np.flatnonzero(level[:, b] == 0)
            if not len(zeros) and self.since[b][0] >= 0:
                continue
            first = int(zeros[-1]) + 1 if len(zeros) else 0  # a level rises from 0 at a bad row only
            self.since[b] = part.start(self, first) if first < len(level) else list(Share.NONE)

    def _go_on(self, bets: Bets, part: _Rows) -> tuple[int, str]:
        """Up to the row that ends the incident, or has it said again, or the last one."""
        incident, n = self.open, len(part.steps)
        assert incident is not None
        level = np.array(self.level) + np.cumsum(part.steps, axis=0)
        tops = np.maximum.accumulate(np.maximum(level.max(axis=1), incident.top))
        peak = np.maximum.accumulate(np.where(level.max(axis=1) >= tops, np.arange(n), -1))
        bet = np.where(peak >= 0, level[peak].argmax(axis=1), incident.bet)
        over = tops - np.take_along_axis(level, bet[:, None], axis=1)[:, 0] >= bets.fall * self.patience
        again = part.counts - part.before + self.hits - incident.since[2] >= SAID_AGAIN * incident.said
        ends, says = (int(np.argmax(rows)) if rows.any() else n for rows in (over, again & part.hit))
        stop = min(ends, says, n - 1)
        if peak[stop] >= 0:
            incident.base = level[peak[stop]].tolist()
            incident.top, incident.bet = int(tops[stop]), int(bet[stop])
        self.level = level[stop].tolist()
        if ends == stop:
            return stop, "" if self._becomes_smaller(incident) else "resolve"
        return stop, "update" if says == stop else ""

    def _becomes_smaller(self, incident: Open) -> bool:
        """Whether other odds have gained while those that spoke for an incident fell; they then speak for it."""
        gains = [now - then for now, then in zip(self.level, incident.base, strict=True)]
        other = gains.index(max(gains))
        if gains[other] < _GAIN:
            return False
        self.level = [min(level, self.level[other]) for level in self.level]
        incident.bet, incident.top, incident.base = other, self.level[other], list(self.level)
        return True

    def _count(self, part: _Rows, stop: int) -> None:
        """The rows of a part up to one are done with."""
        found = np.flatnonzero(part.hit[: stop + 1])
        if len(found):
            self.last = [int(part.offsets[found[-1]]), self.rows + int(found[-1]) + 1]
        self.rows += stop + 1
        self.hits += len(found)

    def _say(self, bets: Bets, part: _Rows, stop: int, at: int, state: str) -> Change:
        offset = int(part.offsets[stop])
        if state == "open":
            bet = self.level.index(max(self.level))
            soon = self.over >= 0 and self.rows - self.over < AGAIN_ROWS * self.patience
            self.patience = min(2 * self.patience, PATIENCE_MAX) if soon else 1
            self.open = Open(offset, self.since[bet], 0, bet, self.level[bet], list(self.level))
        incident = self.open
        assert incident is not None
        incident.said = self.hits - incident.since[2]
        since, before, _ = incident.since
        evidence = math.exp(min(max(max(self.level) / _STEP, 0.0), 60.0)) / len(ODDS)
        rows = self.last[1] - before
        change = Change(at + stop, state, incident.offset, since, self.last[0], incident.said, rows, evidence, before)
        if state == "resolve":
            self.open, self.over = None, self.rows
            self.level, self.since = [0] * len(ODDS), [list(Share.NONE) for _ in ODDS]
        return change

    def to_state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Share:
        """Inverse of :meth:`to_state`."""
        return cls(**{**state, "open": state["open"] and Open(**state["open"])})


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of a batch from one on; ``counts`` are those of its bad rows from the batch's first row on."""

    steps: Ints
    counts: Ints
    hit: Bools
    offsets: Ints
    forced: Bools | None
    before: int = 0

    def part(self, at: int) -> _Rows:
        """From a row on."""
        forced = None if self.forced is None else self.forced[at:]
        before = int(self.counts[at - 1]) if at else 0
        return _Rows(self.steps[at:], self.counts[at:], self.hit[at:], self.offsets[at:], forced, before)

    def start(self, share: Share, first: int) -> list[int]:
        """A bad row as the first one of something: its offset, and the rows and bad rows before it."""
        return [int(self.offsets[first]), share.rows + first, share.hits + int(self.counts[first]) - 1 - self.before]
