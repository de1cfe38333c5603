"""Maps of one feature: monotone, smooth where tails begin, and the identity for parameters of 0."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.flows.transforms import Affine, RationalQuadratic
from flowlib.layouts import BOUND, MIN_BIN, MIN_SLOPE

TRANSFORMS = [Affine(), RationalQuadratic(8), RationalQuadratic(2), RationalQuadratic(5)]
EACH = pytest.mark.parametrize("transform", TRANSFORMS, ids=["affine", "spline8", "spline2", "spline5"])


def some(transform: Affine | RationalQuadratic, n: int, seed: int, spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows to ±8 of three features, and parameters."""
    g = torch.Generator().manual_seed(seed)
    x = 16.0 * torch.rand(n, 3, generator=g, dtype=torch.float64) - 8.0
    return x, spread * torch.randn(n, transform.parameters_each, 3, generator=g, dtype=torch.float64)


@EACH
@given(seed=st.integers(0, 2**32), spread=st.floats(0.0, 3.0))
@settings(max_examples=25, deadline=None)
def test_derivative_and_inverse(transform: Affine | RationalQuadratic, seed: int, spread: float) -> None:
    x, parameters = some(transform, 64, seed, spread)
    x.requires_grad_(True)
    y, ladj = transform(x, parameters)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope.log(), ladj, atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(transform.inverse(y, parameters), x, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(transform(transform.inverse(x, parameters), parameters)[0], x, atol=1e-6, rtol=1e-6)


@EACH
def test_parameters_of_zero_are_the_identity(transform: Affine | RationalQuadratic) -> None:
    x, _ = some(transform, 64, 1, 0.0)
    y, ladj = transform(x, torch.zeros(64, transform.parameters_each, 3, dtype=torch.float64))
    torch.testing.assert_close(y, x)
    torch.testing.assert_close(ladj, torch.zeros_like(x))


@EACH
def test_the_map_rises(transform: Affine | RationalQuadratic) -> None:
    _, parameters = some(transform, 1, 2, 4.0)
    x = torch.linspace(-8, 8, 4_001, dtype=torch.float64)[:, None].expand(-1, 3)
    y, _ = transform(x, parameters.expand(len(x), -1, -1))
    assert (y.diff(dim=0) > 0).all()


def test_tails_go_on_where_the_spline_ends() -> None:
    spline = RationalQuadratic(8)
    _, parameters = some(spline, 1, 3, 2.0)
    x = torch.tensor([-60.0, -BOUND, BOUND, 60.0], dtype=torch.float64)[:, None].expand(-1, 3)
    y, ladj = spline(x, parameters.expand(4, -1, -1))
    torch.testing.assert_close(y, x)
    assert not ladj.any()
    near = torch.sign(x[1:3]) * (BOUND - 1e-7)
    y, ladj = spline(near, parameters.expand(2, -1, -1))
    torch.testing.assert_close(y, near, atol=1e-6, rtol=0)
    torch.testing.assert_close(ladj, torch.zeros_like(near), atol=1e-3, rtol=0)


def test_no_bin_and_no_slope_vanishes() -> None:
    spline = RationalQuadratic(8)
    parameters = torch.full((1, 23, 1), -1e4)
    parameters[:, 3], parameters[:, 9] = 1e4, 1e4
    widths, heights, slopes = spline._knots(parameters)
    for bins in (widths, heights):
        assert bins.min() >= 2 * BOUND * MIN_BIN * 0.999
        assert bins.sum().item() == pytest.approx(2 * BOUND, rel=1e-5)
    assert slopes[0, 0] == slopes[0, -1] == 1.0
    assert slopes.min() >= MIN_SLOPE


@pytest.mark.parametrize("size", [1e2, 1e4])
def test_wild_parameters_stay_finite_in_single_precision(size: float) -> None:
    spline = RationalQuadratic(8)
    x, parameters = (part.float() for part in some(spline, 500, 5, size))
    for x_here in (x, x * 10, torch.full_like(x, BOUND), torch.full_like(x, -BOUND)):
        y, ladj = spline(x_here, parameters)
        assert y.isfinite().all()
        assert ladj.isfinite().all()
        assert spline.inverse(x_here, parameters).isfinite().all()


@pytest.mark.parametrize("bins", [0, 1, 65, -3])
def test_a_number_of_bins_that_makes_no_spline_is_refused(bins: int) -> None:
    with pytest.raises(ValueError, match="2 to 64"):
        RationalQuadratic(bins)
