"""Every flow of the registry: a density, its parts, its inverse, its samples, and the form that is compiled."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from flowlib.artifact import Ed25519PrivateKey, key_id, load, pack
from flowlib.checks import FLOW_CHECKS, FlowMaker, loosened
from flowlib.checks.flows import check_far_out, check_single_precision
from flowlib.density import Density
from flowlib.engines import EngineError, build
from flowlib.flows import FLOWS, Flow, Maf
from flowlib.flows.stack import Blocks
from flowlib.layouts import splits
from flowlib.training import TrainConfig, TrainingRows, fit_flow
from tests.flowlib.conftest import SPEC, draw, trained
from tests.flowlib.flow_cases import NAMES, a_flow, family, small

D, CONTEXT = 4, 3
EVERY = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(params=NAMES)
def flow(request: pytest.FixtureRequest) -> Flow:
    return a_flow(request.param, D, CONTEXT)


def test_the_registry_holds_these_families() -> None:
    assert {"maf", "spline_autoregressive", "spline_coupling", "affine_coupling", "mixture", "ensemble"} <= set(FLOWS)
    assert [name for name in NAMES if not FLOWS[name].bijective] == ["ensemble"]


@EVERY
@pytest.mark.parametrize("check", FLOW_CHECKS, ids=lambda check: check.__name__)
def test_every_family_passes(name: str, check: Callable[[FlowMaker], None]) -> None:
    check(family(name))


@EVERY
@pytest.mark.parametrize("check", [check_far_out, check_single_precision], ids=lambda check: check.__name__)
def test_every_family_passes_at_its_default_size(name: str, check: Callable[[FlowMaker], None]) -> None:
    check(FLOWS[name])


@EVERY
@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_context_reaches_every_scale(name: str, d: int) -> None:
    flow = a_flow(name, d, 2)
    x = torch.full((1, d), 0.3, dtype=torch.float64)
    ladj, other = (flow(x, torch.tensor([c], dtype=torch.float64))[1] for c in ([0.0, 1.0], [1.0, 0.0]))
    assert ((ladj - other).abs() > 1e-6).all()


def test_an_affine_flow_without_weights_has_the_moments_of_its_biases() -> None:
    flow = Maf(2, 0, torch.Generator().manual_seed(1), blocks=1)
    last = flow.chain[0].net[-1]
    with torch.no_grad():
        for weights in flow.parameters():
            weights.zero_()
        last.bias.copy_(torch.tensor([3.0, -1.0, 0.5, -0.7]))
    drawn = flow.sample(torch.zeros(20_000, 0), torch.Generator().manual_seed(13)).numpy()
    scale = np.exp([2 * math.tanh(0.25), -2 * math.tanh(0.35)])
    np.testing.assert_allclose(drawn.mean(axis=0), [3.0, -1.0], atol=0.05)
    np.testing.assert_allclose(drawn.std(axis=0), scale, rtol=0.03)


def _by_context(n: int, seed: int, shift: float, bend: float) -> TrainingRows:
    """Two features, the first moved by the context, the second bent by the first."""
    g = torch.Generator().manual_seed(seed)
    context = (torch.rand(n, 1, generator=g) < 0.5).float()
    z = torch.randn(n, 2, generator=g)
    x = torch.stack((0.5 * z[:, 0] + shift * (context[:, 0] - 0.5), 0.4 * z[:, 1]), dim=1)
    x[:, 1] += bend * torch.sin(2.0 * x[:, 0])
    return TrainingRows(x, context, torch.zeros(n, 2, dtype=torch.bool))


@EVERY
@pytest.mark.parametrize(
    ("shift", "bend", "short"), [(2.0, 1.0, 0.2), (16.0, 0.0, 2.0)], ids=["bend", "beyond splines"]
)
def test_training_finds_a_shift_by_context(name: str, shift: float, bend: float, short: float) -> None:
    """In so few steps to ``short`` nats; a flow that left ±8 where it is would miss by 30."""
    flow = FLOWS[name](2, 1, torch.Generator().manual_seed(1), **small(name, blocks=4, hidden=32))
    train, valid = _by_context(3_000, 1, shift, bend), _by_context(1_000, 2, shift, bend)
    reached = fit_flow(flow, train, valid, TrainConfig(max_steps=250, check_every=50), seed=3)
    true = -(math.log(2 * math.pi) + 1.0) - math.log(0.5) - math.log(0.4)
    assert true - short < reached < true + 0.06, "0.06: two standard errors of the validation rows"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "maf"])
def test_a_model_of_any_family_travels_as_bytes(name: str) -> None:
    config = replace(trained(max_steps=4, check_every=2), flow_name=name)
    density = Density.fit(SPEC, draw(600, 1), draw(200, 2), draw(300, 3), 0, config)
    key = Ed25519PrivateKey.generate()
    again = load(pack(density, key), {key_id(key.public_key()): key.public_key()})
    table = draw(100, 4)
    assert again.flow_name == name
    assert density.score(table).scorable.all()
    np.testing.assert_array_equal(again.score(table).parts, density.score(table).parts)


def test_another_family_than_the_old_models_starts_afresh(density: Density) -> None:
    config = replace(trained(max_steps=2, check_every=1), flow_name="affine_coupling")
    fitted = Density.fit(SPEC, draw(300, 1), draw(100, 2), draw(100, 3), 0, config, warm_start=density)
    assert type(fitted.flow) is FLOWS["affine_coupling"]
    assert fitted.encoder is density.encoder


@pytest.mark.parametrize("d", [2, 3, 8, 17])
def test_coupling_sets_every_two_features_apart_both_ways(d: int) -> None:
    kept = torch.from_numpy(np.stack(splits(d, None)))
    for i in range(d):
        for j in range(d):
            assert i == j or (kept[:, i] & ~kept[:, j]).any(), f"{j} is never changed given {i}"
    assert (~kept).any(dim=1).all()
    assert kept.any(dim=1).all()


def test_a_compiled_flow_that_disagrees_is_not_used(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = flow.float()
    build(flow, "torchscript")
    monkeypatch.setattr(type(flow), "bake", _another)
    with pytest.raises(EngineError, match="differ"):
        build(flow, "torchscript")


def _another(_: Flow) -> torch.nn.Module:
    other = loosened(Maf(D, CONTEXT, torch.Generator().manual_seed(9)))
    assert isinstance(other, Maf)
    return Blocks([block.baked() for block in other.chain])
