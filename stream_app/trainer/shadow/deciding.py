"""What live events say of a candidate beside the model in service; a test that may be looked at after every pane.

Pure: panes in, a verdict out. A model is promoted where its log-likelihoods are surely better, by the least gain that
the gates ask for too; it is rejected where they surely are not, or where it alarms far too often or too seldom. A
champion that was only calibrated anew has the likelihoods that it had: its calibration decides alone.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from flowlib.anytime import RateBet
from flowlib.evaluation import ALARM_ALPHA
from stream_app.trainer.shadow.bets import BlockBet

ALPHA = 0.025
"""Level of each verdict, however often somebody looks."""
CLIP_NATS = 1.0
"""An event counts for or against a candidate with so many nats at most: a few far out would decide alone."""
DESIGN = 4.0
"""Alarms come in clumps: so many events count as one independent one, or more where panes differ more (Kish)."""
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
    number: int = 0
    """Of the pane, once it is over."""

    def add(self, other: PaneSums) -> None:
        """Take in the sums of more events."""
        self.events += other.events
        self.compared += other.compared
        self.gain += other.gain
        self.scored += other.scored
        self.alarms += other.alarms
        self.old_alarms += other.old_alarms


class Alarms(msgspec.Struct):
    """Alarms of one model, over panes.

    Attributes:
        hits, events: in all.
        squares: sum of hits² / events of each pane.
        panes: with events.
    """

    hits: int = 0
    events: int = 0
    squares: float = 0.0
    panes: int = 0

    def take(self, hits: int, events: int) -> None:
        """One more pane."""
        if events:
            self.hits, self.events, self.panes = self.hits + hits, self.events + events, self.panes + 1
            self.squares += hits * hits / events

    @property
    def design(self) -> float:
        """How many events count as one independent one, by how much more panes differ than chance would have it."""
        rate = self.hits / self.events if self.events else 0.0
        if self.panes < 2 or not 0.0 < rate < 1.0:
            return DESIGN
        between = (self.squares - self.hits * rate) / (self.panes - 1)
        return max(DESIGN, between / (rate * (1.0 - rate)))

    def e_value(self, null: float, side: str, design: float) -> float:
        """Of the bet that they come more often (``side = "high"``) or more rarely than a rate."""
        return RateBet(null, side, 1.0, self.hits / design, self.events / design).e_value


class ShadowTest(msgspec.Struct):
    """The test of one candidate.

    Attributes:
        kind: ``model``, or ``recalibration`` where only the calibration is new.
        min_gain: nats an event that a new model has to gain.
        few, most: times the nominal share of alarms that the candidate may have.
        better, worse: bets that the gain of a pane is above, and below, ``min_gain``.
        new, old: alarms of the candidate and of the champion.
        total: sums of all panes.
        panes: how many.
    """

    kind: str
    min_gain: float
    few: float
    most: float
    better: BlockBet
    worse: BlockBet
    new: Alarms = msgspec.field(default_factory=Alarms)
    old: Alarms = msgspec.field(default_factory=Alarms)
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
        return cls(kind, gain, few, many, BlockBet.of(CLIP_NATS, gain), BlockBet.of(CLIP_NATS, -gain))

    def take(self, pane: PaneSums) -> None:
        """One more pane that is over."""
        self.total.add(pane)
        self.panes += 1
        if pane.compared:
            gain = pane.gain / pane.compared
            self.better.take(gain)
            self.worse.take(-gain)
        self.new.take(pane.alarms, pane.scored)
        self.old.take(pane.old_alarms, pane.compared)

    @property
    def verdict(self) -> Verdict:
        """``promote`` or ``reject`` once that is sure, "" before."""
        if self._is_silent or self._is_loud:
            return "reject"
        if self.kind == "recalibration":
            return "promote" if self._is_needed else ""
        if _sure(self.better.e_value):
            return "promote"
        return "reject" if _sure(self.worse.e_value) else ""

    @property
    def _design(self) -> float:
        """Of both models: one without alarms does not tell how they clump."""
        return max(self.new.design, self.old.design)

    @property
    def _is_silent(self) -> bool:
        """Never alarms, though the champion does on the same events: else it may be a quiet week."""
        is_quieter = self.new.hits < self.old.hits
        return is_quieter and _sure(self.new.e_value(self.few * ALARM_ALPHA, "low", self._design))

    @property
    def _is_loud(self) -> bool:
        return self._is_louder and _sure(self.new.e_value(self.most * ALARM_ALPHA, "high", self._design))

    @property
    def _is_needed(self) -> bool:
        """Whether the champion's share is surely out of the band that calls for a calibration."""
        low = self.old.e_value(BAND[0] * ALARM_ALPHA, "low", self._design)
        high = self.old.e_value(BAND[1] * ALARM_ALPHA, "high", self._design)
        return _sure(max(low, high))

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
            "e_loud": self.new.e_value(self.most * ALARM_ALPHA, "high", self._design),
            "e_silent": self.new.e_value(self.few * ALARM_ALPHA, "low", self._design),
            "events_as_one": self._design,
            "e_needed": 1.0 / ALPHA,
            "panes_as_one": self.better.length,
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
        if verdict == "reject" and _sure(self.worse.e_value):
            return f"the new model is not better by what is asked for {seen}: {nats}; {alarms}"
        if verdict == "reject":
            return f"the new model alarms too {'seldom' if self._is_silent else 'often'} {seen}: {alarms}; {nats}"
        return f"the shadow could not tell which model is better {seen}: {nats}; {alarms}"


def _sure(e_value: float) -> bool:
    return e_value >= 1.0 / ALPHA


def _share(hits: int, n: int) -> str:
    return f"{hits / n:.2%}" if n else "none"
