"""An ensemble scored by one engine for each member."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from flowlib.engines.base import Engine
from flowlib.flows import Ensemble, Flow
from flowlib.flows.base import HALF_LOG_TWO_PI
from flowlib.flows.ensemble import Z_LIMIT
from flowlib.table import Singles


class Members(Engine):
    """One engine for each member; densities are averaged in float64, as in :func:`flowlib.flows.ensemble.combine`."""

    def __init__(self, flow: Ensemble, make: Callable[[Flow], Engine]) -> None:
        super().__init__(flow.d, flow.context)
        self.members = [make(member) for member in flow.each]
        self.name = self.members[0].name

    def _score(self, features: Singles, context: Singles) -> tuple[Singles, Singles]:
        scored = [member(features, context) for member in self.members]
        zs, ladjs = (np.stack(arrays).astype(np.float64) for arrays in zip(*scored, strict=True))
        parts = ladjs - 0.5 * zs * zs - HALF_LOG_TWO_PI  # (m, n, d)
        totals = parts.sum(axis=2)
        top = totals.max(axis=0)
        shares = np.exp(totals - top)
        mean = top + np.log(shares.sum(axis=0)) - math.log(len(scored))
        weighted = ((shares / shares.sum(axis=0))[:, :, None] * parts).sum(axis=0)
        rest = (mean - weighted.sum(axis=1)) / self.d
        z = np.clip(zs[0], -Z_LIMIT, Z_LIMIT)
        ladj = weighted + rest[:, None] + 0.5 * z * z + HALF_LOG_TWO_PI
        return z.astype(np.float32), ladj.astype(np.float32)
