"""The contenders that are timed: our flows by engine, the same flows of zuko and nflows, and detectors for streams.

A contender is a function from rows ``(n, d)`` float32 to something computed for each of them. All are given the same
rows; flows are not trained (their cost does not depend on it), detectors are fitted on 2,000 rows. Packages of the
``bench`` extra are imported where they are used: a contender whose package is not installed is reported as missing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from river.anomaly import HalfSpaceTrees
from sklearn.ensemble import IsolationForest

from flowlib.engines import build
from flowlib.flows import FLOWS

Score = Callable[[Any], Any]
FIT_ROWS = 2_000


@dataclass(frozen=True)
class Contender:
    """A thing to time.

    Attributes:
        score: rows to results.
        flops: multiplications and additions of a row's matrix products, counted dense; 0 where that means nothing.
        one_by_one: it takes one row at a time, so its batches are loops.
        prepare: rows to what it takes, outside of the time.
    """

    score: Score
    flops: int = 0
    one_by_one: bool = False
    prepare: Callable[[Any], Any] = lambda x: x


Maker = Callable[[int], Contender]


def flops_of(module: torch.nn.Module) -> int:
    """Two for each weight of a linear layer, masked or not."""
    return 2 * sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, torch.nn.Linear))


def ours(family: str, engine: str) -> Maker:
    """A flow of ours by an engine; ``eager`` is PyTorch as it is."""

    def make(d: int) -> Contender:
        flow = FLOWS[family](d, 0, torch.Generator().manual_seed(0)).eval()
        flops = flops_of(flow)
        if engine == "eager":
            return Contender(_eager(lambda x: flow(x, x[:, :0])), flops)
        built = build(flow, engine)
        return Contender(lambda x: built(x, x[:, :0]), flops)

    return make


def _eager(f: Callable[[torch.Tensor], Any]) -> Score:
    def score(x: Any) -> Any:
        with torch.inference_mode():
            return f(torch.from_numpy(x))

    return score


def _hidden(d: int) -> int:
    return 64 if d <= 16 else 128


def zuko(spline: bool) -> Maker:
    """zuko's flow of the same size: five transforms, two hidden layers, eight bins."""

    def make(d: int) -> Contender:
        import zuko.flows as library

        sizes = {"transforms": 5, "hidden_features": (_hidden(d),) * 2}
        flow = (library.NSF(d, 0, bins=8, **sizes) if spline else library.MAF(d, 0, **sizes)).eval()
        return Contender(_eager(lambda x: flow().log_prob(x)), flops_of(flow))

    return make


def nflows(spline: bool) -> Maker:
    """nflows' flow of the same size."""

    def make(d: int) -> Contender:
        from nflows import distributions, flows, transforms

        kind: Any = transforms.MaskedAffineAutoregressiveTransform
        sizes: dict[str, Any] = {"num_blocks": 1, "use_residual_blocks": False}
        if spline:
            kind = transforms.MaskedPiecewiseRationalQuadraticAutoregressiveTransform
            sizes |= {"num_bins": 8, "tails": "linear", "tail_bound": 5.0}
        steps = []
        for _ in range(5):
            steps += [kind(d, _hidden(d), **sizes), transforms.ReversePermutation(d)]
        flow = flows.Flow(transforms.CompositeTransform(steps), distributions.StandardNormal([d])).eval()
        return Contender(_eager(flow.log_prob), flops_of(flow))

    return make


def _rows(d: int) -> Any:
    return np.random.default_rng(0).standard_normal((FIT_ROWS, d)).astype(np.float32)


def half_space_trees(d: int) -> Contender:
    """river's HalfSpaceTrees of 25 trees: score_one, on dictionaries, as its users call it."""
    trees = HalfSpaceTrees(n_trees=25, height=8, window_size=250, seed=0)
    for row in _dicts(1 / (1 + np.exp(-_rows(d)[:500]))):
        trees.learn_one(row)
    return Contender(lambda rows: [trees.score_one(row) for row in rows], one_by_one=True, prepare=_dicts)


def _dicts(x: Any) -> list[dict[int, float]]:
    return [dict(enumerate(row)) for row in x.tolist()]


def loda(d: int) -> Contender:
    """PySAD's LODA."""
    from pysad.models import LODA

    model = LODA(random_state=0)
    for row in _rows(d)[:200]:
        model.fit_partial(row)
    return Contender(lambda x: [model.score_partial(row) for row in x], one_by_one=True)


def isolation_forest(d: int) -> Contender:
    """scikit-learn's IsolationForest of 100 trees."""
    return Contender(IsolationForest(n_estimators=100, random_state=0).fit(_rows(d)).score_samples)


def ecod(d: int) -> Contender:
    """PyOD's ECOD."""
    from pyod.models.ecod import ECOD

    return Contender(ECOD().fit(_rows(d)).decision_function)


OURS: dict[str, Maker] = {
    f"{family} {engine}": ours(family, engine)
    for engine, families in {
        "fused": ("maf", "spline_autoregressive", "spline_coupling", "affine_coupling", "ensemble"),
        "torchscript": ("maf", "spline_autoregressive", "spline_coupling", "affine_coupling", "mixture", "ensemble"),
        "onnx": ("maf", "spline_autoregressive"),
        "exported": ("maf",),
        "eager": ("maf", "spline_autoregressive"),
    }.items()
    for family in families
}
PEERS: dict[str, Maker] = {
    "zuko MAF": zuko(spline=False),
    "zuko NSF": zuko(spline=True),
    "nflows MAF": nflows(spline=False),
    "nflows NSF": nflows(spline=True),
    "river HalfSpaceTrees(25)": half_space_trees,
    "PySAD LODA": loda,
    "scikit-learn IsolationForest(100)": isolation_forest,
    "PyOD ECOD": ecod,
}


def make(name: str, d: int) -> Contender:
    """A contender by name; raises ImportError or EngineError where it is not available here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (OURS | PEERS)[name](d)
