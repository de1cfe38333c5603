"""What live events say of a candidate beside the model in service; a test that may be looked at after every pane.

Pure: panes in, a verdict out. A model is promoted where its log-likelihoods are surely better, by the least gain that
the gates ask for too; it is rejected where they surely are not, or where it alarms far too often or too seldom. A
champion that was only calibrated anew has the likelihoods that it had: its calibration decides alone.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from flowlib.anytime import MeanBet, RateBet
from flowlib.evaluation import ALARM_ALPHA

ALPHA = 0.025
"""Level of each verdict, however often somebody looks."""
CLIP_NATS = 1.0
"""An event counts for or against a candidate with so many nats at most: a few far out would decide alone."""
DESIGN = 4.0
"""Alarms come in clumps: so many events of a pane count as one independent one."""
SILENT = 0.2
"""Times the nominal share of alarms below which a model never alarms."""
BAND = (0.5, 2.0)
"""Times the nominal share that calls for a calibration."""

Verdict = Literal["", "promote", "reject", "give up"]


class PaneSums(msgspec.Struct):
    """What the two models say of some events of one pane."""

    events: int = 0
    compared: int = 0
    """Events that the champion scores."""
    gain: float = 0.0
    """Sum of the differences of log-likelihoods, candidate less champion, each within ±:data:`CLIP_NATS`."""
    scored: int = 0
    """Events that the candidate scores."""
    alarms: int = 0
    """Of these, with p ≤ .01."""
    old_alarms: int = 0
    """Events that the champion gives p ≤ .01."""

    def add(self, other: PaneSums) -> None:
        """Take in the sums of more events."""
        self.events += other.events
        self.compared += other.compared
        self.gain += other.gain
        self.scored += other.scored
        self.alarms += other.alarms
        self.old_alarms += other.old_alarms


class ShadowTest(msgspec.Struct):
    """The test of one candidate.

    Attributes:
        kind: ``model``, or ``recalibration`` where only the calibration is new.
        min_gain: nats an event that a new model has to gain.
        most: times the nominal share of alarms that a new model may have.
        better, worse: bets that the gain of a pane is above, and below, ``min_gain``.
        loud, silent: bets that the candidate alarms too often, and too seldom.
        old_loud, old_silent: the same of the champion.
        total: sums of all panes.
        panes: how many.
    """

    kind: str
    min_gain: float
    most: float
    better: MeanBet
    worse: MeanBet
    loud: RateBet
    silent: RateBet
    old_loud: RateBet
    old_silent: RateBet
    total: PaneSums = msgspec.field(default_factory=PaneSums)
    panes: int = 0

    @classmethod
    def of(cls, kind: str, min_gain: float, max_alarm_ratio: float) -> ShadowTest:
        """A test of which nothing has been seen.

        Args:
            kind, min_gain: see the class.
            max_alarm_ratio: ``trainer.max_alarm_ratio``.
        """
        few, many = BAND if kind == "recalibration" else (SILENT, max_alarm_ratio)
        gain = min(max(min_gain, -CLIP_NATS / 2), CLIP_NATS / 2)
        return cls(
            kind,
            gain,
            many,
            MeanBet(-CLIP_NATS, CLIP_NATS, gain),
            MeanBet(-CLIP_NATS, CLIP_NATS, -gain),
            RateBet(many * ALARM_ALPHA, "high", DESIGN),
            RateBet(few * ALARM_ALPHA, "low", DESIGN),
            RateBet(BAND[1] * ALARM_ALPHA, "high", DESIGN),
            RateBet(BAND[0] * ALARM_ALPHA, "low", DESIGN),
        )

    def take(self, pane: PaneSums) -> None:
        """One more pane that is over."""
        self.total.add(pane)
        self.panes += 1
        if pane.compared:
            gain = pane.gain / pane.compared
            self.better.take(gain)
            self.worse.take(-gain)
        for bet in (self.loud, self.silent):
            bet.take(pane.alarms, pane.scored)
        for bet in (self.old_loud, self.old_silent):
            bet.take(pane.old_alarms, pane.compared)

    @property
    def verdict(self) -> Verdict:
        """``promote`` or ``reject`` once that is sure, "" before."""
        if _sure(self.silent) or (_sure(self.loud) and self._is_louder):
            return "reject"
        if self.kind == "recalibration":
            return "promote" if _sure(self.old_loud) or _sure(self.old_silent) else ""
        if _sure(self.better):
            return "promote"
        return "reject" if _sure(self.worse) else ""

    @property
    def _is_louder(self) -> bool:
        """Whether the candidate alarms more often than the champion on the same events, or its calibration is what is
        on trial: where both are loud, the calibration of the promotion mends it.
        """
        return self.kind == "recalibration" or self.total.alarms > self.total.old_alarms

    def figures(self) -> dict[str, Any]:
        """All that it has seen, JSON."""
        total = self.total
        return {
            "kind": self.kind,
            "events": total.events,
            "panes": self.panes,
            "gain_nats": total.gain / total.compared if total.compared else None,
            "required_nats": self.min_gain,
            "alarm_share": total.alarms / total.scored if total.scored else None,
            "in_service_alarm_share": total.old_alarms / total.compared if total.compared else None,
            "unscorable": total.events - total.scored,
            "e_better": self.better.e_value,
            "e_worse": self.worse.e_value,
            "e_loud": self.loud.e_value,
            "e_silent": self.silent.e_value,
            "e_needed": 1.0 / ALPHA,
        }

    def says(self, verdict: Verdict) -> str:
        """The verdict in a sentence."""
        total = self.total
        seen = f"over {total.events:,} live events in {self.panes:,} panes"
        gain = total.gain / total.compared if total.compared else 0.0
        share, old = _share(total.alarms, total.scored), _share(total.old_alarms, total.compared)
        alarms = f"it finds {share} of them as strange as 1% should be, the model in service {old}"
        if self.kind == "recalibration":
            words = {
                "promote": f"the new calibration is needed {seen}: {alarms}",
                "reject": f"the new calibration is no better {seen}: {alarms}",
            }
            return words.get(verdict, f"it could not be told whether the new calibration is needed {seen}: {alarms}")
        nats = f"{gain:+.3f} nats an event, each counted with {CLIP_NATS:g} at most ({self.min_gain:+.3f} asked for)"
        if verdict == "promote":
            return f"the new model is better {seen}: {nats}; {alarms}"
        if verdict == "reject" and _sure(self.worse):
            return f"the new model is not better by what is asked for {seen}: {nats}; {alarms}"
        if verdict == "reject":
            return f"the new model alarms too {'seldom' if _sure(self.silent) else 'often'} {seen}: {alarms}; {nats}"
        return f"the shadow could not tell which model is better {seen}: {nats}; {alarms}"


def _sure(bet: MeanBet | RateBet) -> bool:
    return bet.e_value >= 1.0 / ALPHA


def _share(hits: int, n: int) -> str:
    return f"{hits / n:.2%}" if n else "none"
