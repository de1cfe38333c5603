"""Gate ``likelihood``: a candidate explains days that nobody had seen better than the model in service."""

from __future__ import annotations

import numpy as np

from flowlib import bootstrap
from flowlib.table import Bools, Floats
from stream_app.trainer.gates.gate import Gate
from stream_app.trainer.gates.trial import Trial

CLIP = 10.0
"""Nats: an event counts at most so much for or against a candidate, whatever the ratio of the densities there. A few
events far out would decide alone, and with a finite bound the interval means something."""


def likelihood(trial: Trial) -> Gate:
    """Mean difference of the log-likelihoods in raw space, copies counted once; it must be above ``min_gain_nats`` with
    97.5 % confidence. An event that only the champion can score counts as :data:`CLIP` lost.

    A recalibrated champion has the likelihood that it had.
    """
    if trial.old is None:
        return Gate("likelihood", True, "there is no model in service to compare with", detail=_detail(trial))
    least = 0.0 if trial.is_recalibrated else trial.settings.min_gain_nats
    counted = trial.once & trial.old.scorable
    gain = bootstrap.mean(differences(trial)[counted], trial.blocks[counted])
    low, high = gain.interval()
    if gain.blocks:
        says = (
            f"{_told(gain.value)} (95 % interval {low:+.3f} to {high:+.3f} over {gain.blocks} blocks of time; its "
            f"lower end must reach {least:+.3f})"
        )
    else:
        says = "the model in service can score none of the held-out events: there is nothing to compare"
    detail = _detail(trial) | {
        "in_service": _mean(trial.old.log_prob, counted),
        "gain_nats": gain.value,
        "gain_standard_error": gain.error,
        "required_nats": least,
        "rows": int(counted.sum()),
        "blocks": gain.blocks,
    }
    return Gate("likelihood", bool(low >= least), says, gain.value, (low, high), least, detail=detail)


def differences(trial: Trial) -> Floats:
    """``(n,)`` nats, candidate less champion, within ±:data:`CLIP`; of use where the champion scores."""
    if trial.old is None:
        return np.zeros(len(trial.rows))
    gain = np.clip(trial.new.log_prob - trial.old.log_prob, -CLIP, CLIP)
    return np.where(trial.new.scorable, gain, -CLIP)


def _told(gain: float) -> str:
    if gain == 0.0:
        return "the new model explains unseen events exactly as well as the model in service, by 0 nats an event more"
    better = "better" if gain > 0 else "worse"
    return f"the new model explains unseen events {better} than the model in service, by {abs(gain):.3f} nats an event"


def _detail(trial: Trial) -> dict[str, float]:
    return {"candidate": _mean(trial.new.log_prob, trial.once & trial.new.scorable)}


def _mean(values: Floats, rows: Bools) -> float:
    return float(values[rows].mean()) if rows.any() else float("nan")
