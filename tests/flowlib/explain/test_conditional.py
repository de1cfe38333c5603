"""The density of one column given the others is a density, and the joint one along the line."""

from __future__ import annotations

import numpy as np

from flowlib.density import Density
from flowlib.explain.conditional import conditional
from tests.flowlib.conftest import draw
from tests.flowlib.explain.rows import changed, complete


def test_the_conditional_integrates_to_one_and_its_cdf_is_its_integral(density: Density) -> None:
    given = conditional(density, draw(20, 47), 1)
    mass = np.trapezoid(np.exp(given.log_density), given.grid, axis=1)
    np.testing.assert_allclose(mass, 1.0, atol=1e-9)
    assert (np.diff(given.cdf, axis=1) >= 0).all()
    np.testing.assert_allclose(given.cdf[:, -1], 1.0)


def test_the_conditional_is_the_joint_density_along_the_line(density: Density) -> None:
    """Differences of log p(x_j | rest) are differences of log p(x): what :meth:`Density.score` says."""
    row = complete(1, 48)
    given = conditional(density, row, 1)
    picks = np.linspace(20, 110, 7).astype(int)
    features = np.zeros((7, 3))
    features[:, 1] = given.grid[0, picks]
    values = density.encoder.decode(features)[:, 1]
    scores = density.score(changed(row.take(np.zeros(7, dtype=int)), 1, values))
    encoded = density.encoder.encode(changed(row.take(np.zeros(7, dtype=int)), 1, values))
    in_features = scores.log_prob - encoded.ladj[:, 1]
    told = given.log_density[0, picks]
    np.testing.assert_allclose(told - told[0], in_features - in_features[0], atol=5e-3)
