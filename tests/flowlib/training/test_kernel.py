"""The kernel of training: PyTorch's gradients and steps on every path of this processor, and what it leaves alone."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from flowlib.flows import FLOWS, Flow
from flowlib.privacy.clipping import clipped_sum
from flowlib.training import TrainConfig, fit_flow
from flowlib.training import fit as training
from flowlib.training.kernel import Kernel, Weights, learner, trains, used
from flowlib.training.learners import Autograd
from tests.conftest import need
from tests.flowlib.training.cases import batch, fresh, weights

native = need("flowlib.training._gradients")
SEED = 0
SIZES = [(1, 0, 8, 2), (2, 2, 8, 1), (5, 3, 64, 2), (20, 4, 128, 2), (33, 0, 48, 3), (70, 2, 40, 2)]
"""Features, context, units, hidden layers; the last has fewer units than features."""


def flow_of(d: int, context: int, hidden: int, layers: int) -> Flow:
    """A MAF that is not near the identity."""
    generator = torch.Generator().manual_seed(SEED)
    flow = FLOWS["maf"](d, context, generator, blocks=3, hidden=hidden, layers=layers)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return flow


def rows(n: int, d: int, context: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(SEED)
    return torch.randn(n, d, generator=generator), torch.randn(n, context, generator=generator)


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return float((ours - theirs).abs().max()) <= 1e-5 * max(float(theirs.abs().max()), 1e-3)


@pytest.mark.parametrize("path", native.paths())
@pytest.mark.parametrize("size", SIZES)
def test_every_path_gives_pytorchs_likelihoods_and_gradients(path: str, size: tuple[int, int, int, int]) -> None:
    flow, (x, context) = flow_of(*size), rows(131, *size[:2])
    values = flow.log_prob(x, context)
    wanted = torch.autograd.grad(-values.mean(), list(flow.parameters()))
    order = Weights(flow, torch.arange(size[1]), path)
    gradients, got = torch.zeros(order.size), copy.deepcopy(flow)
    ours = order.run(order.of(flow), x, context, gradients, share=1 / 131)
    assert close(ours, values.detach()), f"seed {SEED}"
    for parameter in got.parameters():
        parameter.data.zero_()
    order.store(gradients, got)
    assert all(close(p.detach(), g) for p, g in zip(got.parameters(), wanted, strict=True)), f"seed {SEED}"
    empty = torch.ones(order.size)
    empty[order.held] = 0.0
    assert float((gradients * empty).abs().max()) == 0.0, "masked weights and padding move nowhere"


@pytest.mark.parametrize("size", SIZES)
def test_rows_are_clipped_as_one_by_one(size: tuple[int, int, int, int]) -> None:
    flow, (x, context) = flow_of(*size), rows(100, *size[:2])
    x[3] = float("nan")
    order = Weights(flow, torch.arange(size[1]))
    gradients = torch.zeros(order.size)
    order.run(order.of(flow), x, context, gradients, clip=2.0)
    wanted = copy.deepcopy(flow)
    sums = {id(parameter): total for parameter, total in clipped_sum(flow, x, context, 2.0)}
    for parameter, place in zip(flow.parameters(), wanted.parameters(), strict=True):
        place.data.copy_(sums[id(parameter)])
    assert close(gradients, order.of(wanted)), f"seed {SEED}"


def test_avx2_and_avx512_round_alike() -> None:
    if not {"avx2", "avx512"} <= set(native.paths()):
        pytest.skip("this processor has not both")
    flow, (x, context) = flow_of(19, 2, 64, 2), rows(97, 19, 2)
    vectors = []
    for path in ("avx2", "avx512"):
        kernel = Kernel(flow, copy.deepcopy(flow), torch.arange(2), path)
        for number in range(1, 4):
            kernel.loss(x, context, None)
            kernel.step(number, 1e-2, 0.5, 0.1)
        vectors.append(torch.cat([*kernel.moments().values(), kernel.values(x, context)]))
    assert torch.equal(*vectors)


@pytest.mark.parametrize("path", native.paths())
def test_steps_are_those_of_pytorch(path: str) -> None:
    flows = [flow_of(5, 2, 16, 2) for _ in range(4)]
    flows[3].requires_grad_(False)
    x, context = rows(64, 5, 2)
    ours, theirs = Kernel(flows[0], flows[1], torch.arange(2), path), Autograd(flows[2], flows[3])
    for number in range(1, 20):
        for each in (ours, theirs):
            each.loss(x, context, lambda values: 3)
            each.step(number, 1e-3, 1.0, 0.2)
    ours.store()
    for one, other in ((flows[0], flows[2]), (flows[1], flows[3])):
        difference = (Weights(one, torch.arange(2)).of(one) - Weights(one, torch.arange(2)).of(other)).abs()
        assert float(difference.max()) < 2e-5, "of steps of 1e-3"


def test_gradients_that_are_not_finite_move_nothing() -> None:
    flow, (x, context) = flow_of(3, 0, 8, 2), rows(8, 3, 0)
    before = weights(flow)
    kernel = Kernel(flow, flow, torch.arange(0))
    kernel.loss(x * 1e30, context, None)
    kernel.step(1, 1e-2, 1.0, 0.5)
    kernel.store()
    assert torch.equal(weights(flow), before)


def test_columns_of_the_context_that_no_row_has_keep_their_weights() -> None:
    flow, valid = flow_of(3, 4, 8, 2), torch.zeros(5, 4)
    context = torch.zeros(9, 4)
    context[2, 1] = valid[3, 2] = 1.0
    assert used((context, valid)).tolist() == [1, 2]
    order, other = Weights(flow, used((context, valid))), copy.deepcopy(flow)
    order.store(torch.zeros(order.size), other)
    blocks: tuple[Any, Any] = (flow.blocks, other.blocks)
    for before, after in zip(*blocks, strict=True):
        assert torch.equal(after.net[0].weight[:, [3, 6]], before.net[0].weight[:, [3, 6]])
        learnt = after.net[0].weight * after.net[0].mask
        assert not learnt[:, [0, 1, 2, 4, 5]].any()


def test_what_the_kernel_does_not_know_is_left_to_pytorch() -> None:
    generator = torch.Generator().manual_seed(SEED)
    for family in FLOWS:
        assert trains(FLOWS[family](4, 0, generator)) == (family == "maf")
    coded = learner(fresh(), fresh(), (torch.zeros(3, 2),), coded=True)
    assert isinstance(coded, Autograd)
    assert not trains(fresh().double())


def test_it_learns_what_pytorch_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    data, config = (batch(600, 1, 2.0), batch(300, 2, 2.0)), TrainConfig(max_steps=150, check_every=50, batch=64)
    ours = fit_flow(fresh(), *data, config, SEED)
    monkeypatch.setattr(training, "learner", lambda flow, average, *_: Autograd(flow, average))
    assert fit_flow(fresh(), *data, config, SEED) == pytest.approx(ours, abs=2e-3)


def test_arrays_that_do_not_fit_are_refused() -> None:
    flow, (x, context) = flow_of(3, 2, 8, 2), rows(8, 3, 2)
    order = Weights(flow, torch.arange(2))
    with pytest.raises(ValueError, match="this pass takes"):
        order.run(order.of(flow), x[:, :2], context)
    with pytest.raises(ValueError, match="this pass takes"):
        order.run(order.of(flow)[1:], x, context)
    with pytest.raises(ValueError, match="has no path"):
        Weights(flow, torch.arange(2), "abacus")
    stops = np.array([2] * 15 + [1], np.int32)
    hidden, last = (2, 1, 16, 0, 32, stops), (16, 2, 16, 48, 560, np.full(16, 16, np.int32))
    with pytest.raises(ValueError, match="do not ascend"):
        native.Pass(2, 0, 592, [(np.arange(2, dtype=np.int32), np.arange(2, dtype=np.int32), [hidden, last])])
