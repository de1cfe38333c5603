"""The evidence of one rule on the slices of one slicing: Shiryaev-Roberts sums of e-values, mixed.

For each slice, channel and bet ``R ← (1 + R)·e``, so that R sums the evidence of every moment at which a change may
have begun. The statistic of a slice is the mean of R over bets, channels and detectors, by their weights. While nothing
changes its expectation grows by 1 a pane at most, so an alarm at A comes after A panes or more on average (Shin, Ramdas
& Rinaldo, arXiv 2203.03532, theorem 2.4; for what a reference of finite size leaves unknown see arXiv 2602.13848).

Kept is ``log(1 + R)`` in steps of 1/128 nat, rounded down, which keeps the promise: two bytes a bet, without a cap that
anything reaches.

What a change was found by is :mod:`~stream_app.stages.detection.causes`, how it ends
:mod:`~stream_app.stages.detection.peaks`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from flowlib.reference.reference import Reference
from flowlib.table import Bools, Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config, RuleConfig
from stream_app.stages.detection import tables
from stream_app.stages.detection.causes import Channels, Found
from stream_app.stages.detection.detectors import DETECTORS, Detector, Evidence, GroupSums, Part, group_evidence
from stream_app.stages.detection.peaks import HIGH, STEPS, Peaks
from stream_app.stages.detection.settlements import Settled, Settlements
from stream_app.stages.detection.tables import Given, Steps, Table, Walked

_TOGETHER = 1 << 16
"""Bets of slices that are worked out at a time: more would not stay in the cache."""
_FOLLOWED = 128
"""Panes that are taken in together at most while slices are followed: where one of these ends they are gone through
again."""
_CALM = math.floor(math.log1p(20.0) * STEPS)
"""Steps up to which a bet says nothing."""
_REST = math.floor(math.log1p(1_000.0) * STEPS)
"""The same of one that rests: where an ordinary pane costs it l nats, R stays near 1 / l, above the other for ever."""


class Mixture:
    """State of one rule over the slices of one slicing, by number.

    Args:
        config: the stream.
        rule: the rule, whose detectors all make evidence.
        layout: columns of pane rows.
        floor: evidence from which on a slice is spoken of.

    Attributes:
        detectors: the simplest explanation first.
        groups: whether it has a word for the sums over many slices.
        everywhere: whether it looks at slices without events too.
    """

    def __init__(self, config: Config, rule: RuleConfig, layout: PaneLayout, floor: float) -> None:
        self._floor, self._resolve, self._pane_ms = floor, rule.resolve, int(config.windows.pane)
        made = [DETECTORS[name](config, layout) for name in DETECTORS if name in rule.detectors]
        self.detectors: list[Detector] = [detector for detector in made if detector.channels]
        self._is_drift = all(detector.kind == "drift" for detector in self.detectors)
        self.groups = any(detector.groups for detector in self.detectors)
        self.everywhere = any(detector.everywhere for detector in self.detectors)
        total = sum(detector.weight for detector in self.detectors) or 1.0
        # Those that look at a pane's own slices first, so that each kind is one run of columns.
        ordered = sorted(self.detectors, key=lambda detector: detector.everywhere)
        self._of_run = ([d for d in ordered if not d.everywhere], [d for d in ordered if d.everywhere])
        widths = [d.channels * d.bets for d in ordered]
        weights = [d.weight / total / width for d, width in zip(ordered, widths, strict=True)]
        self._weights = np.repeat(np.array(weights, dtype=np.float64), widths)
        own = sum(d.channels * d.bets for d in self._of_run[0])
        self._runs = (slice(0, own), slice(own, len(self._weights)))
        # All known slices are looked at where there are detectors that look everywhere.
        self._last_run = int(own < len(self._weights))
        self._channels = Channels(ordered, self.detectors)
        patience = int(config.alerts.join_within) // self._pane_ms
        self._peaks = Peaks(floor, self._weights, self._channels.first, patience)
        # The mixture is no more than its largest R: below this nobody reaches the floor.
        self._least = math.floor(math.log1p(floor) * STEPS) - 1
        self._table = Table.blank(len(self._weights), _CALM, self._least, _REST)
        self._end_ms = 0
        self._hot: list[int] = []
        # The panes that are taken in, and how many of them are.
        self._parts: tuple[Sequence[Part], Sequence[Part]] = ((), ())
        self._pane = 0
        self._sums: dict[int, list[GroupSums | None]] = {}
        self._said = Settlements(self._parts, self._channels, self._pane_ms, 0)
        # What is said in panes that are in already, in which slices are followed, and where these stand in the last.
        self._ready: deque[Found] = deque()
        self._ends: tuple[Floats, Ints] = (np.zeros((0, 0)), np.zeros((0, 0, 0), dtype=np.int64))

    @property
    def _at_once(self) -> int:
        """Panes that are taken in together while slices are followed."""
        return min(max(_TOGETHER // max(len(self._peaks.numbers) * len(self._weights), 1), 1), _FOLLOWED)

    @property
    def slices(self) -> int:
        """Slices there is room for."""
        return len(self._table.steps)

    @property
    def followed(self) -> Ints:
        """Numbers of the slices whose evidence has come to the floor, and is not over."""
        return self._peaks.numbers

    @property
    def speaks(self) -> bool:
        """Whether :meth:`settle` may have anything to say of the pane that was taken in last."""
        return bool(self._hot or len(self._peaks.numbers))

    def update(
        self, parts: Sequence[Part], everywhere: Sequence[Part], slices: int, panes: int | None = None
    ) -> Iterator[bool]:
        """Take panes in, one at each step; False where :meth:`settle` has then nothing to say. In such a pane only that
        and :meth:`group_sums` are to be asked: the panes after it, up to one with something to say, are in already.

        Args:
            parts: the slices of the panes, model by model.
            everywhere: all known slices in each of the panes, those without events too; asked for where a detector
                looks at them.
            slices: how many slices are known.
            panes: how many there are; None for as many as the parts have.
        """
        both = (parts, everywhere)
        self._table.grow(slices)
        self._parts, self._sums = both, {}
        if parts or everywhere or not self._said.is_bare:
            self._said = Settlements(both, self._channels, self._pane_ms, self.slices)
        if panes is None:
            panes = max((len(part.spans) for part in (*parts, *everywhere)), default=1)
        looked_at = [(run, part) for run in (0, 1) if self._of_run[run] for part in both[run]]
        numbers = tables.pane_numbers([part for _, part in looked_at], panes, self._pane_ms, self._end_ms)
        size = _TOGETHER // max(len(self._weights), 1)
        given = (self._given(run, piece) for run, part in looked_at for piece in tables.pieces(part, size))
        self._hot, self._pane = [], 0
        if panes == 1:  # piece by piece: all of them at once may be too much
            for of_part in given:
                if self._walk([of_part], numbers, 0, 1).last == 0:
                    self._look(of_part, 0)
            yield self.speaks
        else:
            yield from self._go_through(list(given), numbers)

    def _given(self, run: int, part: Part) -> Given:
        evidence = [d.evidence(part) for d in self._of_run[run]]
        return Given.of(self._runs[run].start, run == self._last_run, part.slices, part.edges, evidence)

    def _go_through(self, given: list[Given], numbers: Ints) -> Iterator[bool]:
        pane, n = 0, len(numbers)
        while pane < n:
            if len(self._peaks.numbers):
                last, end = self._follow(given, numbers, pane, min(pane + self._at_once, n))
            else:
                last, end = self._walk(given, numbers, pane, n).last, n
            self._hot, speaks = [], bool(self._ready)
            for self._pane in range(pane, last):
                yield speaks
            if last < end:
                self._pane = last
                for of_part in given:
                    self._look(of_part, last)
                yield self.speaks
            pane = min(last + 1, end)

    def _follow(self, given: list[Given], numbers: Ints, pane: int, end: int) -> tuple[int, int]:
        """Take panes in while slices are followed, to the end or the first with which that ends for any of them: to
        there, or to the first in which another slice may be found. What :meth:`settle` says of those before is ready.
        """
        before = (self._table.copy(), self._peaks.copy()) if end > pane + 1 else None
        last, settled = self._followed(given, numbers, pane, end)
        ends = np.flatnonzero(((settled.remaining < self._resolve) | _high(settled.steps)).any(axis=1))
        if before is not None and len(ends) and pane + ends[0] + 1 < min(last + 1, end):
            self._table.put_back(before[0])
            self._peaks = before[1]
            end = pane + int(ends[0]) + 1
            last, settled = self._followed(given, numbers, pane, end)
        self._ready = deque(self._said.add(settled))
        self._ends = settled.remaining[-1:], settled.steps[-1:]
        return last, end

    def _followed(self, given: list[Given], numbers: Ints, pane: int, end: int) -> tuple[int, Settled]:
        """Take panes in, up to the first in which a slice may be found that is not followed; where the others stand in
        those before it.
        """
        at = self._peaks.numbers
        last, steps, calm = self._walk(given, numbers, pane, end, at)
        n = last - pane
        return last, self._settled(np.arange(pane, last), numbers[pane:last], at, steps[:n], calm[:n])

    def _settled(self, pane: Ints, number: Ints, at: Ints, steps: Steps, calm: Steps) -> Settled:
        """Where slices stand in panes; all of them are followed."""
        shape = steps.shape[:2]
        parts, now = self._peaks.parts(steps.reshape(-1, steps.shape[2]).astype(np.int64))
        statistic, whole = self._sum(parts).reshape(shape), steps.astype(np.int64)
        now, parts = now.reshape(*shape, now.shape[1]), parts.reshape(steps.shape)
        remaining, peak = self._peaks.through(now, parts, whole)
        return Settled(pane, number, at, statistic, remaining, now, peak, whole, calm)

    def _walk(self, given: Sequence[Given], numbers: Ints, pane: int, end: int, followed: Ints = tables.NONE) -> Walked:
        """See :func:`tables.walk`."""
        walked = tables.walk(self._table, given, numbers, pane, end, followed)
        self._end_ms = int(numbers[min(walked.last, end - 1)]) * self._pane_ms
        return walked

    def release(self) -> None:
        """Forget the panes that were taken in, which may be large: nothing more is asked of them."""
        self._parts, self._sums = ((), ()), {}
        self._said = Settlements(self._parts, self._channels, self._pane_ms, 0)

    def add_group(self, number: int, reference: Reference, sums: GroupSums, end_ms: int) -> None:
        """Take the sums over many slices of one model in, as the evidence of a slice of its own in the pane that was
        taken in last, and ends then.
        """
        self._table.grow(number + 1)
        of_all, at = group_evidence(reference, sums), np.array([number])
        evidence = [
            d.together(of_all, reference, number)
            if d.groups
            else Evidence(np.zeros((1, d.channels, d.bets)), np.zeros((1, d.channels), dtype=bool))
            for d in self._of_run[0]
        ]
        given = Given.of(self._runs[0].start, True, at, (), evidence)
        self._walk([given], np.array([end_ms // self._pane_ms]), 0, 1)
        self._look(given, 0)

    def group_sums(self) -> list[GroupSums | None]:
        """Of each model's part of the pane that was taken in last, the sums over its ordinary slices, which are below
        the floor and not followed: the change of the others would be found again. None where there are none. To be
        asked before :meth:`settle`.
        """
        parts, odd = self._parts[0], [*self._peaks.numbers.tolist(), *self._loud()]
        if not odd:
            return [self._whole(j, part)[self._pane] for j, part in enumerate(parts)]
        out: list[GroupSums | None] = []
        for part in parts:
            a, b = part.spans[self._pane]
            chosen = a + np.flatnonzero(~np.isin(part.slices[a:b], odd))
            out.append(part.sums(chosen) if len(chosen) else None)
        return out

    def _whole(self, j: int, part: Part) -> list[GroupSums | None]:
        """The sums over all slices of each pane of a part, which most panes ask for."""
        if j not in self._sums:
            self._sums[j] = part.sums_of_panes()
        return self._sums[j]

    def _look(self, given: Given, pane: int) -> None:
        """Note which slices of a pane may have come to the floor."""
        at = given.slices[given.edges[pane] : given.edges[pane + 1]]
        steps = self._table.steps[at]
        if given.looks and steps.size:
            self._hot += at[steps.max(axis=1) >= self._least].tolist()

    def _sum(self, parts: Floats) -> Floats:
        """The mixture of slices ``(p,)``: summed row by row, so that it does not depend on the others."""
        return np.asarray(parts[:, self._runs[0]].sum(axis=1) + parts[:, self._runs[1]].sum(axis=1))

    def statistics(self) -> Floats:
        """The mixture of each slice ``(slices,)``."""
        return self._mix(self._table.steps)

    def _mix(self, steps: Steps) -> Floats:
        return self._sum(np.expm1(steps / STEPS) * self._weights)

    def _loud(self) -> list[int]:
        """Numbers of the slices at or above the floor in the last pane."""
        hot = np.array(sorted({*self._hot}), dtype=np.int64)
        return hot[self._mix(self._table.steps[hot]) >= self._floor].tolist() if len(hot) else []

    def settle(self) -> Found:
        """What to say, in the pane that was taken in last, of slices at or above the floor, or that were and are not
        over yet. What remains falls below ``resolve`` where the change is over; its evidence then begins anew.
        """
        if self._ready:
            found = self._ready.popleft()
            if not self._ready:
                self._end(*self._ends)
            return found
        followed = self._peaks.numbers
        at = np.union1d(followed, np.array(self._hot, dtype=np.int64))
        before = np.isin(at, followed)
        speak = before | (self._mix(self._table.steps[at]) >= self._floor)
        at, new = at[speak], at[speak & ~before]  # mostly slices are near the floor, and not there
        self._peaks.add(new)
        pane, number = np.array([self._pane]), np.array([self._end_ms // self._pane_ms])
        settled = self._settled(pane, number, at, self._table.steps[at][None], self._table.calm[at][None])
        (found,) = self._said.add(settled)
        self._end(settled.remaining, settled.steps)
        return found

    def _end(self, remaining: Floats, steps: Ints) -> None:
        """After a pane ``(1, m)`` in which slices that are followed stand so."""
        for of_slices, of_bets in zip(remaining, steps, strict=True):
            over = of_slices < self._resolve
            self._lower(~over & _high(of_bets))
            self._forget(over)

    def _lower(self, which: Bools) -> None:
        """Take the evidence of some slices down before it reaches the end of its scale."""
        if which.any():
            at = self._peaks.numbers[which]
            self._table.steps[at] -= np.minimum(self._table.steps[at], HIGH // 2)
            self._peaks.lower(which)

    def _forget(self, which: Bools) -> None:
        if which.any():
            self._table.steps[self._peaks.numbers[which]] = 0
            self._peaks.forget(which)

    def restart(self, numbers: Ints) -> None:
        """The evidence of slices of these numbers begins anew, where the rule is about what a model takes for normal:
        they have another one now. What was found is over. Faults stay: no model makes them normal.
        """
        if self._is_drift:
            self._table.steps[numbers[numbers < self.slices]] = 0

    def keep(self, numbers: Ints) -> None:
        """Only slices of these numbers stay, ascending: they are numbered anew from 0 on."""
        self._table.keep(numbers[numbers < self.slices])
        self._peaks.keep(numbers)
        for detector in self.detectors:
            detector.keep(numbers)

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot."""
        detectors = [detector.to_state() for detector in self.detectors]
        return {
            "log_r1": self._table.steps,
            "calm": self._table.calm,
            "seen": self._table.seen,
            "end_ms": self._end_ms,
            "peaks": self._peaks.to_state(),
            "detectors": detectors,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take a state of :meth:`to_state` back."""
        self._table.steps, self._table.calm, self._table.seen = (
            np.array(state[name]) for name in ("log_r1", "calm", "seen")
        )
        self._end_ms = state["end_ms"]
        self._peaks.restore(state["peaks"])
        for detector, remembered in zip(self.detectors, state["detectors"], strict=True):
            detector.restore(remembered)


def _high(steps: Ints) -> Bools:
    """Slices ``(…, m)`` of which a bet is near the end of its scale; steps ``(…, m, w)``."""
    return np.asarray(steps.max(axis=-1, initial=0) > HIGH)
