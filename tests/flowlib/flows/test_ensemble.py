"""The ensemble: exactly the mean of its members' densities, and parts that add up to it."""

from __future__ import annotations

import math

import pytest
import torch

from flowlib.checks import example_batch, loosened
from flowlib.flows import AffineCoupling, Ensemble, Maf, SplineAutoregressive, SplineCoupling
from flowlib.plain import Z_LIMIT


def an_ensemble(members: int = 0b0111, d: int = 4, spread: float = 0.1) -> Ensemble:
    flow = loosened(Ensemble(d, 3, torch.Generator().manual_seed(1), members, blocks=2, hidden=16), spread).double()
    assert isinstance(flow, Ensemble)
    return flow


@pytest.mark.parametrize("d", [1, 4])
@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_the_density_is_the_mean_of_the_members(d: int, scale: float) -> None:
    flow = an_ensemble(d=d)
    x, context = example_batch(50, d, scale=scale)
    each = torch.stack([member.log_prob(x, context) for member in flow.each])
    torch.testing.assert_close(flow.log_prob(x, context), torch.logsumexp(each, dim=0) - math.log(3))
    torch.testing.assert_close(flow.objective(x, context), each.mean(dim=0))


def test_parts_are_the_members_shared_by_density() -> None:
    flow = an_ensemble()
    x, context = example_batch(50)
    z, ladj = flow(x, context)
    parts = ladj - 0.5 * z * z
    members = [(z, ladj) for z, ladj in (member(x, context) for member in flow.each)]
    each = torch.stack([ladj - 0.5 * z * z for z, ladj in members])
    shares = torch.softmax(each.sum(dim=2), dim=0)[:, :, None]
    left = parts - (shares * each).sum(dim=0)
    torch.testing.assert_close(left, left[:, :1].expand(-1, 4))
    assert ((left.sum(dim=1) >= -math.log(3) - 1e-9) & (left.sum(dim=1) <= 1e-9)).all()
    assert torch.equal(z, members[0][0])


def test_z_is_bounded_and_the_density_is_not() -> None:
    flow = an_ensemble()
    x, context = example_batch(20, scale=200.0)
    z, _ = flow(x, context)
    assert z.abs().max() == Z_LIMIT
    assert (flow.log_prob(x, context) < -100_0).any()


def test_members_are_bits() -> None:
    kinds = [Maf, SplineAutoregressive, SplineCoupling, AffineCoupling]
    for members in range(1, 16):
        chosen = [kind for bit, kind in enumerate(kinds) if members >> bit & 1]
        assert [type(member) for member in an_ensemble(members, d=2).each] == chosen
    for members in (0, 16, -1):
        with pytest.raises(ValueError, match="bits"):
            an_ensemble(members)


def test_each_row_is_drawn_from_one_member() -> None:
    flow = an_ensemble(0b1001, d=1).float()
    with torch.no_grad():
        for member, bias in zip(flow.each, (40.0, -40.0), strict=True):
            for weights in member.parameters():
                weights.zero_()
            member.blocks[0].net[-1].bias[0] = bias
    drawn = flow.sample(torch.zeros(2_000, 3), torch.Generator().manual_seed(3))
    assert (drawn > 30).double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert (drawn < -30).double().mean().item() == pytest.approx(0.5, abs=0.05)
