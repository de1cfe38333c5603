"""The evidence of one rule on the slices of one slicing: Shiryaev-Roberts sums of e-values, mixed.

For each slice, channel and bet ``R ← (1 + R)·e``, so that R sums the evidence of every moment at which a change may
have begun. The statistic of a slice is the mean of R over bets, channels and detectors, by their weights. While nothing
changes its expectation grows by 1 a pane at most, so an alarm at A comes after A panes or more on average (Shin, Ramdas
& Rinaldo, arXiv 2203.03532, theorem 2.4; for what a reference of finite size leaves unknown see arXiv 2602.13848).

Kept is ``log(1 + R)`` in steps of 1/128 nat, rounded down, which keeps the promise: two bytes a bet, without a cap that
anything reaches.

How an open alert ends: :mod:`~stream_app.stages.detection.peaks`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlib.table import Bools, Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config, RuleConfig
from stream_app.stages.detection.detectors import DETECTORS, Detector, Evidence, Part
from stream_app.stages.detection.peaks import HIGH, STEPS, Peaks

_LARGEST = 65_535

Steps = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Cause:
    """What an alert is about: one channel of one detector.

    Attributes:
        detector: its name.
        features: columns it is about; none where it is about the slice as a whole.
        weight: log evidence, nats.
        detail: in words.
    """

    detector: str
    features: tuple[str, ...]
    weight: float
    detail: str


@dataclass(frozen=True, slots=True)
class Said:
    """What a rule says of a slice.

    Attributes:
        statistic: the evidence.
        remaining: what an open alert resolves by.
        renewed: something else has come to speak for an open alert.
        causes: what speaks for a change, the one to name first; none where nobody asks.
    """

    statistic: float
    remaining: float
    renewed: bool
    causes: list[Cause]


@dataclass(frozen=True, slots=True)
class _Given:
    """Evidence of one part for one run of columns: p rows, w bets.

    Attributes:
        run: of the columns.
        at: ``(p,)`` rows of the state.
        spans: rows of each pane.
        log_e, news: ``(p, w)``.
    """

    run: int
    at: Ints
    spans: list[tuple[int, int]]
    log_e: Floats
    news: Bools


_GROUP = np.zeros(1, dtype=np.int64)


class Mixture:
    """State of one rule over the slices of one slicing; number 0 is the group of all slices together.

    Args:
        config: the stream.
        rule: the rule, whose detectors all make evidence.
        layout: columns of pane rows.
    """

    def __init__(self, config: Config, rule: RuleConfig, layout: PaneLayout) -> None:
        self._rule = rule
        made = [DETECTORS[name](config, layout) for name in DETECTORS if name in rule.detectors]
        self.detectors: list[Detector] = [detector for detector in made if detector.channels]
        total = sum(detector.weight for detector in self.detectors) or 1.0
        # Those that look at a pane's own slices first, so that each kind is one run of columns.
        ordered = sorted(self.detectors, key=lambda detector: detector.everywhere)
        weights, self._places = [np.zeros(0)], dict[str, slice]()
        for detector in ordered:
            width = detector.channels * detector.bets
            self._places[detector.name] = slice(first := sum(map(len, weights)), first + width)
            weights.append(np.full(width, detector.weight / total / width))
        self._weights = np.concatenate(weights)
        own = sum(d.channels * d.bets for d in ordered if not d.everywhere)
        self._runs = (slice(0, own), slice(own, len(self._weights)))
        # All known slices are looked at where there are detectors that look everywhere.
        self._last_run = int(own < len(self._weights))
        self._of_run = ([d for d in ordered if not d.everywhere], [d for d in ordered if d.everywhere])
        self._steps: Steps = np.zeros((1, len(self._weights)), dtype=np.uint16)
        widths = [detector.bets for detector in ordered for _ in range(detector.channels)]
        self._peaks = Peaks(rule.open, self._weights, np.cumsum([0, *widths])[:-1])
        # The channel of each bet, run by run.
        self._channel_of = [
            np.repeat(np.arange(sum(d.channels for d in of_run)), [d.bets for d in of_run for _ in range(d.channels)])
            for of_run in self._of_run
        ]
        self._hot: list[int] = []
        # The mixture is no more than its largest R: below this nobody reaches ``open``.
        self._least = math.floor(math.log1p(rule.open) * STEPS) - 1

    @property
    def slices(self) -> int:
        """Slices there is room for."""
        return len(self._steps) - 1

    def update(self, parts: Sequence[Part], everywhere: Sequence[Part], slices: int, grouped: bool) -> Iterator[bool]:
        """Take panes in, one at each step; whether a slice may have come to ``open``, or has an alert that is not over.

        Args:
            parts: the slices of the panes, model by model.
            everywhere: all known slices in each of the panes, those without events too.
            slices: how many slices are known.
            grouped: whether the slices together are looked at as well.
        """
        self._grow(slices + 1)
        given = [
            _Given(run, part.slices + 1, part.spans, *self._joined(run, [d.evidence(part) for d in self._of_run[run]]))
            for run, of_run in enumerate((parts, everywhere))
            if self._of_run[run]
            for part in of_run
        ]
        together = [part.panes() for part in parts] if grouped and self._of_run[0] else []
        for pane in range(max((len(part.spans) for part in (*parts, *everywhere)), default=1)):
            self._hot = []
            for of_part in given:
                a, b = of_part.spans[pane]
                self._add(of_part.run, of_part.at[a:b], of_part.log_e[a:b], of_part.news[a:b])
                if of_part.run == self._last_run:
                    self._look(of_part.at[a:b])
            if together and not self._add_together([next(of_pane) for of_pane in together], slices):
                together = []
            yield bool(self._hot or len(self._peaks.numbers))

    def _add_together(self, parts: Sequence[Part], slices: int) -> bool:
        """The group's evidence, without slices that have an alert or get one: their change would be found again. False
        where no detector has a word for groups.
        """
        ordinary = np.ones(slices + 1, dtype=bool)
        ordinary[self._peaks.numbers] = ordinary[list(self.loud())] = False
        spoke = False
        for part in parts:
            said = [detector.together(part, ordinary[part.slices + 1]) for detector in self._of_run[0]]
            if any(evidence is not None for evidence in said):
                blank = [
                    Evidence(np.zeros((1, d.channels, d.bets)), np.zeros((1, d.channels), dtype=bool))
                    for d in self._of_run[0]
                ]
                chosen = [evidence or none for evidence, none in zip(said, blank, strict=True)]
                self._add(0, _GROUP, *self._joined(0, chosen))
                self._look(_GROUP)
                spoke = True
        return spoke or not parts

    def _joined(self, run: int, evidence: list[Evidence]) -> tuple[Floats, Bools]:
        """Log e-values and news ``(p, w)`` of every bet of a run's detectors."""
        log_e = np.concatenate(
            [of.log_e.reshape(len(of.log_e), of.news.shape[1] * of.log_e.shape[2]) for of in evidence], axis=1
        )
        return log_e, np.concatenate([of.news for of in evidence], axis=1)[:, self._channel_of[run]]

    def _add(self, run: int, at: Ints, log_e: Floats, news: Bools) -> None:
        """``log(1 + R) ← log(1 + (1 + R)·e)`` of slices ``(p,)`` where there is news."""
        columns = self._runs[run]
        old = self._steps[at, columns]
        log_r1 = old / STEPS
        log_r1 += log_e
        np.logaddexp(0.0, log_r1, out=log_r1)
        log_r1 *= STEPS
        np.minimum(log_r1, _LARGEST, out=log_r1)
        np.copyto(old, log_r1, where=news, casting="unsafe")  # rounded down
        self._steps[at, columns] = old

    def _look(self, at: Ints) -> None:
        """Note which slices ``(p,)`` may have come to ``open``."""
        steps = self._steps[at]
        if steps.size and steps.max() >= self._least:
            self._hot += at[steps.max(axis=1) >= self._least].tolist()

    def _mix(self, steps: Steps) -> Floats:
        """The mixture of slices ``(p,)``: summed row by row, so that it does not depend on the others."""
        return self._sum(np.expm1(steps / STEPS) * self._weights)

    def _sum(self, parts: Floats) -> Floats:
        return np.asarray(parts[:, self._runs[0]].sum(axis=1) + parts[:, self._runs[1]].sum(axis=1))

    def statistics(self) -> Floats:
        """The mixture of each slice ``(slices + 1,)``, the group first."""
        return self._mix(self._steps)

    def loud(self) -> dict[int, float]:
        """Number to statistic of the slices at or above ``open`` in the last pane."""
        hot = sorted({*self._hot})
        found = zip(hot, self._mix(self._steps[hot]).tolist(), strict=True) if hot else ()
        return {i: statistic for i, statistic in found if statistic >= self._rule.open}

    def settle(self, why: Mapping[int, bool]) -> dict[int, Said]:
        """What to say of slices at or above ``open``, or that were and are not over yet, or that are asked about.

        What remains falls below ``resolve`` where the change is over; its evidence then begins anew.

        Args:
            why: numbers that are asked about, and whether causes are. What goes on is not said where nobody asks why.
        """
        peaks, before = self._peaks, {*self._peaks.numbers.tolist()}
        at = np.array(sorted(before.union(self._hot)), dtype=np.int64)
        steps = self._steps[at].astype(np.int64)
        parts, now = peaks.parts(steps)
        statistic = self._sum(parts)
        numbers = at.tolist()
        speak = [i in before or of >= self._rule.open for i, of in zip(numbers, statistic.tolist(), strict=True)]
        if not all(speak):
            steps, statistic, parts, now = steps[speak], statistic[speak], parts[speak], now[speak]
            numbers = at[speak].tolist()
        said = {i: self._said(i, s := float(self.statistics()[i]), s, why[i]) for i in why.keys() - {*numbers}}
        if not numbers:
            return said
        peaks.add(np.array([i for i in numbers if i not in before], dtype=np.int64))
        remaining = self._rule.open * peaks.remaining(now, parts, steps)
        renewed = peaks.renewed(now, np.array([i in why and i in before for i in numbers], dtype=bool))
        over = remaining < self._rule.resolve
        figures = statistic.tolist(), remaining.tolist(), renewed.tolist(), over.tolist()
        for i, found, left, new, ends in zip(numbers, *figures, strict=True):
            asks = new or why.get(i, True)
            if asks or ends:
                said[i] = self._said(i, found, left, asks, new)
        self._lower(~over & (steps.max(axis=1) > HIGH))
        self._forget(over)
        return said

    def _said(self, i: int, statistic: float, remaining: float, why: bool, renewed: bool = False) -> Said:
        speaks = statistic >= self._rule.open or remaining >= self._rule.resolve
        return Said(statistic, remaining, renewed, self.causes(i) if why and speaks else [])

    def _lower(self, which: Bools) -> None:
        """Take the evidence of some of the open alerts down before it reaches the end of its scale."""
        if which.any():
            at = self._peaks.numbers[which]
            self._steps[at] -= np.minimum(self._steps[at], HIGH // 2)
            self._peaks.lower(which)

    def _forget(self, which: Bools) -> None:
        if which.any():
            self._steps[self._peaks.numbers[which]] = 0
            self._peaks.forget(which)

    def causes(self, i: int) -> list[Cause]:
        """The channels that speak for a change of a slice, the one to name first."""
        found: list[tuple[float, int, int]] = []
        for k, detector in enumerate(self.detectors):
            steps = self._of(i, detector)
            log_r = _log_mean(steps) + np.log(self._weights[self._places[detector.name].start] * detector.bets)
            found += [(float(log_r[c]), k, c) for c in np.argsort(-log_r, kind="stable")[:3].tolist() if log_r[c] > 0]
        found.sort(reverse=True)
        simple = [item for item in found if item[0] >= self.detectors[item[1]].plain * found[0][0]]
        first = min(simple, key=lambda item: (item[1], -item[0]), default=None)
        if first is not None:
            found.remove(first)
            found.insert(0, first)
        return [self._cause(i, *item) for item in found]

    def _of(self, i: int, detector: Detector) -> Steps:
        """``(c, b)`` of a slice."""
        return self._steps[i, self._places[detector.name]].reshape(detector.channels, detector.bets)

    def _cause(self, i: int, weight: float, k: int, channel: int) -> Cause:
        detector = self.detectors[k]
        steps = self._of(i, detector)[channel] / STEPS
        features, detail = detector.says(channel, np.expm1(steps - max(float(steps.max()) - 30.0, 0.0)))
        return Cause(detector.name, features, weight, detail)

    def _grow(self, m: int) -> None:
        more = m - len(self._steps)
        if more > 0:
            self._steps = np.pad(self._steps, ((0, more), (0, 0)))

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot."""
        peaks, loud = self._peaks.to_state()
        detectors = [detector.to_state() for detector in self.detectors]
        return {"log_r1": self._steps, "peaks": peaks, "loud": loud, "detectors": detectors}

    def restore(self, state: dict[str, Any]) -> None:
        """Take a state of :meth:`to_state` back."""
        self._steps = np.array(state["log_r1"])
        self._peaks.restore(state["peaks"], state["loud"])
        for detector, remembered in zip(self.detectors, state["detectors"], strict=True):
            detector.restore(remembered)


def _log_mean(steps: Steps) -> Floats:
    """log of the mean of R over the bets ``(c, b)`` of each channel; −inf where it is 0."""
    log_r1 = steps / STEPS
    top = log_r1.max(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        return np.asarray(
            top[:, 0] + np.log(np.maximum(np.exp(log_r1 - top) - np.exp(-top), 0.0).mean(axis=1)), dtype=np.float64
        )
