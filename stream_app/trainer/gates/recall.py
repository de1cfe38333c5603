"""Gate ``recall``: faults that are put into the gate rows are found as well as by the model in service."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowlib import bootstrap
from flowlib.density import Scores
from flowlib.evaluation import ALARM_ALPHA
from flowlib.intervals import wilson
from flowlib.table import Bools, Floats, Ints
from stream_app.trainer.gates.faults import FAULTS, faulty
from stream_app.trainer.gates.gate import Gate
from stream_app.trainer.gates.trial import Trial

LOST = 0.05
"""Share of a kind of fault that a candidate may miss more than the champion."""

ROWS_MAX = 1_000
_TINY = 1e-12


@dataclass(frozen=True)
class _Kind:
    """Of one kind: shares that both models find, and the difference with its interval."""

    kind: str
    candidate: float
    in_service: float
    more: bootstrap.Mean

    @property
    def failed(self) -> bool:
        return self.more.high() < -LOST


def recall(trial: Trial) -> Gate:
    """Share of the faults of each kind that are found, both models on the same rows and each from the p-value on with
    which it raises as many alarms on the gate rows; fails where a candidate surely finds over :data:`LOST` less of one.

    At one p-value for both the calibrations would be compared: a champion that alarms at every eighth event finds a
    good part of all faults by that alone, and would never be replaced.
    """
    if trial.champion is None or trial.old is None:
        return Gate("recall", True, "there is no model in service to compare with")
    rows = _rows(trial)
    if not len(rows):
        return Gate("recall", False, "there are no held-out events that both models can score")
    table, blocks, (ours, theirs) = trial.rows.take(rows), trial.blocks[rows], levels(trial)
    found = []
    for kind, changed, where in faulty(table, trial.seed):
        if where.any():
            some = changed.take(where)
            new, old = _found(trial.candidate.score(some), ours), _found(trial.champion.score(some), theirs)
            more = bootstrap.difference(new, old, blocks[where])
            found.append(_Kind(kind, float(new.mean()), float(old.mean()), more))
    worst = min(found, key=lambda one: (not one.failed, one.more.value))
    failed = [one.kind for one in found if one.failed]
    kinds = {one.kind: {"candidate": one.candidate, "in_service": one.in_service} for one in found}
    detail = {"kind": worst.kind, "failed": failed, "kinds": kinds, "rows": len(rows), "levels": [ours, theirs]}
    says = _says(worst, failed)
    return Gate("recall", not failed, says, worst.more.value, worst.more.interval(), -LOST, detail=detail)


def levels(trial: Trial) -> tuple[float, float]:
    """The p-values from which on candidate and champion flag here: with them both raise as many alarms on the gate
    rows, as many as the candidate does at .01 or .01 of them. A quantile of few rows is not sure: the doubt is the
    candidate's gain.
    """
    assert trial.old is not None
    both = trial.new.scorable & trial.old.scorable
    new, old = _order(trial.new)[both], _order(trial.old)[both]
    alarms = max(ALARM_ALPHA, float(np.mean(trial.new.p_value[both] <= ALARM_ALPHA)))
    fewest, most = wilson(alarms * len(new), len(new))
    return float(np.quantile(new, float(most))), float(np.quantile(old, float(fewest)))


def _order(scores: Scores) -> Floats:
    """``(n,)`` p-values; of rows beyond all calibration rows, which share the smallest, the stranger ones first."""
    return scores.p_value - _TINY * scores.surprise / (1.0 + scores.surprise)


def _found(scores: Scores, level: float) -> Bools:
    """``(n,)`` rows that are found, or that cannot be scored, which is told as well."""
    return np.asarray(~scores.scorable | (_order(scores) <= level))


def _rows(trial: Trial) -> Ints:
    """Rows that faults are put into: both models score them, and they are spread over all blocks."""
    assert trial.old is not None
    rows = np.flatnonzero(trial.once & trial.new.scorable & trial.old.scorable)
    few = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), ROWS_MAX)).astype(np.int64))
    return rows[few] if len(rows) else rows


def _says(worst: _Kind, failed: list[str]) -> str:
    low, high = worst.more.interval()
    begin = f"of {len(failed)} kinds of fault" if len(failed) > 1 else "of one kind of fault"
    verb = f"{begin} the new model misses too many" if failed else "the new model finds faults as well as before"
    return (
        f"{verb}; worst is {FAULTS[worst.kind][0]}: it finds {worst.candidate:.1%}, the model in service "
        f"{worst.in_service:.1%} with as many alarms (difference {worst.more.value:+.1%}, 95 % interval {low:+.1%} to "
        f"{high:+.1%}; {LOST:.0%} may be lost)"
    )
