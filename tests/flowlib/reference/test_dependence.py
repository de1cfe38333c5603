"""The long-run variance ratio: 1 where events are independent, and what an AR(1) is known to have."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from flowlib.reference.dependence import variance_ratio
from flowlib.table import Floats, Ints


def cells(slices: int, panes: int, phi: float, seed: int = 0, c: int = 6) -> tuple[Floats, Ints, Ints]:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((panes + 50, slices, c)) * (1 - phi**2) ** 0.5
    x = lfilter([1.0], [1.0, -phi], noise, axis=0)[50:]
    return x.transpose(1, 0, 2).reshape(-1, c), np.repeat(np.arange(slices), panes), np.tile(np.arange(panes), slices)


@pytest.mark.parametrize(("phi", "ratio"), [(0.0, 1.0), (0.3, 1.3 / 0.7), (0.5, 3.0), (0.8, 9.0)])
def test_it_is_that_of_the_process_and_rather_above(phi: float, ratio: float) -> None:
    x, slices, panes = cells(60, 480, phi)
    found = variance_ratio(x, np.ones_like(x), slices, panes)
    assert found.mean() == pytest.approx(ratio, rel=0.2)
    assert (found > 0.88 * ratio).all(), "too small a ratio would break the promise"


def test_few_panes_make_it_larger_not_smaller() -> None:
    x, slices, panes = cells(3, 60, 0.0)
    few = variance_ratio(x, np.ones_like(x), slices, panes)
    assert (few >= 1.0).all()
    assert few.mean() > variance_ratio(*(lambda a, s, p: (a, np.ones_like(a), s, p))(*cells(60, 480, 0.0))).mean()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_hardly_any_cells_are_no_error(shape: tuple[int, int]) -> None:
    x, slices, panes = cells(*shape, phi=0.0)
    assert (variance_ratio(x, np.ones_like(x), slices, panes) >= 1.0).all()


def test_it_does_not_depend_on_units_nor_on_slices_means() -> None:
    x, slices, panes = cells(20, 240, 0.5)
    base = variance_ratio(x, np.ones_like(x), slices, panes)
    assert variance_ratio(5.0 * x, np.full_like(x, 25.0), slices, panes) == pytest.approx(base)
    moved = x + slices[:, None]
    assert variance_ratio(moved, np.ones_like(x), slices, panes) == pytest.approx(base, rel=0.02)


def test_a_channel_without_events_has_the_ratio_1() -> None:
    x, slices, panes = cells(10, 100, 0.0)
    weight = np.ones_like(x)
    x[:, 2], weight[:, 2] = 0.0, 0.0
    found = variance_ratio(x, weight, slices, panes)[0]
    assert np.isfinite(found).all()
    assert found[2] < 1.5


@pytest.mark.parametrize("seed", range(3))
def test_a_slice_that_depends_on_its_past_in_its_own_way_has_its_own(seed: int) -> None:
    x, slices, panes = cells(20, 240, 0.0, seed)
    wandering, _, _ = cells(20, 240, 0.9, seed + 100)
    x[slices == 3] = wandering[slices == 3]
    found = variance_ratio(x, np.ones_like(x), slices, panes, 20)
    assert (found[4] > 4).all()
    assert found[4].mean() > 10, "an AR(.9) has the ratio 19, where it has the time to show"
    others = np.delete(found, (0, 4), axis=0)
    assert np.median(others) < 1.4, "one slice is no reason to look at the others more slowly"
    assert (others > 2.0).mean() < 0.05, "but for chance"


def test_slices_alike_have_one_ratio_but_for_chance() -> None:
    x, slices, panes = cells(60, 240, 0.5)
    found = variance_ratio(x, np.ones_like(x), slices, panes, 60)
    assert (found[1:] > 1.05 * found[0]).mean() < 0.06
    assert (found[1:] > 0.9 * found[0]).all()


def test_few_large_blocks_are_less_sure_than_many_alike() -> None:
    """Outages: what matters is how many there were, not how many panes they were looked for in."""
    rng = np.random.default_rng(0)
    slices, panes = np.divmod(np.arange(20 * 240), 240)
    out = np.zeros((len(panes), 400))
    for c in range(out.shape[1]):
        for start in rng.integers(0, len(panes) - 6, 15):
            out[start : start + 6, c] = 1.0
    share = out.mean()
    ratio = np.array(
        [variance_ratio(out[:, [c]] - share, np.full((len(out), 1), share * (1 - share)), slices, panes)[0, 0]
         for c in range(40)]
    )  # fmt: skip
    assert (ratio > 5.5).mean() > 0.9, "a run of six is worth one event"
