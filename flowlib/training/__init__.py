"""Training of a flow by maximum likelihood: :func:`fit_flow`, its settings, its rows, and checkpoints to go on from."""

from flowlib.errors import OtherRun
from flowlib.training.checkpoints import Checkpoint
from flowlib.training.config import Progress, TrainConfig
from flowlib.training.fit import fit_flow
from flowlib.training.rows import TrainingRows

__all__ = ["Checkpoint", "OtherRun", "Progress", "TrainConfig", "TrainingRows", "fit_flow"]
