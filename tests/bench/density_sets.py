"""Distributions whose log-density is known: what a density estimator can reach is their entropy.

Each draws ``(n, d)`` rows and tells their exact log-density in nats; the mean held-out log-density of an estimator is
below that of the truth by its Kullback-Leibler divergence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp

from flowlib.pit import HALF_LOG_TWO_PI
from tests.bench.adbench import Floats


@dataclass(frozen=True)
class Known:
    """A distribution: ``draw(n, generator)`` → ``(n, d)``, ``log_prob(x)`` → ``(n,)`` nats."""

    draw: Callable[[int, np.random.Generator], Floats]
    log_prob: Callable[[Floats], Floats]


def _normal(z: Floats) -> Floats:
    return np.asarray(-(0.5 * z * z + HALF_LOG_TWO_PI).sum(axis=1))


def gaussian(d: int = 8, correlation: float = 0.9) -> Known:
    """Correlated like an autoregression of order one: neighbours alike."""
    places = np.arange(d)
    factor = np.linalg.cholesky(correlation ** np.abs(places[:, None] - places[None, :]))
    back, log_det = np.linalg.inv(factor), np.log(np.diag(factor)).sum()
    return Known(lambda n, g: g.standard_normal((n, d)) @ factor.T, lambda x: _normal(x @ back.T) - log_det)


def mixture(d: int = 4, components: int = 6, sd: float = 0.3) -> Known:
    """Round clusters of unequal weight, well apart."""
    fixed = np.random.default_rng(7)
    means, weights = fixed.uniform(-3, 3, (components, d)), fixed.dirichlet(np.full(components, 2.0))

    def draw(n: int, g: np.random.Generator) -> Floats:
        return means[g.choice(components, n, p=weights)] + sd * g.standard_normal((n, d))

    def log_prob(x: Floats) -> Floats:
        parts = np.stack([_normal((x - mean) / sd) - d * np.log(sd) for mean in means])
        return np.asarray(logsumexp(parts + np.log(weights)[:, None], axis=0))

    return Known(draw, log_prob)


def banana() -> Known:
    """``x₂`` bends with ``x₁²``: x₁ ~ N(0, 1), x₂ ~ N(x₁², ¼)."""

    def draw(n: int, g: np.random.Generator) -> Floats:
        x = g.standard_normal(n)
        return np.column_stack([x, x * x + 0.5 * g.standard_normal(n)])

    return Known(draw, lambda x: _normal(np.column_stack([x[:, 0], 2 * (x[:, 1] - x[:, 0] ** 2)])) + np.log(2.0))


def ring(radius: float = 3.0, sd: float = 0.2) -> Known:
    """A ring around a hole: the radius is normal, cut at 0, the angle uniform."""

    def draw(n: int, g: np.random.Generator) -> Floats:
        r, angle = np.abs(radius + sd * g.standard_normal(n)), g.uniform(0, 2 * np.pi, n)
        return np.column_stack([r * np.cos(angle), r * np.sin(angle)])

    def log_prob(x: Floats) -> Floats:
        r = np.hypot(x[:, 0], x[:, 1])
        return np.asarray(_normal(((r - radius) / sd)[:, None]) - np.log(2 * np.pi * sd * r))

    return Known(draw, log_prob)


def heavy_tails(d: int = 4, freedom: float = 3.0) -> Known:
    """Multivariate Student t: few rows far out, together in all columns."""
    constant = gammaln((freedom + d) / 2) - gammaln(freedom / 2) - d / 2 * np.log(freedom * np.pi)

    def draw(n: int, g: np.random.Generator) -> Floats:
        return g.standard_normal((n, d)) / np.sqrt(g.chisquare(freedom, n) / freedom)[:, None]

    return Known(draw, lambda x: constant - (freedom + d) / 2 * np.log1p((x * x).sum(axis=1) / freedom))


def lognormal(d: int = 4, spread: float = 1.2) -> Known:
    """Independent, positive, long to the right: amounts, durations."""

    def log_prob(x: Floats) -> Floats:
        logs = np.log(x)
        return _normal(logs / spread) - logs.sum(axis=1) - d * np.log(spread)

    return Known(lambda n, g: np.exp(spread * g.standard_normal((n, d))), log_prob)


def rounded(d: int = 4, step: float = 0.1) -> Known:
    """The correlated Gaussian rounded to a grid.

    ``log_prob`` is the Gaussian's density at the centre of the cell, which is that of the cell spread evenly, up to
    step².
    """
    smooth = gaussian(d)
    return Known(lambda n, g: np.round(smooth.draw(n, g) / step) * step, smooth.log_prob)


KNOWN: dict[str, Callable[[], Known]] = {
    "gaussian": gaussian,
    "mixture": mixture,
    "banana": banana,
    "ring": ring,
    "heavy_tails": heavy_tails,
    "lognormal": lognormal,
    "rounded": rounded,
}
