"""Gaussian mixture with full covariances, as a flow: the cheap baseline.

A mixture becomes a map to standard normals by the transform of Rosenblatt, "Remarks on a Multivariate Transformation",
Ann. Math. Statist. 23 (1952): ``z_j = Φ⁻¹(F(x_j | x_<j))``, with ``ladj_j = log p(x_j | x_<j) − log N(z_j)``. Context
comes by conditioning: the mixture is one over (context, x), and the density is that of x given the context, itself a
mixture (Ghahramani & Jordan, "Supervised learning from incomplete data via an EM approach", NIPS 1993, section 4). Wide
contexts are first projected to at most 16 directions, those of their largest variance.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from flowlib.flows.base import Flow
from flowlib.pit import HALF_LOG_TWO_PI
from flowlib.surroundings import unshared
from flowlib.table import Floats

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

RANK_MAX = 16
"""Most context directions: enough for a handful of categories and missing columns, at little cost in EM."""

COMPONENTS = (1, 2, 4, 8, 16)
"""Numbers of components that are tried; the one of least BIC is taken."""

RIDGE = 1e-3
"""Added to every variance, in squared scale units: no component can shrink onto repeated values or a constant."""

CHOICE_ROWS = 10_000
"""Rows that choose the number of components, a random share of more."""

REFINEMENTS = 10
"""Steps of EM on all rows, from where EM on a share of them had converged (``flowlib/FINDINGS.md``)."""

BISECTIONS = 80
"""Halvings of the interval that holds a quantile: more than double precision can tell apart."""


class Rosenblatt(nn.Module):
    """The map itself, for m components over r context directions and d features, in whitened coordinates.

    Attributes:
        weight, bias: ``(m·(r + d), d + c)`` and ``(m·(r + d),)``: from (x, context) to every component's coordinates u,
            context first, of which each is standard normal given those before.
        log_diagonal: ``(m, r + d)`` log du_j/dx_j.
        log_weights: ``(m,)`` log-weights, normalised.
    """

    def __init__(self, weight: Tensor, bias: Tensor, log_diagonal: Tensor, log_weights: Tensor, d: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Buffer(weight), nn.Buffer(bias)
        self.log_diagonal, self.log_weights = nn.Buffer(log_diagonal), nn.Buffer(log_weights)
        self.m, self.rank = len(log_weights), log_diagonal.shape[1] - d
        self.half_log_two_pi = HALF_LOG_TWO_PI

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Flow.forward`."""
        u, log_p, before = self.whitened(x, context)
        z = self.normal(u, before)
        return z, torch.logsumexp(before + log_p, dim=1) + 0.5 * z * z + self.half_log_two_pi

    def whitened(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each ``(n, m, d)``: coordinates, their log-densities, and the components' log-weights given all before."""
        u = nn.functional.linear(torch.cat((x, context), dim=1), self.weight, self.bias)
        u = u.view(x.shape[0], self.m, self.log_diagonal.shape[1])
        log_p = self.log_diagonal - 0.5 * u * u - self.half_log_two_pi
        before = self.log_weights.unsqueeze(1) + torch.cumsum(log_p, dim=2) - log_p
        return u[:, :, self.rank :], log_p[:, :, self.rank :], torch.log_softmax(before[:, :, self.rank :], dim=1)

    def normal(self, u: Tensor, before: Tensor) -> Tensor:
        """``(n, m, k)`` coordinates and log-weights → ``(n, k)`` Φ⁻¹ of the mixture's distribution function."""
        below = torch.logsumexp(before + torch.special.log_ndtr(u), dim=1)
        above = torch.logsumexp(before + torch.special.log_ndtr(-u), dim=1)
        tail = self.quantile(torch.minimum(below, above))
        return torch.where(below <= above, tail, -tail)

    def quantile(self, log_p: Tensor) -> Tensor:
        """Φ⁻¹(exp(log_p)) for log_p ≤ log ½, however small: Newton's method on the concave log Φ."""
        log_p = torch.clamp(log_p, max=-0.6931471805599453)
        root = torch.sqrt(-2.0 * log_p)
        far, near = torch.log(root * 2.5066282746310002) / root - root, 1.6 * (1.177410022515475 - root)
        z = torch.where(log_p < -4.0, far, near)
        for _ in range(4):
            log_cdf = torch.special.log_ndtr(z)
            z = z - (log_cdf - log_p) * torch.exp(log_cdf + 0.5 * z * z + self.half_log_two_pi)
        return z


class Mixture(Flow):
    """Gaussian mixture of x given the context.

    The parameters are each component's whitening: ``u = (y − mean) @ U`` with U upper triangular and y = (projected
    context, x), so that u_j depends on y_≤j alone. A fresh one has random means; :meth:`solve` fits it.
    """

    def __init__(
        self, d: int, context: int, generator: torch.Generator, components: int = 8, rank: int | None = None
    ) -> None:
        super().__init__()
        self.d, self.context = d, context
        rank = min(context, RANK_MAX) if rank is None else rank
        if rank > context:
            raise ValueError(f"a context of {context} columns has no {rank} directions")
        self.projection = nn.Buffer(torch.eye(rank, context))
        means = torch.randn(components, rank + d, generator=generator)
        self._set(torch.zeros(components), means, torch.eye(rank + d).repeat(components, 1, 1))

    def _set(self, log_weights: Tensor, means: Tensor, whitening: Tensor) -> None:
        """Parameters from log-weights ``(m,)``, means ``(m, r + d)`` and upper triangular U ``(m, r + d, r + d)``."""
        diagonal = torch.diagonal(whitening, dim1=1, dim2=2).log()
        self.log_weights, self.means, self.log_diagonal, self.upper = (
            nn.Parameter(part, requires_grad=False) for part in (log_weights, means, diagonal, whitening.triu(1))
        )

    def bake(self) -> nn.Module:
        """The same function with the context's projection multiplied into the whitening."""
        return self.kernel()

    def kernel(self) -> Rosenblatt:
        """The map of the weights as they are."""
        (m, y), r = self.means.shape, len(self.projection)
        rows = (self.upper.triu(1) + torch.diag_embed(self.log_diagonal.exp())).transpose(1, 2)
        bias = -(rows @ self.means.unsqueeze(2)).reshape(m * y)
        weight = torch.cat((rows[:, :, r:], rows[:, :, :r] @ self.projection), dim=2).reshape(m * y, -1)
        return Rosenblatt(weight, bias, self.log_diagonal, torch.log_softmax(self.log_weights, dim=0), self.d)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Flow.forward`."""
        z, ladj = self.kernel()(x, context)
        return z, ladj

    def inverse(self, z: Tensor, context: Tensor) -> Tensor:
        """See :meth:`Flow.inverse`; by bisection between the components' own quantiles, which hold the mixture's."""
        kernel, x = self.kernel(), torch.zeros_like(z)
        for j in range(self.d):
            u, _, before = kernel.whitened(x, context)  # with x_j = 0
            slope = kernel.log_diagonal[:, kernel.rank + j].exp()
            own = (z[:, j : j + 1] - u[:, :, j]) / slope
            low, high = own.min(dim=1).values, own.max(dim=1).values
            for _ in range(BISECTIONS):
                middle = 0.5 * (low + high)
                u_middle = (u[:, :, j] + slope * middle.unsqueeze(1)).unsqueeze(2)
                less = kernel.normal(u_middle, before[:, :, j : j + 1]).squeeze(1) < z[:, j]
                low, high = torch.where(less, middle, low), torch.where(less, high, middle)
            x[:, j] = 0.5 * (low + high)
        return x

    def sample(self, context: Tensor, generator: torch.Generator) -> Tensor:
        """See :meth:`Flow.sample`; exact: a component by its weight given the context, then its features in turn."""
        kernel, x = self.kernel(), torch.zeros(len(context), self.d)
        z = torch.randn(x.shape, generator=generator)
        weights = kernel.whitened(x, context)[2][:, :, 0].exp()
        which = torch.multinomial(weights, 1, generator=generator)
        for j in range(self.d):
            u_zero = kernel.whitened(x, context)[0][:, :, j].gather(1, which)  # with x_j = 0
            slope = kernel.log_diagonal[:, kernel.rank + j].exp()[which]
            x[:, j] = ((z[:, j : j + 1] - u_zero) / slope).squeeze(1)
        return x

    def solve(self, x: Tensor, context: Tensor, seed: int) -> None:
        """Fit by expectation maximisation, the number of components by BIC."""
        context_rows = context.numpy().astype(np.float64)
        projection = _directions(context_rows, len(self.projection), seed)
        fitted = _expectation_maximisation(np.hstack([context_rows @ projection.T, x.numpy()]), seed)
        self.projection = nn.Buffer(torch.from_numpy(projection).to(x.dtype))
        self._set(
            *(
                torch.from_numpy(part).to(x.dtype)
                for part in (np.log(fitted.weights_), fitted.means_, fitted.precisions_cholesky_)
            )
        )

    def hyperparameters(self) -> dict[str, int]:
        """See :meth:`Flow.hyperparameters`."""
        return {"d": self.d, "context": self.context, "components": len(self.means), "rank": len(self.projection)}


def _directions(context: Floats, rank: int, seed: int) -> Floats:
    """``(rank, c)`` directions of largest variance; the columns themselves where all of them are kept."""
    if rank == context.shape[1]:
        return np.eye(rank)
    from sklearn.utils.extmath import randomized_svd  # as below: a process that only scores does without

    directions: Floats = randomized_svd(context - context.mean(axis=0), rank, random_state=seed % 2**32)[2]
    return np.vstack([directions, np.zeros((rank - len(directions), context.shape[1]))])  # fewer rows than directions


def _expectation_maximisation(rows: Floats, seed: int) -> GaussianMixture:
    """The mixture of least BIC over a share of the rows, refined on all of them."""
    from sklearn.exceptions import ConvergenceWarning  # saves a process that only scores a second and 100 MB
    from sklearn.mixture import GaussianMixture

    rows = rows if len(rows) > 1 else np.repeat(rows, 2, axis=0)  # scikit-learn refuses a single row
    share = np.random.default_rng(seed).permutation(rows)[:CHOICE_ROWS]
    settings = {"reg_covar": RIDGE, "random_state": seed % 2**32}
    with unshared(), warnings.catch_warnings():  # a mixture that has not quite converged is still one
        warnings.simplefilter("ignore", ConvergenceWarning)
        sizes = [m for m in COMPONENTS if m == 1 or m * rows.shape[1] < len(share)]
        candidates = [GaussianMixture(m, **settings).fit(share) for m in sizes]
        best = min(candidates, key=lambda mixture: float(mixture.bic(share)))
        if len(share) == len(rows):
            return best
        start = {"weights_init": best.weights_, "means_init": best.means_, "precisions_init": best.precisions_}
        return GaussianMixture(best.n_components, max_iter=REFINEMENTS, **settings, **start).fit(rows)
