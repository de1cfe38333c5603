"""A candidate and all that it is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from flowlib.copies import newest, units
from flowlib.density import Density, Scores
from flowlib.evaluation import ALARM_ALPHA, design_effect
from flowlib.table import Bools, Ints, Table
from stream_app.config import TrainerConfig


@dataclass(frozen=True)
class Trial:
    """A candidate, the models it is compared with, and n rows that neither trained nor calibrated it.

    Attributes:
        candidate: the new model.
        champion: the model in service, None before the first.
        rows: the gate rows, later than all rows that made the candidate.
        blocks: ``(n,)`` the block of time of each; rows of one block resemble each other.
        settings: limits of the gates.
        event_alpha: level of the event rule.
        anchor: the model that no later one may leave far behind without a person, None for none.
        bursts: id of each incident that nobody has judged to its rows.
        canaries: id of each incident that people have confirmed to rows of it that were flagged then.
        findings: sentences on what is gravely wrong with the rows of the training.
        members, others: rows that trained the candidate, and rows of the same days that were kept back from it, for
            the membership attack; None where it is not asked for.
        is_recalibrated: the candidate is the champion with another calibration.
        seed: of drawn faults and samples.
        calibration: the rows that calibrated the candidate, and the block of each: they tell how far alarms come in
            clumps. None where that is not known.
        settled: ``(n,)`` which of the rows are of what a person has accepted; None for none.
    """

    candidate: Density
    champion: Density | None
    rows: Table
    blocks: Ints
    settings: TrainerConfig
    event_alpha: float
    anchor: Density | None = None
    bursts: Mapping[str, Table] = field(default_factory=dict)
    canaries: Mapping[str, Table] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    members: Table | None = None
    others: Table | None = None
    is_recalibrated: bool = False
    seed: int = 0
    calibration: tuple[Table, Ints] | None = None
    settled: Bools | None = None

    @cached_property
    def new(self) -> Scores:
        """The candidate's scores of the rows."""
        return self.candidate.score(self.rows)

    @cached_property
    def old(self) -> Scores | None:
        """The champion's scores of the rows."""
        return self.champion.score(self.rows) if self.champion is not None else None

    @cached_property
    def once(self) -> Bools:
        """``(n,)`` the newest of each row and its copies, whatever their slices and categories: a flood of equal rows
        says once what it says.
        """
        n, found = len(self.rows), np.zeros(len(self.rows), dtype=bool)
        numbers = Table(self.rows.numeric, np.empty((n, 0), object), np.full(n, "", object), self.rows.time_ms)
        found[newest(units(numbers, states=False))] = True
        return found

    def design(self, alpha: float) -> float:
        """How many rows count as one where alarms are counted, by the rows that calibrated the candidate; 1 or more."""
        if self.calibration is None:
            return 1.0
        rows, blocks = self.calibration
        scores = self.candidate.score(rows)
        if not scores.scorable.any():
            return 1.0
        return design_effect(scores.p_value[scores.scorable] <= alpha, blocks[scores.scorable])

    @property
    def levels(self) -> tuple[float, float]:
        """Levels at which alarms are counted."""
        return ALARM_ALPHA, self.event_alpha


def flags(scores: Scores, alpha: float) -> Bools:
    """``(n,)`` rows that a model flags, or that it cannot score, which is told as well."""
    return np.asarray(~scores.scorable | (scores.p_value <= alpha))
