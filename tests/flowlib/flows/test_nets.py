"""Masks: what each output may depend on, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.checks import example_batch
from flowlib.checks.flows import check_hyperparameters
from flowlib.flows import FLOWS
from flowlib.flows.nets import MaskedLinear, masked_net
from flowlib.flows.stack import Stack
from flowlib.layouts import autoregressive_masks, coupling_masks
from tests.flowlib.flow_cases import NAMES, a_flow

SIZES = st.tuples(st.integers(1, 6), st.integers(0, 3), st.integers(8, 24), st.integers(1, 3))


def dependence(function: Any, x: torch.Tensor) -> torch.Tensor:
    """``(out, in)`` bool: where the Jacobian is not zero."""
    return torch.autograd.functional.jacobian(function, x) != 0


def net_of(masks: Sequence[Any]) -> torch.nn.Module:
    """A fresh net of these masks."""
    return masked_net(masks, torch.Generator().manual_seed(0))


def busy(module: torch.nn.Module) -> torch.nn.Module:
    """Positive weights and biases, so that nothing cancels and every unit is awake."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weights in module.parameters():
            weights.copy_(0.1 + torch.rand(weights.shape, generator=generator))
    return module.double()


@given(SIZES, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_an_autoregressive_net_sees_what_comes_before_and_all_of_it(
    sizes: tuple[int, int, int, int], chance: Any
) -> None:
    d, context, hidden, layers = sizes
    order = torch.tensor(chance.sample(range(d), d))
    net = busy(net_of(autoregressive_masks(order.numpy(), context, hidden, layers)))
    seen = dependence(net, torch.ones(d + context, dtype=torch.float64))
    before = order[None, :] < order[:, None]
    assert torch.equal(seen[:d, :d], before)
    assert torch.equal(seen[d:, :d], before)
    assert seen[:, d:].all(), "the context reaches every output"


@pytest.mark.parametrize("name", sorted(name for name, family in FLOWS.items() if issubclass(family, Stack)))
@pytest.mark.parametrize("d", [1, 2, 5, 17])
def test_each_block_is_triangular_in_its_order(name: str, d: int) -> None:
    flow = a_flow(name, d, 2)
    x, context = example_batch(1, d, 2)[0][0], torch.ones(1, 2, dtype=torch.float64)
    for block in flow.blocks:
        order = block.order
        seen = dependence(lambda v, block=block: block(v[None], context)[0][0], x)
        later = order[None, :] > order[:, None]
        assert not (seen & later).any()
        assert seen.diagonal().all()
        assert seen[order.argmax()].sum() > (order < order.max()).sum() / 2, "the last one really looks back"


def looks_at(net: torch.nn.Module, d: int) -> torch.Tensor:
    """``(d, d)`` bool: which inputs have a way through the masks to the first number of each feature."""
    way = torch.eye(next(layer.mask.shape[1] for layer in net if isinstance(layer, MaskedLinear)))
    for layer in net:
        if isinstance(layer, MaskedLinear):
            way = (layer.mask @ way > 0).float()
    return way[:d, :d] > 0


@pytest.mark.parametrize("name", ["maf", "spline_autoregressive"])
@pytest.mark.parametrize(("d", "hidden", "blocks"), [(300, None, 5), (200, 64, 5), (300, None, 3), (129, None, 2)])
def test_of_any_two_features_one_sees_the_other_in_some_block(
    name: str, d: int, hidden: int | None, blocks: int
) -> None:
    flow = FLOWS[name](d, 1, torch.Generator().manual_seed(0), hidden=hidden, blocks=blocks)
    seen = torch.zeros(d, d, dtype=torch.bool)
    for block in flow.blocks:
        each = looks_at(block.net, d)
        assert not (each & (block.order[None, :] >= block.order[:, None])).any()
        seen |= each
    assert int((~(seen | seen.T)).sum()) == d, "no pair is left out; a feature does not see itself"


def test_masks_of_fewer_features_than_units_are_as_they_were() -> None:
    """Stored weights mean what they did: units take degrees in turn, whichever block they stand in."""
    for d, hidden, turn in [(1, 8, (0, 1)), (5, 64, (3, 5)), (16, 16, (1, 2))]:
        net = net_of(autoregressive_masks(np.arange(d), 1, hidden, 1, turn=turn))
        degrees = torch.arange(hidden) % d - 1
        assert torch.equal(net[0].mask[:, :d].bool(), degrees[:, None] >= torch.arange(d)[None, :])


def test_a_single_unit_brings_the_context_to_every_feature() -> None:
    net = busy(net_of(autoregressive_masks(np.arange(3), 1, 1, 2)))
    assert dependence(net, torch.ones(4, dtype=torch.float64))[:, 3].all()


def test_orders_alternate() -> None:
    flow = FLOWS["maf"](3, 1, torch.Generator().manual_seed(1), blocks=3)
    assert [block.order.tolist() for block in flow.blocks] == [[0, 1, 2], [2, 1, 0], [0, 1, 2]]


@pytest.mark.parametrize("layers", [1, 3])
def test_a_coupling_net_sees_what_is_kept_and_the_context(layers: int) -> None:
    keep = np.array([True, False, True, False])
    net = busy(net_of(coupling_masks(keep, 2, 8, layers, outputs=3)))
    seen = dependence(net, torch.ones(6, dtype=torch.float64))
    assert torch.equal(seen, torch.tensor([True, False, True, False, True, True]).expand(6, -1))


def test_an_autoregressive_net_gives_as_many_numbers_as_asked() -> None:
    net = busy(net_of(autoregressive_masks(np.arange(3), 1, 12, 2, outputs=5)))
    seen = dependence(net, torch.ones(4, dtype=torch.float64)).view(5, 3, 4)
    expected = torch.cat((torch.ones(3, 3).tril(-1), torch.ones(3, 1)), dim=1).bool()
    assert all(torch.equal(part, expected) for part in seen)


def test_a_baked_layer_keeps_nothing_behind_its_mask() -> None:
    mask = (torch.rand(6, 5, generator=torch.Generator().manual_seed(3)) < 0.5).float()
    layer = MaskedLinear(mask)
    torch.nn.init.ones_(layer.weight)
    torch.nn.init.ones_(layer.bias)
    assert torch.equal(layer.baked().weight, mask)
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(layer.baked()(x), layer(x))


@pytest.mark.parametrize("name", NAMES)
def test_hyperparameters_hold_every_setting(name: str) -> None:
    settings = {"components": 3, "rank": 2} if name == "mixture" else {"blocks": 2, "hidden": 8, "layers": 1}
    if "spline" in name:
        settings["bins"] = 5
    make = partial(FLOWS[name], **settings)
    assert make(3, 4, torch.Generator().manual_seed(1)).hyperparameters().items() >= settings.items()
    check_hyperparameters(make)
