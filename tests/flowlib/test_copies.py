"""Rows that come more than once are one unit wherever rows are split; rows that agree by chance are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.copies import newest, repeated, units
from flowlib.encoder.encoder import Encoder
from flowlib.encoder.spec import FeatureSpec
from flowlib.frames.estimator import FlowDensity
from flowlib.table import Table


def law(n: int, seed: int, d: int = 4) -> Any:
    """Correlated normals ``(n, d)``."""
    return np.random.default_rng(seed).standard_normal((n, d)) @ np.tril(np.ones((d, d)))


def share(table: Table) -> float:
    """Of the rows that are copies of others."""
    return 1 - len(newest(units(table))) / len(table)


@pytest.mark.parametrize("times", [5, 20, 30])
@pytest.mark.parametrize("decimals", [None, 2])
def test_rows_that_come_more_than_once_are_copies(times: int, decimals: int | None) -> None:
    x = law(400, 1)
    x = x if decimals is None else np.round(x, decimals)
    assert share(Table.of(np.repeat(x, times, axis=0))) == pytest.approx(1 - 1 / times, abs=0.01)
    assert share(Table.of(x)) == pytest.approx(0, abs=0.01)


@given(st.lists(st.integers(0, 39), min_size=1, max_size=120), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_units_are_those_of_the_rows_in_any_order_of_any_number(rows: list[int], seed: int) -> None:
    """Of continuous values, a category and gaps: two rows are one unit where they are one row."""
    g = np.random.default_rng(seed)
    x = g.standard_normal((40, 3))
    x[g.random(x.shape) < 0.2] = np.nan
    x[:, 0] = g.standard_normal(40)
    table = Table.of(x, g.choice(["a", "b"], (40, 1)).astype(object), time_ms=np.arange(40)).take(np.array(rows))
    table = Table(table.numeric, table.categories, table.slices, np.arange(len(rows)))
    unit = units(table)
    assert ((unit[:, None] == unit) == (np.array(rows)[:, None] == rows)).all()
    assert unit[np.sort(np.unique(unit, return_index=True)[1])].tolist() == list(range(len(set(rows))))
    assert newest(unit).tolist() == sorted(len(rows) - 1 - rows[::-1].index(row) for row in set(rows))


def test_rows_that_differ_in_a_category_or_a_slice_are_no_copies() -> None:
    x = np.repeat(law(50, 2), 2, axis=0)
    names = np.array(["a", "b"] * 50, dtype=object)
    assert share(Table.of(x, slices=names)) == 0
    assert share(Table.of(x, categories=names[:, None])) == 0
    assert share(Table.of(x, time_ms=np.arange(100))) == 0.5, "when they came does not matter"


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_counts_and_rounded_values_agree_by_chance(columns: int) -> None:
    g = np.random.default_rng(3)
    for x in (
        g.poisson(1.0, (3_000, columns)),
        g.poisson(4.0, (3_000, columns)),
        np.round(g.standard_normal((3_000, 1)) + 0.1 * g.standard_normal((3_000, columns)), 1),
        g.choice([9.99, 12.49, 17.0, 99.0], (3_000, columns)),
    ):
        assert share(Table.of(x)) < 0.02
        assert repeated(Table.of(x)) == ()


def test_a_state_that_a_machine_is_often_in_is_no_copy() -> None:
    x = law(1_000, 4)
    x[:400] = 0.0
    assert share(Table.of(x)) == 0


def test_copies_are_told_with_their_share() -> None:
    found = Encoder.fit(FeatureSpec(("a", "b", "c", "d")), Table.of(np.repeat(law(200, 5), 5, axis=0))).findings
    assert [(one.kind, one.columns) for one in found] == [("repeated rows", ())]
    assert found[0].says.startswith(
        "80.0% of the rows are copies of others in every column: a row and its copies count"
    )


def test_an_encoder_that_is_kept_tells_of_the_copies_in_the_new_rows() -> None:
    spec, x = FeatureSpec(("a", "b", "c", "d")), law(200, 5)
    with_copies = Table.of(np.repeat(x, 5, axis=0))
    encoder = Encoder.fit(spec, Table.of(x))
    assert encoder.findings == ()
    later = encoder.told(with_copies)
    assert [one.kind for one in later.findings] == ["repeated rows"]
    assert later.told(with_copies).findings == later.findings
    assert later.told(Table.of(x)).findings == ()


@pytest.mark.parametrize("times", [5, 20, 30])
def test_alpha_holds_for_new_rows_where_each_row_comes_more_than_once(times: int) -> None:
    """Four fits of 200 calibration rows each: the share flagged has the standard error of 800 rows."""
    flagged = []
    for seed in range(4):
        model = FlowDensity(max_steps=200, calibration_share=0.5, random_state=seed)
        model.fit(np.repeat(law(400, seed), times, axis=0))
        assert any("are copies of others" in says for says in model.findings_)
        assert len(model.density_.calibration.nll) == 200, "each row calibrates once"
        flagged.append((model.p_values(law(2_000, 100 + seed)) <= 0.05).mean())
    assert np.mean(flagged) == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 800))
