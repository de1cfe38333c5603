"""Private training: the accountant's figures, the noise, and an attack that fails."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import kstest, norm

from flowlib.density import Density
from flowlib.encoder.spec import EncoderConfig, FeatureSpec
from flowlib.fit_config import FitConfig
from flowlib.flows import FLOWS, Flow
from flowlib.flows.nets import MaskedLinear
from flowlib.privacy import (
    Keystream,
    Membership,
    PrivateConfig,
    Spent,
    epsilon_of,
    fit_private,
    membership_advantage,
    noise_for,
)
from flowlib.privacy.steps import AutogradSteps, KernelSteps, Steps
from flowlib.table import Table
from flowlib.training import TrainConfig, TrainingRows, fit_flow
from flowlib.training.kernel import normals
from tests.conftest import need
from tests.flowlib.privacy.cases import maf

KEY = bytes(range(32))


def test_epsilon_of_one_gaussian_step_is_the_closed_form() -> None:
    """Balle & Wang, "Improving the Gaussian Mechanism", arXiv 1805.06530, theorem 8."""

    def delta(epsilon: float, noise: float) -> float:
        a, b = 1 / (2 * noise), epsilon * noise
        return float(norm.cdf(a - b) - math.exp(epsilon) * norm.cdf(-a - b))

    for noise in (0.7, 1.0, 4.0):
        exact = brentq(lambda e, noise=noise: delta(e, noise) - 1e-5, 0, 50)
        assert epsilon_of([Spent(noise, 1.0, 1)], 1e-5) == pytest.approx(exact, abs=1e-3)


def test_epsilon_adds_up_and_noise_is_found_for_it() -> None:
    assert epsilon_of([], 1e-5) == 0.0
    noise = noise_for(2.0, 1e-5, 0.02, 200)
    one = Spent(noise, 0.02, 200)
    assert 1.9 < epsilon_of([one], 1e-5) <= 2.0
    twice = epsilon_of([one, one], 1e-5)
    assert twice == pytest.approx(epsilon_of([Spent(noise, 0.02, 400)], 1e-5), abs=1e-2)
    assert 2.0 < twice < 4.0
    with pytest.raises(ValueError, match="raise epsilon"):
        noise_for(1e-6, 1e-9, 1.0, 10_000)


def test_the_keystream_is_normal_uniform_and_told_by_its_key_alone() -> None:
    normals = Keystream(KEY).normals(200, 100)
    assert torch.equal(normals, Keystream(KEY).normals(200, 100))
    assert not torch.equal(normals, Keystream(KEY[::-1]).normals(200, 100))
    assert kstest(normals.flatten().numpy(), norm.cdf).pvalue > 1e-3
    stream = Keystream(KEY)
    sizes = [len(stream.rows(10_000, 0.05)) for _ in range(200)]
    assert np.mean(sizes) == pytest.approx(500, abs=4 * math.sqrt(475 / 200))
    assert np.var(sizes) == pytest.approx(475, rel=0.4), "a Poisson sample, not a fixed size"
    with pytest.raises(ValueError, match="31 bytes"):
        Keystream(KEY[1:])


@pytest.mark.parametrize("steps", [KernelSteps, AutogradSteps])
def test_private_steps_add_the_noise_that_is_stated(steps: type[Steps]) -> None:
    """Far-out rows are clipped, so what is left is the noise: its size is σ · clip, on each weight that rows move."""
    need("flowlib.training._gradients")
    flow, features, context = maf(n=200)
    noised = steps(flow).noised(features, context, 2.0, 50.0, Keystream(KEY).normals)
    masked = sum(int((layer.mask == 0).sum()) for layer in flow.modules() if isinstance(layer, MaskedLinear))
    assert len(noised) == sum(parameter.numel() for parameter in flow.parameters()) - masked
    assert float(noised.std()) == pytest.approx(100.0, rel=0.05)


def test_the_kernel_steps_as_pytorch_does() -> None:
    need("flowlib.training._gradients")
    moved = []
    for steps in (KernelSteps, AutogradSteps):
        flow, features, context = maf(n=200)
        each = steps(flow)
        for number in range(1, 6):
            each.noised(features, context, 1.0, 0.0, Keystream(KEY).normals)
            each.step(number, 1e-3, 100.0)
        each.store()
        with torch.no_grad():
            moved.append(flow.log_prob(features, context))
    torch.testing.assert_close(*moved, rtol=1e-4, atol=1e-3)


def test_normals_are_those_of_their_words_into_the_far_tails() -> None:
    words = np.random.default_rng(0).integers(0, 2**64, 10_000, dtype=np.uint64)
    words[:60] = (2.0 ** np.linspace(12, 63.9, 60)).astype(np.uint64)
    words[60:120] = ~words[:60]
    wanted = norm.ppf(((words >> np.uint64(12)) + 0.5) * 2.0**-52)
    np.testing.assert_allclose(normals(words.tobytes()), wanted, rtol=2e-6, atol=2e-6)


def rows_of(n: int, seed: int) -> TrainingRows:
    generator = torch.Generator().manual_seed(seed)
    return TrainingRows(torch.randn(n, 6, generator=generator), torch.zeros(n, 6), torch.zeros(n, 6, dtype=torch.bool))


def attack(flow: Flow, members: TrainingRows, others: TrainingRows) -> Membership:
    with torch.no_grad():
        scores = [flow.log_prob(part.features, part.context).double().numpy() for part in (members, others)]
    return membership_advantage(*scores)


def test_a_table_of_slices_is_refused_and_not_left_at_its_random_start() -> None:
    g = np.random.default_rng(0)
    slices = np.array(["a", "b"], dtype=object)[np.arange(300) % 2]
    table = Table.of(g.standard_normal((300, 2)), slices=slices)

    def learn(flow: Flow, train: TrainingRows, _: TrainingRows, __: int) -> Spent:
        return fit_private(flow, train, PrivateConfig(1.0, 0.5, 1), Keystream(KEY))

    def fit(context: tuple[str, ...]) -> Density:
        spec, settings = FeatureSpec(("x", "y")), EncoderConfig(context=context)
        return Density.fit(spec, table, table, table, 0, FitConfig(learn=learn, encoder=settings))

    with pytest.raises(ValueError, match='fit without "slice"'):
        fit(("slice",))
    assert fit(("hour",)).encoder.slices == ()


def test_an_overfitted_flow_is_caught_and_a_private_one_is_not() -> None:
    members, others = rows_of(200, 1), rows_of(200, 2)
    flow = FLOWS["maf"](6, 6, torch.Generator().manual_seed(0), hidden=64)
    untrained = attack(flow, members, others)
    # Validated on its own training rows, so that nothing stops it, and without blur.
    fit_flow(flow, members, members, TrainConfig(max_steps=400, batch=200, noise=0.0, lr=5e-3), 0)
    caught = attack(flow, members, others)
    assert caught.advantage_95[0] > 0.3
    assert caught.auc_95[0] > 0.7
    private = FLOWS["maf"](6, 6, torch.Generator().manual_seed(0), hidden=64)
    plan = PrivateConfig(noise_for(3.0, 1e-3, 0.5, 200), 0.5, 200, noise=0.0)
    fit_private(private, members, plan, Keystream(KEY))
    safe = attack(private, members, others)
    for guess in (untrained, safe):
        assert guess.advantage_95[0] < 0.1
        assert guess.auc_95[0] < 0.5 < guess.auc_95[1] + 0.02


def test_private_training_learns_and_says_what_it_cost() -> None:
    generator = torch.Generator().manual_seed(3)
    features = 0.5 * torch.randn(4_000, 2, generator=generator) + torch.tensor([1.0, -1.0])
    batch = TrainingRows(features, torch.zeros(4_000, 2), torch.zeros(4_000, 2, dtype=torch.bool))
    flow = FLOWS["maf"](2, 2, torch.Generator().manual_seed(0), blocks=2, hidden=16)
    with torch.no_grad():
        before = float(flow.log_prob(features, batch.context).mean())
    steps: list[int] = []
    config = PrivateConfig(1.0, 0.1, 150)
    spent = fit_private(flow, batch, config, Keystream(KEY), lambda p: steps.append(p.step))
    with torch.no_grad():
        after = float(flow.log_prob(features, batch.context).mean())
    assert spent == Spent(1.0, 0.1, 150)
    assert after > before + 0.3
    assert steps[-1] == 150
