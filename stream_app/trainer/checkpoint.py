"""The checkpoint of the training that is under way, in one file: after a crash the same request goes on from there."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flowlib.fit_config import Learn, MaximumLikelihood
from flowlib.flows import Flow
from flowlib.training import Checkpoint, OtherRun, Progress, TrainConfig, TrainingRows, fit_flow
from stream_app.config import Config
from stream_app.disk import write_durably, writing

log = logging.getLogger(__name__)


class CheckpointFile:
    """``{state.dir}/{stream}.checkpoint``: replaced as a whole at each look, removed when the training is answered."""

    def __init__(self, config: Config) -> None:
        self._path = config.path(config.state.dir) / f"{config.stream}.checkpoint"

    def keep(self, checkpoint: Checkpoint) -> None:
        """Replace the file; a crash leaves the old one or the new one.

        Raises:
            DriftflowError: the file cannot be written.
        """
        with writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self._path, checkpoint.to_bytes())

    def load(self) -> Checkpoint | None:
        """The checkpoint; None where there is none, or one that cannot be read (training then starts afresh)."""
        try:
            return Checkpoint.from_bytes(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("%s is not used: %s", self._path, error)
            return None

    def clear(self) -> None:
        """Remove the file: training is over. Raises DriftflowError where it cannot be removed."""
        with writing(self._path):
            self._path.unlink(missing_ok=True)


def learner(settings: TrainConfig, progress: Callable[[Progress], None] | None, file: CheckpointFile | None) -> Learn:
    """Trains by maximum likelihood, from the checkpoint where there is one of this very run."""
    if file is None:
        return MaximumLikelihood(settings, progress)

    def learn(flow: Flow, train: TrainingRows, valid: TrainingRows, seed: int) -> None:
        try:
            fit_flow(flow, train, valid, settings, seed, progress, file.load(), file.keep)
        except OtherRun:
            fit_flow(flow, train, valid, settings, seed, progress, keep=file.keep)
        file.clear()

    return learn
