"""An ensemble scored by one engine for each member."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowlib.engines.base import Engine, Source
from flowlib.plain import combined
from flowlib.table import Singles


class Members(Engine):
    """One engine for each member; densities are averaged in float64, as in :func:`flowlib.plain.combined`."""

    def __init__(self, flow: Source, make: Callable[[Any], Engine]) -> None:
        super().__init__(flow.d, flow.context)
        self.members = [make(member) for member in flow.each]
        self.name = self.members[0].name

    def _score(self, features: Singles, context: Singles) -> tuple[Singles, Singles]:
        z, ladj = combined(*zip(*(member(features, context) for member in self.members), strict=True))
        return z.astype(np.float32), ladj.astype(np.float32)
