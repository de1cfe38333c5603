"""Every flow of the registry: a density, its parts, its inverse, its samples, and the form that is compiled."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from flowlib.artifact import Ed25519PrivateKey, key_id, load, pack
from flowlib.density import Density
from flowlib.engines import EngineError, build
from flowlib.flows import FLOWS, Flow, Maf
from flowlib.flows.stack import Blocks, splits
from flowlib.training import TrainConfig, TrainingRows, fit_flow
from tests.flowlib.conftest import SPEC, draw, trained
from tests.flowlib.flow_cases import NAMES, a_flow, loosened, rows, small

D, CONTEXT = 4, 3
BIJECTIONS = [name for name in NAMES if FLOWS[name].bijective]
EVERY = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(params=NAMES)
def flow(request: pytest.FixtureRequest) -> Flow:
    return a_flow(request.param, D, CONTEXT)


def test_what_is_there() -> None:
    assert {"maf", "spline_autoregressive", "spline_coupling", "affine_coupling", "mixture", "ensemble"} <= set(FLOWS)
    assert set(NAMES) - set(BIJECTIONS) == {"ensemble"}


@pytest.mark.parametrize("name", BIJECTIONS)
@pytest.mark.parametrize("d", [1, 2, 4])
def test_ladj_is_the_jacobians(name: str, d: int) -> None:
    flow = a_flow(name, d)
    x, context = rows(6, d, scale=2.0)
    _, ladj = flow(x, context)
    for i in range(len(x)):
        jacobian = torch.autograd.functional.jacobian(lambda v, i=i: flow(v[None], context[i : i + 1])[0][0], x[i])
        assert torch.linalg.slogdet(jacobian).logabsdet.item() == pytest.approx(ladj[i].sum().item(), abs=1e-8)


@EVERY
@pytest.mark.parametrize("d", [1, 2, 4])
def test_inverse_undoes_forward_and_forward_inverse(name: str, d: int) -> None:
    flow = a_flow(name, d)
    x, context = rows(50, d, scale=2.0)
    torch.testing.assert_close(flow.inverse(flow(x, context)[0], context), x, atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(flow(flow.inverse(x, context), context)[0], x, atol=1e-7, rtol=1e-7)


@EVERY
def test_the_density_integrates_to_one_in_one_dimension(name: str) -> None:
    flow, context = a_flow(name, 1, 2), torch.tensor([[0.3, 0.9]], dtype=torch.float64)
    axis = torch.linspace(-40, 40, 20_001, dtype=torch.float64)
    with torch.no_grad():
        density = flow.log_prob(axis[:, None], context.expand(len(axis), -1)).exp()
    assert torch.trapezoid(density, axis).item() == pytest.approx(1.0, abs=1e-4)


@EVERY
def test_the_density_integrates_to_one_in_two_dimensions(name: str) -> None:
    flow, context = a_flow(name, 2, 1, spread=0.07), torch.tensor([[0.6]], dtype=torch.float64)
    axis = torch.linspace(-12, 12, 361, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        total = flow.log_prob(grid, context.expand(len(grid), -1)).exp().sum() * (axis[1] - axis[0]) ** 2
    assert total.item() == pytest.approx(1.0, abs=5e-3)


@EVERY
@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_context_reaches_every_coordinate(name: str, d: int) -> None:
    flow = a_flow(name, d, 2)
    x = torch.full((1, d), 0.3, dtype=torch.float64)
    one, other = (torch.tensor([c], dtype=torch.float64) for c in ([0.0, 1.0], [1.0, 0.0]))
    (z, ladj), (z_other, ladj_other) = flow(x, one), flow(x, other)
    assert ((z - z_other).abs() > 1e-6).all()
    assert ((ladj - ladj_other).abs() > 1e-6).all()


@EVERY
def test_far_out_rows_have_a_density_too(name: str) -> None:
    flow = loosened(FLOWS[name](D, CONTEXT, torch.Generator().manual_seed(1)))
    far = torch.cat(
        [torch.eye(D) * s for s in (60.0, -60.0)] + [torch.full((1, D), s) for s in (60.0, -60.0, 5.0, -5.0)]
    )
    context = torch.zeros(len(far), CONTEXT)
    for z, ladj in (flow(far, context), map(torch.from_numpy, build(flow)(far.numpy(), context.numpy()))):
        total = (ladj - 0.5 * z * z).sum(dim=1)
        assert z.isfinite().all()
        assert total.isfinite().all()
        assert (total[:10] < total[-2:].max()).all(), "and a lower one than nearer rows"


@EVERY
def test_parts_stay_exact_in_single_precision_far_out(name: str) -> None:
    flow = loosened(FLOWS[name](D, CONTEXT, torch.Generator().manual_seed(1)), 0.05)
    x, context = (part.float() for part in rows(300, scale=10.0))
    single = flow.log_prob(x, context).double()
    double = flow.double().log_prob(x.double(), context.double())
    torch.testing.assert_close(single, double, rtol=1e-4, atol=1e-3)


@EVERY
@pytest.mark.parametrize("d", [1, 4])
def test_eager_baked_and_compiled_are_the_same_function(name: str, d: int) -> None:
    flow = a_flow(name, d)
    x, context = rows(50, d, scale=3.0)
    for ours, baked in zip(flow(x, context), flow.bake().double()(x, context), strict=True):
        torch.testing.assert_close(ours, baked)
    engine = build(flow.float())
    single = flow(x.float(), context.float())
    for ours, compiled in zip(single, engine(x.float().numpy(), context.float().numpy()), strict=True):
        torch.testing.assert_close(ours, torch.from_numpy(compiled), rtol=1e-4, atol=1e-4)


@EVERY
def test_no_context_and_one_feature_are_enough(name: str) -> None:
    flow = loosened(FLOWS[name](1, 0, torch.Generator().manual_seed(1)))
    z, ladj = build(flow)(np.array([[0.5]], dtype=np.float32), np.zeros((1, 0), dtype=np.float32))
    assert np.isfinite(z).all()
    assert np.isfinite(ladj).all()
    assert flow.sample(torch.zeros(7, 0), torch.Generator().manual_seed(2)).shape == (7, 1)


@EVERY
def test_samples_follow_the_density(name: str) -> None:
    flow, context = a_flow(name, 1, 2), torch.tensor([[0.3, 0.9]], dtype=torch.float64)
    axis = torch.linspace(-40, 40, 20_001, dtype=torch.float64)
    with torch.no_grad():
        cdf = torch.cumulative_trapezoid(flow.log_prob(axis[:, None], context.expand(len(axis), -1)).exp(), axis)
    drawn = flow.float().sample(context.float().expand(4_000, -1), torch.Generator().manual_seed(11))[:, 0].numpy()
    found = stats.kstest(drawn, lambda v: np.interp(v, axis[1:].numpy(), cdf.numpy()))
    assert found.pvalue > 1e-3, found


@pytest.mark.parametrize("name", BIJECTIONS)
def test_samples_go_back_to_independent_normals(name: str) -> None:
    flow = a_flow(name).float()
    context = rows(4_000)[1].float()
    with torch.no_grad():
        z, _ = flow(flow.sample(context, torch.Generator().manual_seed(12)), context)
    worst = min(stats.kstest(z[:, j].numpy(), "norm").pvalue for j in range(D))
    assert worst > 1e-3
    assert np.abs(np.corrcoef(z.numpy(), rowvar=False) - np.eye(D)).max() < 0.08


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
    kept = torch.stack(splits(d, None))
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


def test_any_number_of_rows_goes_through_the_engine(flow: Flow) -> None:
    engine = build(flow.float())
    x, context = (part.float().numpy() for part in rows(1_100))
    z, ladj = engine(x, context)
    for n in (0, 1, 511, 512, 513):
        some_z, some_ladj = engine(x[:n], context[:n])
        np.testing.assert_array_equal(some_z, z[:n])
        np.testing.assert_array_equal(some_ladj, ladj[:n])
