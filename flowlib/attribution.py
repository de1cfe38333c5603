"""Which feature made it strange."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowlib.calibration import Calibration
from flowlib.density import Scores


def contributions(scores: Scores, calibration: Calibration) -> npt.NDArray[np.float64]:
    """``(n, d)`` nats: ½z² of each feature in excess of its mean on the calibration rows; 0 where missing.

    z of feature i is its standardised surprise given the features before it in the autoregressive order, so the parts
    tell where in that order the row leaves the model.
    """
    excess = 0.5 * scores.z.astype(np.float64) ** 2 - calibration.z_half_mean
    return np.asarray(np.where(scores.missing | ~scores.scorable[:, None], 0.0, excess), dtype=np.float64)
