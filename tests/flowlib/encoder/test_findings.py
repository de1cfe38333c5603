"""Steps of grids, and what is said of peculiar columns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flowlib.encoder.encoder import Encoder
from flowlib.encoder.findings import resolution
from flowlib.encoder.spec import FeatureSpec
from flowlib.table import Table


def rounded(step: float, offset: float = 0.0, n: int = 1_000, spread: float = 8.0) -> Any:
    steps = np.rint(spread * np.random.default_rng(3).standard_normal(n))
    return (offset + step * steps).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize(
    ("step", "offset"), [(1, 0), (0.1, 0), (5, 0), (0.001, 20), (1, 0.5), (1 / 255, 0.3), (100, 1e6)]
)
def test_the_step_of_a_grid_is_found(step: float, offset: float) -> None:
    assert resolution(rounded(step, offset)) == pytest.approx(step, rel=1e-3)
    assert resolution(rounded(step, offset)[:40]) == pytest.approx(step, rel=1e-2)


def test_a_few_values_off_the_grid_do_not_hide_it() -> None:
    x = rounded(0.1)
    x[:8] = x[:8] + 0.0123
    assert resolution(x) == pytest.approx(0.1, rel=1e-3)
    x[:40] = x[:40] + np.random.default_rng(1).uniform(0, 1, 40)
    assert resolution(x) == 0


def test_what_is_not_rounded_has_no_step() -> None:
    g = np.random.default_rng(4)
    for x in (
        g.standard_normal(1_000),
        np.zeros(100),
        np.zeros(0),
        np.where(g.random(1_000) < 0.6, 0, g.random(1_000)),
        g.standard_normal(1_000) + 1e6,
    ):
        assert resolution(x.astype(np.float32).astype(np.float64)) == 0
    assert resolution(np.array([0.0, 2.0, 5.0] * 20)) == 1
    assert resolution(np.array([0.0, 1.0] * 20)) == 1


def test_what_is_peculiar_is_found_and_named() -> None:
    g = np.random.default_rng(7)
    x = g.standard_normal(2_000)
    columns = {
        "plain": x,
        "same": 3 * x + 7,
        "mirror": -x,
        "still": np.full(2_000, 4.5),
        "steps": np.rint(10 * g.random(2_000)),
        "wild": np.sinh(4 * g.standard_normal(2_000)),
        "gone": np.where(g.random(2_000) < 0.7, np.nan, g.random(2_000)),
        "never": np.full(2_000, np.nan),
        "near": x + 0.01 * g.standard_normal(2_000),
    }
    table = Table.of(np.column_stack([*columns.values()]))
    whole = replace(table, numeric=np.column_stack([table.numeric[:, :6], table.numeric[:, 8:]]))
    names = [name for name in columns if name not in ("gone", "never")]
    found = Encoder.fit(FeatureSpec(tuple(names)), whole).findings
    assert {(one.kind, one.columns) for one in found} == {
        ("constant", ("still",)),
        ("integer", ("steps",)),
        ("heavy tail", ("wild",)),
        ("duplicate", ("plain", "same")),
        ("duplicate", ("plain", "mirror")),
    }
    everything = Encoder.fit(FeatureSpec(tuple(columns)), table).findings
    assert {one.columns for one in everything if one.kind == "mostly missing"} == {("gone",), ("never",)}
    assert all(set(one.columns) <= set(columns) and one.columns[0] in one.says for one in everything)
