"""The evidence of one rule on the slices of one slicing: Shiryaev-Roberts sums of e-values, mixed.

For each slice, channel and bet ``R ← (1 + R)·e``, so that R sums the evidence of every moment at which a change may
have begun. The statistic of a slice is the mean of R over bets, channels and detectors, by their weights. While nothing
changes its expectation grows by 1 a pane at most, so an alarm at A comes after A panes or more on average (Shin, Ramdas
& Rinaldo, arXiv 2203.03532, theorem 2.4; for what a reference of finite size leaves unknown see arXiv 2602.13848).

Kept is ``log(1 + R)`` in steps of 1/128 nat, rounded down, which keeps the promise: two bytes a bet, without a cap that
anything reaches.

An open alert ends by evidence as well: that against the change, since its own was largest. Of each channel that speaks
for it the bet that was largest at the channel's peak says how the change was found to be; its R over what it was then
is the likelihood ratio of "still so" to "normal again"; where another bet has gained since, the change has become
smaller, and the R of that one over the most it has been since counts as well. The alert is over where that of every
channel has fallen to ``resolve / open``, or the channel to below 1, where it says nothing any more. So it never ends by
forgetting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlib.table import Bools, Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config, RuleConfig
from stream_app.stages.watch.detectors import DETECTORS, Detector, Evidence, Part

STEPS = 128.0
"""Steps of ``log(1 + R)`` to a nat."""

_LARGEST, _HIGH = 65_535, 51_200
_ACCUSED = 0.1
"""Channels whose part of the mixture is this share of ``open`` or more speak for an open alert."""

_SMALLER = 4.0
"""Nats that a bet gains while a larger one falls, where the change has become smaller and is not over."""

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


@dataclass(slots=True)
class _Peak:
    """Where the evidence for an open alert was largest, channel by channel.

    Attributes:
        mixed: ``(c,)`` log of the channel's part of the mixture; −inf where it does not speak for the alert.
        bet: ``(c,)`` the column of its largest bet then.
        level: ``(w,)`` the steps of every bet then.
        since: ``(w,)`` the most they have been since.
    """

    mixed: Floats
    bet: Ints
    level: Ints
    since: Ints

    @classmethod
    def none(cls, c: int, w: int) -> _Peak:
        zeros = [np.zeros(n, dtype=np.int64) for n in (c, w, w)]
        return cls(np.full(c, -np.inf), *zeros)


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
        self._of_run = ([d for d in ordered if not d.everywhere], [d for d in ordered if d.everywhere])
        self._steps: Steps = np.zeros((1, len(self._weights)), dtype=np.uint16)
        self._mixed = np.zeros((1, 2))
        self._peaks: dict[int, _Peak] = {}
        self._loud: dict[int, Bools] = {}
        widths = [detector.bets for detector in ordered for _ in range(detector.channels)]
        self._channels = np.cumsum([0, *widths])

    @property
    def slices(self) -> int:
        """Slices there is room for."""
        return len(self._mixed) - 1

    def update(self, parts: Sequence[Part], everywhere: Sequence[Part], slices: int, grouped: bool) -> None:
        """Take a pane in.

        Args:
            parts: its slices, model by model.
            everywhere: all known slices, those without events too.
            slices: how many slices are known.
            grouped: whether the slices together are looked at as well.
        """
        self._grow(slices + 1)
        for run, given in enumerate((parts, everywhere)):
            if not self._of_run[run]:
                continue
            for part in given:
                self._add(run, part.slices + 1, [detector.evidence(part) for detector in self._of_run[run]])
        if grouped:
            self._add_together(parts, slices)

    def _add_together(self, parts: Sequence[Part], slices: int) -> None:
        """The group's evidence, without slices that have an alert or get one: their change would be found again."""
        ordinary = self.statistics()[1 : slices + 1] < self._rule.open
        ordinary[[i - 1 for i in self._peaks if i]] = False
        for part in parts:
            said = [detector.together(part, ordinary[part.slices]) for detector in self._of_run[0]]
            if any(evidence is not None for evidence in said):
                blank = [
                    Evidence(np.zeros((1, d.channels, d.bets)), np.zeros((1, d.channels), dtype=bool))
                    for d in self._of_run[0]
                ]
                chosen = [evidence or none for evidence, none in zip(said, blank, strict=True)]
                self._add(0, np.zeros(1, dtype=np.int64), chosen)

    def _add(self, run: int, at: Ints, evidence: list[Evidence]) -> None:
        """``log(1 + R) ← log(1 + (1 + R)·e)`` where there is news."""
        columns, p = self._runs[run], len(at)
        log_e = np.concatenate([part.log_e.reshape(p, -1) for part in evidence], axis=1)
        news = np.concatenate([np.repeat(part.news, part.log_e.shape[2], axis=1) for part in evidence], axis=1)
        old = self._steps[at, columns]
        log_r1 = np.logaddexp(0.0, old / STEPS + log_e)
        new = np.where(news, np.minimum(log_r1 * STEPS, _LARGEST).astype(np.uint16), old)  # rounded down
        self._steps[at, columns] = new
        self._mixed[at, run] = self._mix(new, columns)

    def _mix(self, steps: Steps, columns: slice) -> Floats:
        """A slice's part of the mixture ``(p,)``: summed row by row, so that it does not depend on the others."""
        return np.asarray((np.expm1(steps / STEPS) * self._weights[columns]).sum(axis=1))

    def statistics(self) -> Floats:
        """The mixture of each slice ``(slices + 1,)``, the group first."""
        return np.asarray(self._mixed.sum(axis=1))

    def settle(self) -> dict[int, tuple[float, float]]:
        """What is at or above ``open``, or was and is not over yet: number to statistic and what remains of it.

        What remains falls below ``resolve`` where the change is over; its evidence then begins anew.
        """
        statistic = self.statistics()
        for i in np.flatnonzero(statistic >= self._rule.open).tolist():
            self._peaks.setdefault(i, _Peak.none(len(self._channels) - 1, len(self._weights)))
        said: dict[int, tuple[float, float]] = {}
        for i in sorted(self._peaks):
            remaining = self._rule.open * self._remaining(i)
            said[i] = float(statistic[i]), remaining
            if remaining < self._rule.resolve:
                self._forget(i)
            elif self._steps[i].max() > _HIGH:
                self._lower(i)
        return said

    def _lower(self, i: int) -> None:
        """Take the evidence of an open alert down before it reaches the end of its scale, bets and peaks alike.

        Channels that spoke for it much less than the others are out: near 0 nothing can fall.
        """
        peak = self._peaks[i]
        self._steps[i] -= np.minimum(self._steps[i], _HIGH // 2)
        lowered = peak.mixed - _HIGH // 2 / STEPS
        peak.mixed = np.where(lowered >= np.log(self._rule.open * _ACCUSED), lowered, -np.inf)
        for steps in (peak.level, peak.since):
            steps -= np.minimum(steps, _HIGH // 2)
        for run, columns in enumerate(self._runs):
            self._mixed[i, run] = self._mix(self._steps[[i], columns], columns)[0]

    def _remaining(self, i: int) -> float:
        """The largest ``R / R at the peak`` of the channels that speak for the alert of a slice, in [0, 1]."""
        now, peak, steps = self._of_channels(i), self._peaks[i], self._steps[i].astype(np.int64)
        accused = (now >= np.log(self._rule.open * _ACCUSED)) | np.isfinite(peak.mixed)
        if not accused.any():  # it opens by many small parts
            accused = now >= now.max() + np.log(_ACCUSED)
        for c in np.flatnonzero(accused & (now >= peak.mixed)).tolist():
            first, end = self._channels[c], self._channels[c + 1]
            peak.mixed[c], peak.bet[c] = now[c], first + steps[first:end].argmax()
            peak.level[first:end] = peak.since[first:end] = steps[first:end]
        np.maximum(peak.since, steps, out=peak.since)
        speaks = (peak.since - peak.level > _SMALLER * STEPS) & (np.expm1(steps / STEPS) * self._weights > 1.0)
        speaks[peak.bet[np.isfinite(peak.mixed)]] = True
        fallen = np.maximum.reduceat(np.where(speaks, steps - peak.since, -np.inf), self._channels[:-1]) / STEPS
        still = accused & (now > 0.0)  # below that nothing speaks for it any more
        return float(np.exp(fallen[still].max())) if still.any() else 0.0

    def _of_channels(self, i: int) -> Floats:
        """Log of each channel's part of the mixture of a slice; −inf where it is 0."""
        parts = np.expm1(self._steps[i] / STEPS) * self._weights
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.add.reduceat(parts, self._channels[:-1])))

    def renewed(self, i: int) -> bool:
        """Whether another channel of an open alert's slice has come to ``open`` by itself."""
        if i not in self._peaks:
            return False
        loud = self._of_channels(i) >= np.log(self._rule.open)
        before = self._loud.get(i, np.zeros(len(loud), dtype=bool))
        self._loud[i] = loud | before
        return bool((loud & ~before).any())

    def _forget(self, i: int) -> None:
        del self._peaks[i]
        self._loud.pop(i, None)
        self._steps[i] = 0
        self._mixed[i] = 0.0

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
        more = m - len(self._mixed)
        if more > 0:
            self._steps = np.pad(self._steps, ((0, more), (0, 0)))
            self._mixed = np.pad(self._mixed, ((0, more), (0, 0)))

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot."""
        return {
            "log_r1": self._steps,
            "peaks": [[i, peak.mixed, peak.bet, peak.level, peak.since] for i, peak in sorted(self._peaks.items())],
            "loud": [[i, loud] for i, loud in sorted(self._loud.items())],
            "detectors": [detector.to_state() for detector in self.detectors],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take a state of :meth:`to_state` back."""
        self._steps = np.array(state["log_r1"])
        self._peaks = {i: _Peak(*(np.array(part) for part in parts)) for i, *parts in state["peaks"]}
        self._loud = {i: np.array(loud) for i, loud in state["loud"]}
        self._mixed = np.stack([self._mix(self._steps[:, run], run) for run in self._runs], axis=1)
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
