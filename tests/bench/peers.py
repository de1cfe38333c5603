"""Anomaly detectors to stand beside: each fits a case and scores its test rows, larger is stranger.

Every peer gets the standardised rows of the case and its library's own defaults unless stated. In the unsupervised
setting the scores of the fitted rows are taken as the library gives them for those (``decision_scores_``), so that a
row is not its own nearest neighbour. pyod, of the ``bench`` extra, and deepod, which ``make`` installs beside it, are
imported where they are used; pyod's ECOD and COPOD score new rows together with the training rows, as published.

DTE-NP has no package: its authors' repository is a set of scripts. It is written here from their paper, with their
settings, and gives the scores of their ``DTENonParametric`` within rounding (a step in one row of 550).
"""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from river.anomaly import HalfSpaceTrees
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from tests.bench.adbench import Case, Floats


@dataclass(frozen=True)
class Contender:
    """A detector: a case to scores ``(m,)`` of its test rows.

    Attributes:
        fit: fits the case's training rows and gives what scores its test rows.
    """

    fit: Callable[[Case], Callable[[], Floats]]

    def __call__(self, case: Case) -> Floats:
        """Fit and score."""
        return self.fit(case)()


def _library(make: Callable[[int, int], Any]) -> Contender:
    """A model of pyod's interface, which deepod has too, from the number of columns and the seed."""

    def fit(case: Case) -> Callable[[], Floats]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = make(case.train.shape[1], case.seed)
            model.fit(case.train)
        return lambda: score(model, case)

    def score(model: Any, case: Case) -> Floats:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = model.decision_scores_ if case.test is case.train else model.decision_function(case.test)
        return np.nan_to_num(np.asarray(scores, dtype=np.float64), posinf=np.finfo(np.float64).max)

    return Contender(fit)


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


def _lunar(_: int, seed: int) -> Any:
    from pyod.models.lunar import LUNAR

    return LUNAR(random_state=seed)


def _icl(_: int, seed: int) -> Any:
    from deepod.models.tabular.icl import ICL

    return ICL(device="cpu", verbose=0, random_state=seed)


GMM_COMPONENTS = 10
"""Full covariances; pyod's own default of one component is a plain Gaussian, which would be too easy to beat."""


def gmm(case: Case) -> Callable[[], Floats]:
    """scikit-learn's Gaussian mixture, ten full covariances."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GaussianMixture(GMM_COMPONENTS, random_state=case.seed).fit(case.train)
    return lambda: np.asarray(-model.score_samples(case.test), dtype=np.float64)


DTE_NEIGHBOURS, DTE_STEPS, DTE_NOISE = 5, 300, (1e-4, 0.01)


def dte_np(case: Case) -> Callable[[], Floats]:
    """Diffusion time by nearest neighbours: the most likely step of 300, of how much noise a row has taken.

    Livernoche, Jain, Hezaveh & Ravanbakhsh, "On Diffusion Modeling for Anomaly Detection", arXiv 2305.18593, section 4:
    given the mean squared distance m to the five nearest training rows, the variance of the noise follows an inverse
    gamma law of shape d/2 − 1 and scale m/2. A training row is its own nearest neighbour, as in the authors' code.
    """
    neighbours = NearestNeighbors(n_neighbors=DTE_NEIGHBOURS).fit(case.train)
    variance = 1.0 - np.cumprod(1.0 - np.linspace(*DTE_NOISE, DTE_STEPS))

    def score() -> Floats:
        m = (neighbours.kneighbors(case.test)[0] ** 2).mean(axis=1, keepdims=True)
        log_p = -0.5 * case.train.shape[1] * np.log(variance) - 0.5 * m / variance
        return log_p.argmax(axis=1).astype(np.float64)

    return score


def hst(case: Case) -> Callable[[], Floats]:
    """river's HalfSpaceTrees(25) on rows scaled to [0, 1] by the training range, one pass; learns before it scores."""
    low, high = case.train.min(axis=0), case.train.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    model = HalfSpaceTrees(n_trees=25, seed=case.seed)
    names = range(case.train.shape[1])
    for row in ((case.train - low) / span).tolist():
        model.learn_one(dict(zip(names, row, strict=True)))

    def score() -> Floats:
        scaled = np.clip((case.test - low) / span, 0.0, 1.0).tolist()
        return np.array([model.score_one(dict(zip(names, row, strict=True))) for row in scaled])

    return score


PEERS: dict[str, Contender] = {
    "iforest": _library(_iforest),
    "ecod": _library(_ecod),
    "copod": _library(_copod),
    "lof": _library(_lof),
    "knn": _library(_knn),
    "gmm": Contender(gmm),
    "hst": Contender(hst),
    "deep_svdd": _library(_deep_svdd),
    "lunar": _library(_lunar),
    "dte_np": Contender(dte_np),
    "icl": _library(_icl),
}

ONE_SEED = ("icl",)
"""Peers that are run with the first seed only: ICL takes minutes of a processor for a thousand rows."""

_LIBRARY = {"gmm": "scikit-learn", "hst": "river", "dte_np": "scikit-learn", "icl": "deepod"}


def fingerprint(name: str) -> str:
    """What a peer's scores depend on besides the case: its library's version."""
    library = _LIBRARY.get(name, "pyod")
    return f"{library}-{importlib.metadata.version(library)}"
