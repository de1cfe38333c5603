"""Gates ``calibration_high`` and ``calibration_low``: on the gate days a candidate raises neither far more alarms than
it promises nor next to none.

A forecast is no exact thing: after a change of season a good model raises 1.5 to 2.5 times the nominal share at first,
and the model in service still more. So above nominal it is held against the champion on the same rows, and below
against a floor.
"""

from __future__ import annotations

import numpy as np

from flowlib import bootstrap
from flowlib.evaluation import Estimate, share
from flowlib.table import Bools
from stream_app.trainer.gates.gate import Gate
from stream_app.trainer.gates.trial import Trial

LOW = 0.2
"""Below this many times the nominal share a model is as good as switched off."""

MARGIN = 0.25
"""So many times the nominal share above the champion's are within what two calibrations differ by."""

_NONE = "the new model can score none of the held-out events"


def calibration_high(trial: Trial) -> Gate:
    """Alarms above nominal: fails where they are surely more than nominal and surely more than the champion's, at .01
    or at the event rule's level; of a first model, surely more than ``max_alarm_ratio`` times nominal.
    """
    found = [_high(trial, alpha) for alpha in trial.levels]
    return next((gate for gate in found if not gate.passed), found[0])


def _high(trial: Trial, alpha: float) -> Gate:
    new, old, settings = trial.new, trial.old, trial.settings
    if not new.scorable.any():
        return Gate("calibration_high", False, _NONE)
    figure = _alarms(trial, alpha)
    detail = _detail(trial, alpha, figure)
    told = _told(figure, alpha)
    if old is None:
        limit = settings.max_alarm_ratio * alpha
        says = f"{told}; at most {limit:.2%} allowed of a first model"
        return _gate("calibration_high", figure.low <= limit, says, figure, limit, detail)
    both = new.scorable & old.scorable
    more = bootstrap.difference((new.p_value <= alpha)[both], (old.p_value <= alpha)[both], trial.blocks[both])
    before = float(np.mean(old.p_value[both] <= alpha)) if both.any() else float("nan")
    limit = max(alpha, before + MARGIN * alpha)
    failed = figure.low > alpha and more.low() > MARGIN * alpha
    says = f"{told}; the model in service raises {before:.2%}, and {limit:.2%} are allowed"
    detail |= {"more": more.value, "more_interval_95": list(more.interval())}
    return _gate("calibration_high", not failed, says, figure, limit, detail)


def calibration_low(trial: Trial) -> Gate:
    """Alarms below nominal: fails where they are surely less than :data:`LOW` times nominal, at either level.

    None at all do not tell whether alarms come in clumps, and a quiet week has none: how far they do is taken from the
    rows that calibrated the candidate.
    """
    found = [_low(trial, alpha) for alpha in trial.levels]
    return next((gate for gate in found if not gate.passed), found[0])


def _low(trial: Trial, alpha: float) -> Gate:
    if not trial.new.scorable.any():
        return Gate("calibration_low", False, _NONE)
    figure, floor = _alarms(trial, alpha, trial.design(alpha)), LOW * alpha
    says = f"{_told(figure, alpha)}; a model that surely raises less than {floor:.3%} is as good as switched off"
    return _gate("calibration_low", figure.high >= floor, says, figure, floor, _detail(trial, alpha, figure))


def _alarms(trial: Trial, alpha: float, design: float = 1.0) -> Estimate:
    rows = trial.new.scorable
    return share(trial.new.p_value[rows] <= alpha, trial.blocks[rows], design)


def _told(figure: Estimate, alpha: float) -> str:
    return (
        f"{figure.value:.2%} of the held-out events are as strange as {alpha:.2%} should be "
        f"(95 % interval {figure.low:.2%} to {figure.high:.2%})"
    )


def _detail(trial: Trial, alpha: float, figure: Estimate) -> dict[str, object]:
    before = None if trial.old is None else _share(trial.old.p_value[trial.old.scorable] <= alpha)
    return {"candidate": figure.value, "in_service": before, "alpha": alpha, "rows": int(trial.new.scorable.sum())}


def _share(hits: Bools) -> float:
    return float(np.mean(hits)) if len(hits) else 1.0


def _gate(name: str, passed: bool, says: str, figure: Estimate, threshold: float, detail: dict[str, object]) -> Gate:
    return Gate(name, passed, says, figure.value, (figure.low, figure.high), threshold, detail=detail)
