"""What may become part of an incident: a rule's evidence on a slice, from whichever stage it comes."""

from __future__ import annotations

from typing import Literal

import msgspec

Direction = Literal["up", "down", ""]

OTHER_RULE = "slices"
"""Name of JUDGE's own rule: events whose slices have no place of their own."""


class Figures(msgspec.Struct, frozen=True):
    """Sums over events that add up over panes; NaN where there is none. See :data:`schemas.evidence.FIGURES`.

    Attributes:
        events: what ``seen`` and ``expected`` are sums over.
        seen, expected: ``seen / events`` against ``expected / events``, in the measure's unit.
        sd: of one event, in the same unit.
    """

    events: float
    seen: float
    expected: float
    sd: float


class Cause(msgspec.Struct, frozen=True):
    """A channel that speaks for a change.

    Attributes:
        detector: its name.
        channel: its number.
        features: the columns it is about; none where it is about the slice as a whole.
        direction: of the change.
        measure, unit: what the figures are.
        weight: log evidence, nats.
        says: in words, without figures.
        figures: of the pane.
    """

    detector: str
    channel: int
    features: tuple[str, ...]
    direction: Direction
    measure: str
    unit: str
    weight: float
    says: str
    figures: Figures

    @property
    def name(self) -> str:
        """Detector and columns: what slices have to have in common to be one incident."""
        return " ".join([self.detector, *self.features])


class Candidate(msgspec.Struct, frozen=True):
    """A rule's evidence on a slice in a pane, at or above the rule's floor, or that was and is not over.

    Attributes:
        rule, slicing, slice: whose.
        kind: ``drift`` or ``fault``.
        model_id: what it was found under.
        statistic: the evidence.
        share: its share of the rule's promise: it may open an incident at ``1 / (alpha · share)``.
        remaining: what is left of the evidence since it was largest, in [0, 1].
        over: it is below the rule's ``resolve``.
        since_ms: since when nothing spoke against a change.
        events: of the slice in the pane.
        causes: what speaks for it, the one to name first; three at most, one at least.
        scored, alarms: events of the slice that the model could score, and those with a small p-value.
    """

    rule: str
    slicing: str
    slice: str
    kind: Literal["drift", "fault"]
    model_id: str
    statistic: float
    share: float
    remaining: float
    over: bool
    since_ms: int
    events: int
    causes: tuple[Cause, ...]
    scored: int = 0
    alarms: int = 0

    @property
    def key(self) -> tuple[str, str, str]:
        """Rule, slicing, slice."""
        return self.rule, self.slicing, self.slice
