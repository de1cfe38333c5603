"""Gradients of single rows: those of autograd, clipped; and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from flowlib.flows import Flow
from flowlib.privacy.clipping import clipped_sum
from tests.flowlib.privacy.cases import maf


class Plain(Flow):
    """An affine density with a plain layer, an embedding of the context's first column, and nothing masked."""

    def __init__(self) -> None:
        super().__init__()
        self.d, self.context = 3, 2
        self.net, self.place = nn.Linear(2, 3), nn.Embedding(4, 3)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        log_scale = self.net(context)
        return (x - self.place(context[:, 0].long())) * torch.exp(log_scale), log_scale

    def inverse(self, z: Tensor, context: Tensor) -> Tensor:
        return z

    def bake(self) -> nn.Module:
        return self

    def hyperparameters(self) -> dict[str, int]:
        return {}


def plain() -> tuple[Flow, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    flow = Plain()
    for parameter in flow.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    context = torch.stack([torch.arange(30) % 4, torch.rand(30, generator=generator)], dim=1)
    return flow, torch.randn(30, 3, generator=generator), context


def one_by_one(flow: Flow, features: Tensor, context: Tensor) -> list[list[Tensor]]:
    """The definition: autograd, a row at a time."""
    grads = []
    for i in range(len(features)):
        loss = -flow.log_prob(features[i : i + 1], context[i : i + 1]).sum()
        grads.append([g.clone() for g in torch.autograd.grad(loss, list(flow.parameters()))])
    return grads


@pytest.mark.parametrize("example", [maf, plain])
def test_clipped_sums_are_those_of_autograd_row_by_row(example: Callable[[], tuple[Flow, Tensor, Tensor]]) -> None:
    flow, features, context = example()
    rows = one_by_one(flow, features, context)
    norms = torch.tensor([math.sqrt(sum(float((g**2).sum()) for g in row)) for row in rows])
    # Below every norm each row is scaled by its own: a wrong norm shows in the sum.
    for clip in (float(norms.median()), 0.5 * float(norms.min())):
        got = {id(parameter): total for parameter, total in clipped_sum(flow, features, context, clip)}
        assert (norms > clip).any()
        for k, parameter in enumerate(flow.parameters()):
            wanted = sum(row[k] * min(1.0, clip / float(norm)) for row, norm in zip(rows, norms, strict=True))
            torch.testing.assert_close(got[id(parameter)], wanted, rtol=1e-4, atol=1e-4)
    assert (norms < norms.median()).any()
    assert all(parameter.requires_grad for parameter in flow.parameters())


def test_no_row_moves_the_sum_by_more_than_the_clipping_norm() -> None:
    """What the guarantee stands on, checked at the sum itself; a far-out row would move it by thousands."""
    flow, features, context = maf()
    features[0] = 1e4
    with_it = clipped_sum(flow, features, context, 0.5)
    without = clipped_sum(flow, features[1:], context[1:], 0.5)
    moved = math.sqrt(sum(float(((a - b) ** 2).sum()) for (_, a), (_, b) in zip(with_it, without, strict=True)))
    assert 0.0 < moved <= 0.5 * (1 + 1e-3)
    features[0] = float("nan")
    for (_, a), (_, b) in zip(clipped_sum(flow, features, context, 0.5), without, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_an_empty_sample_is_a_step_of_noise_alone() -> None:
    flow, features, context = maf()
    assert all(float(total.abs().sum()) == 0.0 for _, total in clipped_sum(flow, features[:0], context[:0], 1.0))


def test_layers_whose_rows_are_not_known_are_refused() -> None:
    flow, features, context = plain()
    flow.net = nn.Sequential(flow.net, nn.LayerNorm(3))
    with pytest.raises(ValueError, match="LayerNorm: private training knows"):
        clipped_sum(flow, features, context, 1.0)
    flow, features, context = plain()
    shared = flow.net
    flow.net = nn.Sequential(shared, nn.Linear(3, 2), shared)
    with pytest.raises(ValueError, match="used twice in one pass"):
        clipped_sum(flow, features, context, 1.0)
    assert all(parameter.requires_grad for parameter in flow.parameters())
