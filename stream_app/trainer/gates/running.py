"""All gates of a trial, in the order in which a person would ask."""

from __future__ import annotations

from stream_app.trainer.gates import fitness
from stream_app.trainer.gates.calibration import calibration_high, calibration_low
from stream_app.trainer.gates.gate import Gate
from stream_app.trainer.gates.likelihood import likelihood
from stream_app.trainer.gates.memory import anchor, bursts, canaries
from stream_app.trainer.gates.recall import recall
from stream_app.trainer.gates.slices import slices
from stream_app.trainer.gates.trial import Trial

GATES = (
    fitness.rows,
    fitness.unscorable,
    likelihood,
    calibration_high,
    calibration_low,
    slices,
    recall,
    bursts,
    canaries,
    anchor,
)


def run_gates(trial: Trial) -> list[Gate]:
    """Judge a candidate; the membership attack too, where rows were kept back for it."""
    found = [fitness.data(trial.findings), *(gate(trial) for gate in GATES)]
    if trial.members is not None and trial.others is not None:
        found.append(fitness.membership(trial.candidate, trial.members, trial.others, trial.settings))
    return found
