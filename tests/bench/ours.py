"""flowlib's own contenders: the whole density, encoder and calibration included, one for each flow family."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np

import flowlib
from flowlib import Density, FeatureSpec, Table
from flowlib.encoding import EncoderConfig
from flowlib.estimator import MAPS
from flowlib.flows import FLOWS
from tests.bench.adbench import Case, Floats
from tests.bench.peers import Contender

VALID_SHARE, CALIBRATION_SHARE = 0.1, 0.1
"""Of the case's training rows, so that ours sees no more rows than the peers: 80 % train, 10 % stop, 10 % calibrate."""


def fit(x: Floats, seed: int, flow_name: str) -> Density:
    """A density on rows ``(n, d)``, with the settings of :class:`flowlib.estimator.FlowDensity`."""
    rows = Table.of(x)
    order = np.random.default_rng(seed).permutation(len(x))
    valid, calibration = round(VALID_SHARE * len(x)), round(CALIBRATION_SHARE * len(x))
    parts = np.split(order, [len(x) - valid - calibration, len(x) - calibration])
    train, stop, reference = (rows.take(part) for part in parts)
    spec = FeatureSpec(tuple(f"x{j}" for j in range(x.shape[1])))
    return Density.fit(spec, train, stop, reference, seed, flow_name=flow_name, encoder_config=EncoderConfig(maps=MAPS))


def surprise(case: Case, flow_name: str) -> Floats:
    """How strange the test rows are; what cannot be scored is stranger than anything that can."""
    scores = fit(case.train, case.seed, flow_name).score(Table.of(case.test))
    return np.where(scores.scorable, scores.surprise, scores.surprise.max(initial=0.0) + 1.0)


OURS: dict[str, Contender] = {f"ours_{name}": partial(surprise, flow_name=name) for name in FLOWS}


def _source() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(flowlib.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


_SOURCE = _source()  # at import: what is edited while a benchmark runs is not what runs


def fingerprint(name: str) -> str:
    """What our scores depend on besides the case: flowlib's own source."""
    return _SOURCE
