"""flowlib's own contenders: FlowDensity with its default settings, one for each flow family."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import flowlib
from flowlib import FlowDensity
from flowlib.flows import FLOWS
from tests.bench.adbench import Case, Floats
from tests.bench.peers import Contender


def fitted(case: Case, flow_name: str) -> Callable[[], Floats]:
    """What says how strange the test rows are; what cannot be scored is stranger than anything that can."""
    density = FlowDensity(flow=flow_name, random_state=case.seed).fit(case.train)

    def score() -> Floats:
        scores = -density.decision_function(case.test)
        scorable = np.isfinite(scores)
        return np.where(scorable, scores, scores[scorable].max(initial=0.0) + 1.0)

    return score


OURS: dict[str, Contender] = {f"ours_{name}": Contender(partial(fitted, flow_name=name)) for name in FLOWS}


def _source() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(flowlib.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


_SOURCE = _source()  # at import: what is edited while a benchmark runs is not what runs


def fingerprint(name: str) -> str:
    """What our scores depend on besides the case: flowlib's own source."""
    return _SOURCE
