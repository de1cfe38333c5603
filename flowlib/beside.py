"""What stands beside the likelihood in the score: how distances of a row are fitted, weighed, computed and stored.

- ``mixture``: :mod:`flowlib.gaussians`, and beside it the columns as far as they agree with the likelihood;
- ``columns``: :mod:`flowlib.margins` alone;
- ``base``: Σz², for which nothing is fitted.

The first two less the log-probability of each category.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from flowlib.gaussians import WIDTH_MAX, Gaussians
from flowlib.margins import Margins
from flowlib.table import Floats, Singles

Beside = tuple[Margins | Gaussians, ...]
"""What distances come from, one each; none for the base."""

AGREES, AGREES_WHOLLY = 0.4, 0.8
"""Rank correlations with the likelihood from which on the columns' distance counts, and counts whole."""

COLUMNS = 1.5
"""Weight of the columns' distance where it counts whole beside a mixture, whose own is 1: anomalies among the rows
fitted teach likelihood and mixture alike."""

_KINDS: tuple[tuple[str, type[Margins] | type[Gaussians]], ...] = (("gaussians", Gaussians), ("margins", Margins))


def fit_beside(distance: str, numeric: Floats, features: Callable[[], Singles], seed: int) -> Beside:
    """Of one of :data:`flowlib.fit_config.DISTANCES`, from rows that do not calibrate.

    Args:
        distance: its name.
        numeric: ``(n, d)`` raw numbers of the rows that train.
        features: gives ``(m, d)`` encoded rows for a mixture, those that stop the training too.
        seed: of a mixture.

    A table of more than :data:`flowlib.gaussians.WIDTH_MAX` columns of numbers, or of none, gets no mixture.
    """
    if distance == "base":
        return ()
    margins = Margins.fit(numeric)
    if distance == "columns" or not 0 < numeric.shape[1] <= WIDTH_MAX:
        return (margins,)
    return Gaussians.fit(features(), seed), margins


def distances(beside: Beside, numeric: Floats, features: Singles, beyond: Floats) -> Floats:
    """``(n, p)`` ≥ 0 of rows without their categories.

    Args:
        beside: what they come from, not the base.
        numeric: ``(n, d)`` raw numbers.
        features: ``(n, d)`` the same encoded.
        beyond: ``(n,)`` nats that features beyond their limits pay.
    """
    return np.stack([one.of(numeric) if isinstance(one, Margins) else one.of(features) + beyond for one in beside], 1)


def weights_of(beside: Beside, weight: float, nll: Floats, distance: Floats) -> Floats:
    """``(p,)`` weights of distances ``(n, p)`` of held-out rows, of which the likelihoods are known.

    Beside a mixture the columns count as far as they rank ordinary rows as the likelihood does: where they do not, rows
    are strange for how their columns go together, and single columns are noise (``flowlib/FINDINGS.md``).
    """
    if len(beside) < 2:
        return np.array([weight])
    return np.array([weight, weight * COLUMNS * agreement(nll, distance[:, 1])])


def agreement(nll: Floats, distance: Floats) -> float:
    """Share in [0, 1]: of Spearman's rank correlation, what is beyond :data:`AGREES`, up to :data:`AGREES_WHOLLY`."""
    from scipy.stats import rankdata  # takes a while, and who only scores does without

    ranks = rankdata(nll), rankdata(distance)
    if len(nll) < 3 or not all(np.ptp(one) > 0 for one in ranks):
        return 0.0
    rho = float(np.corrcoef(*ranks)[0, 1])
    return float(np.clip((rho - AGREES) / (AGREES_WHOLLY - AGREES), 0.0, 1.0))


def width(one: Margins | Gaussians) -> int:
    """Columns that it is of."""
    return len(one.centre) if isinstance(one, Margins) else one.means.shape[1]


def arrays_of(beside: Beside) -> dict[str, Floats]:
    """For the artifact, by names that say of which kind they are."""
    names = {made: kind for kind, made in _KINDS}
    return {f"{names[type(one)]}.{name}": a for one in beside for name, a in one.to_state().items()}


def beside_of(arrays: Mapping[str, Any]) -> Beside:
    """Inverse of :func:`arrays_of`, among other arrays; raises ValueError or KeyError on parts that do not fit."""
    found = []
    for kind, made in _KINDS:
        of_kind = {name.removeprefix(f"{kind}."): a for name, a in arrays.items() if name.startswith(f"{kind}.")}
        if of_kind:
            found.append(made.from_state(of_kind))
    return tuple(found)
