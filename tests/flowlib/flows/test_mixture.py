"""The Gaussian mixture: the same density as its formula, given the context, and its fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from flowlib.checks import example_batch
from flowlib.flows import Mixture
from flowlib.flows.mixture import RANK_MAX
from tests.flowlib.flow_cases import a_flow


def solved(x: np.ndarray, context: np.ndarray, seed: int = 0) -> Mixture:
    flow = Mixture(x.shape[1], context.shape[1], torch.Generator().manual_seed(0))
    flow.solve(torch.from_numpy(x).float(), torch.from_numpy(context).float(), seed)
    return flow


def two_clusters(n: int, seed: int) -> np.ndarray:
    g = np.random.default_rng(seed)
    x = g.standard_normal((n, 2)) @ np.array([[0.5, 0.3], [0.0, 0.4]])
    x[g.random(n) < 0.3] += 5.0
    return x


def test_the_density_is_the_formulas() -> None:
    flow = a_flow("mixture", 3, 2)
    assert isinstance(flow, Mixture)
    x, context = example_batch(20, 3, 2, scale=3.0)
    y = torch.cat((context, x), dim=1).numpy()
    whitening = (flow.upper.triu(1) + torch.diag_embed(flow.log_diagonal.exp())).numpy()
    weights = torch.softmax(flow.log_weights, 0).numpy()

    def mixed(y: np.ndarray, k: int) -> np.ndarray:
        parts = [
            w * stats.multivariate_normal(m[:k], np.linalg.inv(u @ u.T)[:k, :k]).pdf(y[:, :k])
            for w, m, u in zip(weights, flow.means.numpy(), whitening, strict=True)
        ]
        return np.sum(parts, axis=0)

    z, ladj = flow(x, context)
    parts = (ladj - 0.5 * z * z).numpy() - 0.5 * np.log(2 * np.pi)
    for j in range(3):
        np.testing.assert_allclose(parts[:, j], np.log(mixed(y, 3 + j) / mixed(y, 2 + j)), rtol=1e-8, atol=1e-8)


def test_each_coordinate_sees_those_before_it_only() -> None:
    flow = a_flow("mixture", 4, 2)
    x, context = example_batch(1, 4, 2)
    seen = torch.autograd.functional.jacobian(lambda v: flow(v[None], context)[0][0], x[0]) != 0
    assert torch.equal(seen, torch.ones(4, 4).tril().bool())


def test_quantiles_hold_from_the_middle_to_the_farthest_tail() -> None:
    flow = a_flow("mixture", 1, 0)
    assert isinstance(flow, Mixture)
    kernel = flow.kernel()
    z = -torch.cat([torch.linspace(0, 8, 300), torch.linspace(8, 3_000, 300)]).double()
    torch.testing.assert_close(kernel.quantile(torch.special.log_ndtr(z)), z, rtol=1e-9, atol=1e-9)
    single = kernel.float().quantile(torch.special.log_ndtr(z.float()))
    torch.testing.assert_close(single.double(), z, rtol=1e-5, atol=1e-5)


def test_bic_counts_the_clusters_and_em_finds_them() -> None:
    flow = solved(two_clusters(3_000, 1), np.zeros((3_000, 0)))
    assert flow.hyperparameters()["components"] == 2
    assert np.sort(np.exp(flow.log_weights.numpy())) == pytest.approx([0.3, 0.7], abs=0.03)
    assert np.sort(flow.means.numpy()[:, 0]) == pytest.approx([0.0, 5.0], abs=0.1)


def test_samples_have_the_mixtures_moments() -> None:
    x = two_clusters(3_000, 1)
    drawn = solved(x, np.zeros((3_000, 0))).sample(torch.zeros(20_000, 0), torch.Generator().manual_seed(5)).numpy()
    np.testing.assert_allclose(drawn.mean(axis=0), x.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(x.T), rtol=0.06)


def test_the_same_seed_gives_the_same_mixture() -> None:
    x, context = two_clusters(500, 2), np.random.default_rng(3).random((500, 20))
    one, again = (solved(x, context, seed=7).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], again[name]) for name in one)


def test_a_wide_context_is_projected_and_still_conditions() -> None:
    g = np.random.default_rng(4)
    context = np.eye(40)[g.integers(40, size=2_000)]
    context[:, 0] = g.random(2_000) < 0.5
    x = 4.0 * context[:, :1] + 0.5 * g.standard_normal((2_000, 1))
    flow = solved(x, context)
    assert flow.hyperparameters()["rank"] == RANK_MAX
    contexts = torch.zeros(2, 40)
    contexts[1, 0] = 1.0
    z, _ = flow(torch.tensor([[4.0], [4.0]]), contexts)
    assert z[0, 0] > 3
    assert abs(z[1, 0]) < 1


@pytest.mark.parametrize("n", [1, 2, 3, 20])
def test_few_rows_and_constant_columns_have_finite_results(n: int) -> None:
    x = np.column_stack([np.random.default_rng(n).standard_normal(n), np.full(n, 2.0)])
    flow = solved(x, np.zeros((n, 30)))
    z, ladj = flow(torch.from_numpy(x).float(), torch.zeros(n, 30))
    assert z.isfinite().all()
    assert ladj.isfinite().all()


def test_more_directions_than_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="no 4 directions"):
        Mixture(2, 3, torch.Generator(), rank=4)
