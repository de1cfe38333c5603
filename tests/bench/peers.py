"""Anomaly detectors to stand beside: each a function from a case to scores of its test rows, larger is stranger.

Every peer gets the standardised rows of the case and its library's own defaults unless stated. In the unsupervised
setting the scores of the fitted rows are taken as the library gives them for those (``decision_scores_``), so that a
row is not its own nearest neighbour. pyod, of the ``bench`` extra, is imported where it is used; its ECOD and COPOD
score new rows together with the training rows, as published.
"""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from river.anomaly import HalfSpaceTrees
from sklearn.mixture import GaussianMixture

from tests.bench.adbench import Case, Floats

Contender = Callable[[Case], Floats]


def _pyod(make: Callable[[int, int], Any]) -> Contender:
    def contender(case: Case) -> Floats:
        model = make(case.train.shape[1], case.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(case.train)
            scores = model.decision_scores_ if case.test is case.train else model.decision_function(case.test)
        return np.nan_to_num(np.asarray(scores, dtype=np.float64), posinf=np.finfo(np.float64).max)

    return contender


def _iforest(_: int, seed: int) -> Any:
    from pyod.models.iforest import IForest

    return IForest(random_state=seed)


def _ecod(_d: int, _s: int) -> Any:
    from pyod.models.ecod import ECOD

    return ECOD()


def _copod(_d: int, _s: int) -> Any:
    from pyod.models.copod import COPOD

    return COPOD()


def _lof(_d: int, _s: int) -> Any:
    from pyod.models.lof import LOF

    return LOF()


def _knn(_d: int, _s: int) -> Any:
    from pyod.models.knn import KNN

    return KNN()


def _deep_svdd(d: int, seed: int) -> Any:
    from pyod.models.deep_svdd import DeepSVDD

    return DeepSVDD(n_features=d, random_state=seed, verbose=0)


def _lunar(_d: int, _s: int) -> Any:
    from pyod.models.lunar import LUNAR

    return LUNAR()  # takes no seed: its scores differ from run to run


GMM_COMPONENTS = 10
"""Full covariances; pyod's own default of one component is a plain Gaussian, which would be too easy to beat."""


def gmm(case: Case) -> Floats:
    """scikit-learn's Gaussian mixture, ten full covariances."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GaussianMixture(GMM_COMPONENTS, random_state=case.seed).fit(case.train)
    return np.asarray(-model.score_samples(case.test), dtype=np.float64)


def hst(case: Case) -> Floats:
    """river's HalfSpaceTrees(25) on rows scaled to [0, 1] by the training range, one pass; learns before it scores."""
    low, high = case.train.min(axis=0), case.train.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    model = HalfSpaceTrees(n_trees=25, seed=case.seed)
    names = range(case.train.shape[1])
    for row in ((case.train - low) / span).tolist():
        model.learn_one(dict(zip(names, row, strict=True)))
    scaled = np.clip((case.test - low) / span, 0.0, 1.0).tolist()
    return np.array([model.score_one(dict(zip(names, row, strict=True))) for row in scaled])


PEERS: dict[str, Contender] = {
    "iforest": _pyod(_iforest),
    "ecod": _pyod(_ecod),
    "copod": _pyod(_copod),
    "lof": _pyod(_lof),
    "knn": _pyod(_knn),
    "gmm": gmm,
    "hst": hst,
    "deep_svdd": _pyod(_deep_svdd),
    "lunar": _pyod(_lunar),
}

_LIBRARY = {"gmm": "scikit-learn", "hst": "river"}


def fingerprint(name: str) -> str:
    """What a peer's scores depend on besides the case: its library's version."""
    library = _LIBRARY.get(name, "pyod")
    return f"{library}-{importlib.metadata.version(library)}"
