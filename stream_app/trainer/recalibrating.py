"""Where a new model is no better, but the one in service alarms too often or too seldom: a calibration of its own.

Mild shifts, of a season or of a sensor that ages, move p-values before they cost likelihood: a recalibration mends them
and learns nothing (compare WATCH, arXiv 2505.04608).
"""

from __future__ import annotations

from dataclasses import replace

from flowlib.density import Scores
from flowlib.evaluation import ALARM_ALPHA, share
from flowlib.table import Table
from stream_app.trainer.gates.trial import Trial

BAND = (0.5, 2.0)
"""Times the nominal share of alarms that a model may have before anything is done about it."""


def recalibrated(trial: Trial, calibration: Table) -> Trial | None:
    """A trial of the champion with calibration rows of now in the candidate's place; None where that mends nothing.

    It mends something where the champion's share of p ≤ .01 on the gate rows is surely outside :data:`BAND`, and that
    of the recalibrated one is not.
    """
    if trial.champion is None or trial.old is None or not _is_outside(trial.old, trial):
        return None
    try:
        candidate = trial.champion.recalibrated(calibration, trial.seed)
    except ValueError:  # none of the calibration rows can be scored
        return None
    manifest = {**trial.candidate.manifest, "kind": "recalibration", "parent": trial.champion.model_id}
    mended = replace(trial, candidate=replace(candidate, manifest=manifest), is_recalibrated=True)
    return None if _is_outside(mended.new, mended) else mended


def _is_outside(scores: Scores, trial: Trial) -> bool:
    """Whether the share of alarms is surely outside the band; without scores nothing is sure."""
    rows = scores.scorable
    if not rows.any():
        return False
    alarms = share(scores.p_value[rows] <= ALARM_ALPHA, trial.blocks[rows])
    return alarms.high < BAND[0] * ALARM_ALPHA or alarms.low > BAND[1] * ALARM_ALPHA
