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
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from flowlib.reference.reference import Reference
from flowlib.table import Bools, Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config, RuleConfig
from stream_app.stages.detection import tables
from stream_app.stages.detection.causes import Channels, Found
from stream_app.stages.detection.detectors import DETECTORS, Detector, Evidence, GroupSums, Part, group_evidence
from stream_app.stages.detection.peaks import HIGH, LARGEST, STEPS, Peaks, steps_of
from stream_app.stages.detection.settlements import Settled, Settlements
from stream_app.stages.detection.tables import Given, Steps, longer

_TOGETHER = 1 << 16
"""Bets of slices that are worked out at a time: more would not stay in the cache."""
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
        self._steps: Steps = np.zeros((0, len(self._weights)), dtype=np.uint16)
        # Number of the last pane in which each bet said nothing, of those that two bytes count.
        self._calm: Steps = np.zeros((0, len(self._weights)), dtype=np.uint16)
        self._seen = np.zeros(0, dtype=bool)
        self._end_ms = 0
        self._hot: list[int] = []
        # The panes that are taken in, and how many of them are.
        self._parts: tuple[Sequence[Part], Sequence[Part]] = ((), ())
        self._pane = 0
        self._sums: dict[int, list[GroupSums | None]] = {}
        self._said = Settlements(self._parts, self._channels, self._pane_ms, 0)

    @property
    def slices(self) -> int:
        """Slices there is room for."""
        return len(self._steps)

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
        self._grow(slices)
        self._parts, self._sums = both, {}
        if parts or everywhere or not self._said.is_bare:
            self._said = Settlements(both, self._channels, self._pane_ms, self.slices)
        if panes is None:
            panes = max((len(part.spans) for part in (*parts, *everywhere)), default=1)
        given: Iterable[Given] = (
            self._given(run, piece.slices, piece.edges, [d.evidence(piece) for d in self._of_run[run]])
            for run in (0, 1)
            if self._of_run[run]
            for part in both[run]
            for piece in self._pieces(part)
        )
        numbers = self._numbers(both, panes)
        self._hot, self._pane = [], 0
        if panes == 1:  # piece by piece: all of them at once may be too much
            for of_part in given:
                if self._walk([of_part], numbers, 0, False) == 0:
                    self._look(of_part, 0)
            yield self.speaks
        else:
            yield from self._go_through(list(given), numbers)

    def _given(self, run: int, slices: Ints, edges: Sequence[int], evidence: list[Evidence]) -> Given:
        of_panes = np.array(edges if len(edges) else (0, len(slices)), dtype=np.int64)
        return Given(run, self._runs[run].start, run == self._last_run, slices, of_panes, evidence)

    def _go_through(self, given: list[Given], numbers: Ints) -> Iterator[bool]:
        bare = [of.bare() for of in given] if tables.is_there() else None
        pane = 0
        while pane < len(numbers):
            follows = bool(len(self._peaks.numbers))  # what it says of these ends, or not, in each pane
            last = self._walk(given, numbers, pane, follows, bare)
            self._hot = []
            for self._pane in range(pane, last):
                yield False
            if last < len(numbers):
                self._pane = last
                for of_part in given:
                    self._look(of_part, last)
                yield self.speaks
            pane = last + 1

    def _numbers(self, both: tuple[Sequence[Part], Sequence[Part]], panes: int) -> Ints:
        """Of panes ``(n,)``; one without rows counts as the one before it."""
        numbers, newest = np.full(panes, self._end_ms // self._pane_ms, dtype=np.int64), np.full(panes, -1)
        for part in (part for run in (0, 1) if self._of_run[run] for part in both[run]):
            first, end = np.array(part.spans, dtype=np.int64).T
            some = np.flatnonzero(end > first)
            numbers[some], newest[some] = part.start_ms[first[some]] // self._pane_ms + 1, some
        newest = np.maximum.accumulate(newest)
        return np.where(newest >= 0, numbers[newest], numbers)

    def _walk(
        self, given: list[Given], numbers: Ints, pane: int, one: bool, bare: list[tuple[Any, ...]] | None = None
    ) -> int:
        """``log(1 + R) ← log(1 + (1 + R)·e)`` where there is news; see :func:`tables.walked`."""
        if tables.is_there():
            table = tables.Table(self._steps, self._calm, self._seen, _CALM, self._least, _REST)
            last = tables.walked(table, tuple(bare or [of.bare() for of in given]), numbers, pane, one)
        else:
            last = self._walk_plainly(given, numbers, pane, one)
        self._end_ms = int(numbers[min(last, len(numbers) - 1)]) * self._pane_ms
        return last

    def _walk_plainly(self, given: list[Given], numbers: Ints, pane: int, one: bool) -> int:
        for k in range(pane, len(numbers)):
            found = False
            for of_part in given:
                at, evidence = of_part.of_pane(k)
                if len(at):
                    self._add(of_part.run, at, *tables.joined(evidence), int(numbers[k]))
                    found |= of_part.looks and self._steps[at].max(initial=0) >= self._least
            if found or one:
                return k
        return len(numbers)

    def _pieces(self, part: Part) -> Iterator[Part]:
        """A part, or where it is a pane of very many slices, one after the other some of them."""
        size = max(_TOGETHER // max(len(self._weights), 1), 1)
        if len(part.spans) > 1 or len(part.rows) <= size:
            yield part
            return
        for a in range(0, len(part.rows), size):
            yield part.take(slice(a, a + size))

    def release(self) -> None:
        """Forget the panes that were taken in, which may be large: nothing more is asked of them."""
        self._parts, self._sums = ((), ()), {}
        self._said = Settlements(self._parts, self._channels, self._pane_ms, 0)

    def add_group(self, number: int, reference: Reference, sums: GroupSums, end_ms: int) -> None:
        """Take the sums over many slices of one model in, as the evidence of a slice of its own in the pane that was
        taken in last, and ends then.
        """
        self._grow(number + 1)
        of_all, at = group_evidence(reference, sums), np.array([number])
        evidence = [
            d.together(of_all, reference, number)
            if d.groups
            else Evidence(np.zeros((1, d.channels, d.bets)), np.zeros((1, d.channels), dtype=bool))
            for d in self._of_run[0]
        ]
        given = Given(0, self._runs[0].start, True, at, np.array([0, 1]), evidence)
        self._walk([given], np.array([end_ms // self._pane_ms]), 0, True)
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

    def _add(self, run: int, at: Ints, log_e: Floats, news: Bools, number: int) -> None:
        columns, new = self._runs[run], at[~self._seen[at]]
        self._calm[new], self._seen[new] = (number - 1) & LARGEST, True
        old = self._steps[at, columns]
        log_r1, before = old / STEPS + log_e, old.copy()
        np.copyto(old, steps_of(log_r1), where=news, casting="unsafe")
        self._steps[at, columns] = old
        calm = self._calm[at, columns]
        calm[(old <= _CALM) | (news & (log_e < 0) & (old <= _REST) & (old + 1 >= before))] = number & LARGEST
        self._calm[at, columns] = calm

    def _look(self, given: Given, pane: int) -> None:
        """Note which slices of a pane may have come to the floor."""
        at = given.slices[given.edges[pane] : given.edges[pane + 1]]
        steps = self._steps[at]
        if given.looks and steps.size:
            self._hot += at[steps.max(axis=1) >= self._least].tolist()

    def _sum(self, parts: Floats) -> Floats:
        """The mixture of slices ``(p,)``: summed row by row, so that it does not depend on the others."""
        return np.asarray(parts[:, self._runs[0]].sum(axis=1) + parts[:, self._runs[1]].sum(axis=1))

    def statistics(self) -> Floats:
        """The mixture of each slice ``(slices,)``."""
        return self._mix(self._steps)

    def _mix(self, steps: Steps) -> Floats:
        return self._sum(np.expm1(steps / STEPS) * self._weights)

    def _loud(self) -> list[int]:
        """Numbers of the slices at or above the floor in the last pane."""
        hot = np.array(sorted({*self._hot}), dtype=np.int64)
        return hot[self._mix(self._steps[hot]) >= self._floor].tolist() if len(hot) else []

    def settle(self) -> Found:
        """What to say, in the pane that was taken in last, of slices at or above the floor, or that were and are not
        over yet. What remains falls below ``resolve`` where the change is over; its evidence then begins anew.
        """
        peaks, followed = self._peaks, {*self._peaks.numbers.tolist()}
        numbers = sorted(followed.union(self._hot))
        at, before = np.array(numbers, dtype=np.int64), np.array([i in followed for i in numbers], dtype=bool)
        steps = self._steps[at].astype(np.int64)
        parts, now = peaks.parts(steps)
        statistic = self._sum(parts)
        speak = before | (statistic >= self._floor)
        if not speak.all():
            at, steps, parts, now = at[speak], steps[speak], parts[speak], now[speak]
            statistic, before = statistic[speak], before[speak]
        peaks.add(at[~before])
        remaining = peaks.remaining(now, parts, steps) if len(at) else statistic
        number, calm = self._end_ms // self._pane_ms, self._calm[at]
        peak = peaks.mixed.copy()  # it is changed in place
        found = self._said.add(Settled(self._pane, number, at, statistic, remaining, now, peak, steps, calm))
        if len(at):  # in most panes slices are near the floor, and not there
            over = remaining < self._resolve
            self._lower(~over & (steps.max(axis=1, initial=0) > HIGH))
            self._forget(over)
        return found

    def _lower(self, which: Bools) -> None:
        """Take the evidence of some slices down before it reaches the end of its scale."""
        if which.any():
            at = self._peaks.numbers[which]
            self._steps[at] -= np.minimum(self._steps[at], HIGH // 2)
            self._peaks.lower(which)

    def _forget(self, which: Bools) -> None:
        if which.any():
            self._steps[self._peaks.numbers[which]] = 0
            self._peaks.forget(which)

    def _grow(self, m: int) -> None:
        more = m - len(self._steps)
        if more > 0:
            self._steps = longer(self._steps, m)
            self._calm = longer(self._calm, m)
            self._seen = np.pad(self._seen, (0, more))

    def restart(self, numbers: Ints) -> None:
        """The evidence of slices of these numbers begins anew, where the rule is about what a model takes for normal:
        they have another one now. What was found is over. Faults stay: no model makes them normal.
        """
        if self._is_drift:
            self._steps[numbers[numbers < self.slices]] = 0

    def keep(self, numbers: Ints) -> None:
        """Only slices of these numbers stay, ascending: they are numbered anew from 0 on."""
        stay = numbers[numbers < self.slices]
        self._steps, self._calm, self._seen = self._steps[stay], self._calm[stay], self._seen[stay]
        self._peaks.keep(numbers)
        for detector in self.detectors:
            detector.keep(numbers)

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot."""
        detectors = [detector.to_state() for detector in self.detectors]
        return {
            "log_r1": self._steps,
            "calm": self._calm,
            "seen": self._seen,
            "end_ms": self._end_ms,
            "peaks": self._peaks.to_state(),
            "detectors": detectors,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take a state of :meth:`to_state` back."""
        self._steps, self._calm, self._seen = (np.array(state[name]) for name in ("log_r1", "calm", "seen"))
        self._end_ms = state["end_ms"]
        self._peaks.restore(state["peaks"])
        for detector, remembered in zip(self.detectors, state["detectors"], strict=True):
            detector.restore(remembered)
