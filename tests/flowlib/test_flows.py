"""Every flow of the registry: Jacobian, inverse, order, and the form that is compiled."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flowlib.engines import EngineError, build
from flowlib.flows import FLOWS, Maf
from flowlib.flows.stack import Baked
from flowlib.training import log_prob

D, CONTEXT = 4, 3


@pytest.fixture(params=sorted(FLOWS))
def flow(request: pytest.FixtureRequest) -> torch.nn.Module:
    """A flow with weights far from their start, so that nothing is near the identity."""
    made = FLOWS[request.param](D, CONTEXT, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weights in made.parameters():
            weights += 0.1 * torch.randn(weights.shape, generator=generator)
    return made.double().eval()


def _rows(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(3)
    return torch.randn(n, D, generator=g, dtype=torch.float64), torch.rand(n, CONTEXT, generator=g, dtype=torch.float64)


def test_ladj_is_the_jacobians(flow: torch.nn.Module) -> None:
    x, context = _rows(5)
    _, ladj = flow(x, context)
    for i in range(5):
        jacobian = torch.autograd.functional.jacobian(lambda v, i=i: flow(v[None], context[i : i + 1])[0][0], x[i])
        assert torch.linalg.slogdet(jacobian).logabsdet.item() == pytest.approx(ladj[i].sum().item(), abs=1e-8)


def test_inverse_undoes_forward(flow: torch.nn.Module) -> None:
    x, context = _rows(50)
    z, _ = flow(x, context)
    torch.testing.assert_close(flow.inverse(z, context), x, atol=1e-7, rtol=1e-7)


def test_the_baked_form_is_the_same_function(flow: torch.nn.Module) -> None:
    x, context = _rows(50)
    for ours, baked in zip(flow(x, context), flow.bake().double()(x, context), strict=True):
        torch.testing.assert_close(ours, baked)


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_the_density_integrates_to_one(name: str) -> None:
    made = FLOWS[name](2, 1, torch.Generator().manual_seed(5)).double().eval()
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for weights in made.parameters():
            weights += 0.1 * torch.randn(weights.shape, generator=generator)
        axis = torch.linspace(-25, 25, 701, dtype=torch.float64)
        grid = torch.cartesian_prod(axis, axis)
        total = (
            log_prob(made, grid, torch.zeros(len(grid), 1, dtype=torch.float64)).exp().sum() * (axis[1] - axis[0]) ** 2
        )
    assert total.item() == pytest.approx(1.0, abs=5e-3)


def test_a_compiled_flow_that_disagrees_is_not_used(flow: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = flow.float()
    build(flow, "torchscript")
    monkeypatch.setattr(type(flow), "bake", _another)
    with pytest.raises(EngineError, match="differ"):
        build(flow, "torchscript")


def _another(flow: torch.nn.Module) -> torch.nn.Module:
    return Baked([block.baked() for block in Maf(D, CONTEXT, torch.Generator().manual_seed(9)).chain])


def test_any_number_of_rows_goes_through_the_engine(flow: torch.nn.Module) -> None:
    engine = build(flow.float())
    x, context = (part.float().numpy() for part in _rows(1_100))
    z, ladj = engine(x, context)
    for n in (0, 1, 511, 512, 513):
        some_z, some_ladj = engine(x[:n], context[:n])
        np.testing.assert_array_equal(some_z, z[:n])
        np.testing.assert_array_equal(some_ladj, ladj[:n])
