"""The evidence of one rule on the slices of one slicing: Shiryaev-Roberts sums of e-values, mixed.

For each slice, channel and bet ``R ← (1 + R)·e``, so that R sums the evidence of every moment at which a change may
have begun. The statistic of a slice is the mean of R over bets, channels and detectors, by their weights. While nothing
changes its expectation grows by 1 a pane at most, so an alarm at A comes after A panes or more on average (Shin, Ramdas
& Rinaldo, arXiv 2203.03532, theorem 2.4; for what a reference of finite size leaves unknown see arXiv 2602.13848).

Kept is ``log(1 + R)`` in steps of 1/128 nat, rounded down, which keeps the promise: two bytes a bet, without a cap that
anything reaches.

An open alert ends by evidence as well: that against the change, since its own was largest. For the bets that speak for
it, ``R / max R`` is the likelihood ratio of "still changed" to "normal again"; the alert is over where the largest of
them has fallen to ``resolve / open``. So it never ends by forgetting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowlib.table import Floats, Ints
from schemas.pane_layout import PaneLayout
from stream_app.config import Config, RuleConfig
from stream_app.stages.watch.detectors import DETECTORS, Detector, Evidence, Part

STEPS = 128.0
"""Steps of ``log(1 + R)`` to a nat."""

_LARGEST = 65_535
_ACCUSED = 0.01
"""Bets whose part of the mixture is this share of ``open`` or more speak for an open alert."""

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


class Mixture:
    """State of one rule over the slices of one slicing; number 0 is the group of all slices together.

    Args:
        config: the stream.
        rule: the rule, whose detectors all make evidence.
        layout: columns of pane rows.
    """

    def __init__(self, config: Config, rule: RuleConfig, layout: PaneLayout) -> None:
        made = [(DETECTORS[name](config, layout), DETECTORS[name].weight) for name in _ordered(rule.detectors)]
        used = [(detector, weight) for detector, weight in made if detector.channels]
        total = sum(weight for _, weight in used) or 1.0
        self._rule = rule
        self.detectors: list[Detector] = [detector for detector, _ in used]
        self._weights = [weight / total / (d.channels * d.bets) for d, weight in used]
        self._state: list[Steps] = [np.zeros((1, d.channels, d.bets), dtype=np.uint16) for d in self.detectors]
        self._mixed = np.zeros((1, len(used)))
        self._peaks: dict[int, list[Steps]] = {}

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
        # A change that an open alert speaks of would be found once more in the sum over all slices.
        ordinary = np.ones(slices, dtype=bool)
        ordinary[[i - 1 for i in self._peaks if i]] = False
        for k, detector in enumerate(self.detectors):
            for part in everywhere if detector.everywhere else parts:
                self._add(k, part.slices + 1, detector.evidence(part))
                if grouped:
                    together = detector.together(part, ordinary[part.slices])
                    if together is not None:
                        self._add(k, np.zeros(1, dtype=np.int64), together)

    def _add(self, k: int, at: Ints, evidence: Evidence) -> None:
        """``log(1 + R) ← log(1 + (1 + R)·e)`` where there is news."""
        state, old = self._state[k], self._state[k][at]
        log_r1 = np.logaddexp(0.0, old / STEPS + evidence.log_e)
        steps = np.minimum(log_r1 * STEPS, _LARGEST).astype(np.uint16)  # rounded down
        state[at] = new = np.where(evidence.news[:, :, None], steps, old)
        self._mixed[at, k] = np.expm1(new / STEPS).sum(axis=(1, 2)) * self._weights[k]

    def statistics(self) -> Floats:
        """The mixture of each slice ``(slices + 1,)``, the group first."""
        return np.asarray(self._mixed.sum(axis=1))

    def settle(self) -> dict[int, tuple[float, float]]:
        """What is at or above ``open``, or was and is not over yet: number to statistic and what remains of it.

        What remains falls below ``resolve`` where the change is over; its evidence then begins anew.
        """
        statistic = self.statistics()
        for i in np.flatnonzero(statistic >= self._rule.open).tolist():
            self._peaks.setdefault(i, [np.zeros_like(state[i]) for state in self._state])
        said: dict[int, tuple[float, float]] = {}
        for i in sorted(self._peaks):
            remaining = self._rule.open * self._remaining(i)
            said[i] = float(statistic[i]), remaining
            if remaining < self._rule.resolve:
                self._forget(i)
        return said

    def _remaining(self, i: int) -> float:
        """The largest ``R / max R`` of the bets that speak for the alert of a slice, in (0, 1]."""
        largest, least = 0.0, self._rule.open * _ACCUSED
        for k, peaks in enumerate(self._peaks[i]):
            now = self._state[k][i]
            accused = (np.expm1(now / STEPS) * self._weights[k] >= least) | (peaks > 0)
            np.maximum(peaks, np.where(accused, now, 0), out=peaks)
            if accused.any():
                fallen = (peaks[accused].astype(np.float64) - now[accused]) / STEPS
                largest = max(largest, float(np.exp(-fallen.min())))
        return largest

    def _forget(self, i: int) -> None:
        del self._peaks[i]
        for state in self._state:
            state[i] = 0
        self._mixed[i] = 0.0

    def causes(self, i: int) -> list[Cause]:
        """The channels that speak for a change of a slice, the one to name first."""
        found: list[tuple[float, int, int]] = []
        for k, state in enumerate(self._state):
            log_r = _log_mean(state[i]) + np.log(self._weights[k] * self.detectors[k].bets)
            found += [(float(log_r[c]), k, c) for c in np.argsort(-log_r, kind="stable")[:3].tolist() if log_r[c] > 0]
        found.sort(reverse=True)
        simple = [item for item in found if item[0] >= self.detectors[item[1]].plain * found[0][0]]
        first = min(simple, key=lambda item: (item[1], -item[0]), default=None)
        if first is not None:
            found.remove(first)
            found.insert(0, first)
        return [self._cause(i, *item) for item in found]

    def _cause(self, i: int, weight: float, k: int, channel: int) -> Cause:
        detector, steps = self.detectors[k], self._state[k][i, channel] / STEPS
        features, detail = detector.says(channel, np.expm1(steps - max(float(steps.max()) - 30.0, 0.0)))
        return Cause(detector.name, features, weight, detail)

    def _grow(self, m: int) -> None:
        more = m - len(self._mixed)
        if more > 0:
            self._state = [np.pad(state, ((0, more), (0, 0), (0, 0))) for state in self._state]
            self._mixed = np.pad(self._mixed, ((0, more), (0, 0)))

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot."""
        return {
            "log_r1": self._state,
            "peaks": [[i, peaks] for i, peaks in sorted(self._peaks.items())],
            "detectors": [detector.to_state() for detector in self.detectors],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take a state of :meth:`to_state` back."""
        self._state = [np.array(steps) for steps in state["log_r1"]]
        self._peaks = {i: [np.array(peak) for peak in peaks] for i, peaks in state["peaks"]}
        mixed = [
            np.expm1(steps / STEPS).sum(axis=(1, 2)) * weight
            for steps, weight in zip(self._state, self._weights, strict=True)
        ]
        self._mixed = np.stack(mixed, axis=1) if mixed else np.zeros((1, 0))
        for detector, remembered in zip(self.detectors, state["detectors"], strict=True):
            detector.restore(remembered)


def _ordered(names: Sequence[str]) -> list[str]:
    """Detectors in the order of the registry, the simplest explanation first."""
    return [name for name in DETECTORS if name in names]


def _log_mean(steps: Steps) -> Floats:
    """log of the mean of R over the bets ``(c, b)`` of each channel; −inf where it is 0."""
    log_r1 = steps / STEPS
    top = log_r1.max(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        return np.asarray(
            top[:, 0] + np.log(np.maximum(np.exp(log_r1 - top) - np.exp(-top), 0.0).mean(axis=1)), dtype=np.float64
        )
