"""The same flows in zuko, on our weights: an independent implementation agrees to 1e-5 nats.

zuko's transforms bound their parameters otherwise than ours, so what our nets put out is turned into zuko's parameters
for the same map; nets, orders, splines, Jacobians, and the base are zuko's own.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import zuko

from flowlib.checks import example_batch, loosened
from flowlib.flows import FLOWS
from flowlib.flows.stack import AutoregressiveBlock, Stack
from flowlib.flows.transforms import RationalQuadratic
from flowlib.layouts import BOUND

SLOPE = math.log(1e-4)


def unclipped(value: torch.Tensor, factor: float) -> torch.Tensor:
    """The v that zuko's soft clip ``v / (1 + |factor · v / log slope|)`` takes to the value."""
    assert (factor * value / SLOPE).abs().max() < 1, "beyond what zuko can express"
    return value / (1 - (factor * value / SLOPE).abs())


def centred(share: torch.Tensor) -> torch.Tensor:
    logits = share.log()
    return logits - 0.5 * (logits.amax(-1, keepdim=True) + logits.amin(-1, keepdim=True))


def affine(shift: torch.Tensor, raw: torch.Tensor) -> Any:
    log_scale = -2.0 * torch.tanh(0.5 * raw)
    return zuko.transforms.MonotonicAffineTransform(
        -shift * log_scale.exp(), unclipped(log_scale, 1.0), slope=math.exp(SLOPE)
    )


def spline_of(spline: RationalQuadratic) -> Any:
    def spline_on(*parameters: torch.Tensor) -> Any:
        flat = torch.cat(parameters, dim=-1)
        widths, heights, slopes = spline._knots(flat.reshape(-1, flat.shape[-1], 1))
        widths, heights, slopes = (part[..., 0].reshape(*flat.shape[:-1], -1) for part in (widths, heights, slopes))
        return zuko.transforms.MonotonicRQSTransform(
            unclipped(centred(widths / (2 * BOUND)), 2.0),
            unclipped(centred(heights / (2 * BOUND)), 2.0),
            unclipped(slopes[..., 1:-1].log(), 1.0),
            bound=BOUND,
            slope=math.exp(SLOPE),
        )

    return spline_on


def in_zuko(block: Any, d: int, context: int, hidden: int) -> Any:
    """One of our blocks as zuko's masked autoregressive transform, a coupling by its graph of dependencies."""
    transform, order = block.transform, block.order
    if isinstance(transform, RationalQuadratic):
        k = transform.bins
        shapes, univariate = [(k,), (k,), (k - 1,)], spline_of(transform)
    else:
        shapes, univariate = [(), ()], affine
    settings = {"univariate": univariate, "shapes": shapes, "hidden_features": (hidden, hidden)}
    if isinstance(block, AutoregressiveBlock):
        theirs = zuko.flows.MaskedAutoregressiveTransform(d, context, order=order, **settings)
    else:
        graph = (order[:, None] > order[None, :]) | torch.eye(d, dtype=torch.bool)
        theirs = zuko.flows.MaskedAutoregressiveTransform(d, context, adjacency=graph, **settings)
    copy_net(block, theirs, d)
    return theirs


def copy_net(block: Any, theirs: Any, d: int) -> None:
    """Our masked weights into zuko's net; its outputs lie feature by feature, and what we keep has parameters of 0."""
    ours = [layer for layer in block.net if hasattr(layer, "mask")]
    into = [layer for layer in theirs.hyper if hasattr(layer, "mask")]
    each = block.transform.parameters_each
    changed = torch.arange(d) if isinstance(block, AutoregressiveBlock) else block.changed
    with torch.no_grad():
        for layer, target in zip(ours[:-1], into[:-1], strict=True):
            target.mask.fill_(True)
            target.weight.copy_(layer.weight * layer.mask)
            target.bias.copy_(layer.bias)
        weight, bias = torch.zeros(d, each, ours[-1].in_features), torch.zeros(d, each)
        weight[changed] = (ours[-1].weight * ours[-1].mask).view(each, len(changed), -1).transpose(0, 1)
        bias[changed] = ours[-1].bias.view(each, len(changed)).T
        into[-1].mask.fill_(True)
        into[-1].weight.copy_(weight.flatten(0, 1))
        into[-1].bias.copy_(bias.flatten())


@pytest.mark.parametrize("name", ["maf", "spline_autoregressive", "spline_coupling", "affine_coupling"])
@pytest.mark.parametrize("d", [2, 5])
def test_log_prob_of_the_same_weights_is_zukos(name: str, d: int) -> None:
    flow = loosened(FLOWS[name](d, 3, torch.Generator().manual_seed(1), blocks=3, hidden=24), 0.05)
    assert isinstance(flow, Stack)
    base = zuko.lazy.UnconditionalDistribution(
        zuko.distributions.DiagNormal, torch.zeros(d), torch.ones(d), buffer=True
    )
    theirs = zuko.lazy.Flow([in_zuko(block, d, 3, 24) for block in flow.blocks], base).double()
    x, context = example_batch(200, d, 3, scale=2.0)
    with torch.no_grad():
        ours, other = flow.double().log_prob(x, context), theirs(context).log_prob(x)
    torch.testing.assert_close(ours, other, atol=1e-5, rtol=0)
    assert ours.std() > 0.1


@pytest.mark.parametrize("bins", [2, 8])
def test_a_spline_is_zukos_spline(bins: int) -> None:
    spline, g = RationalQuadratic(bins), torch.Generator().manual_seed(6)
    parameters = torch.randn(500, spline.parameters_each, 3, generator=g, dtype=torch.float64)
    x = 4.0 * torch.randn(500, 3, generator=g, dtype=torch.float64)
    theirs = spline_of(spline)(parameters.transpose(1, 2))
    y, ladj = spline(x, parameters)
    torch.testing.assert_close(y, theirs(x), atol=1e-5, rtol=0)
    torch.testing.assert_close(ladj, theirs.log_abs_det_jacobian(x, y), atol=1e-5, rtol=0)
    torch.testing.assert_close(spline.inverse(x, parameters), theirs.inv(x), atol=1e-5, rtol=0)
