"""Blame on a law whose conditionals are known: the column at fault is named, and two faults are both found."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from flowlib.density import Density
from flowlib.encoder.spec import FeatureSpec
from flowlib.explain import blame as blaming
from flowlib.explain.blame import blame, excess
from flowlib.table import Table
from tests.flowlib.conftest import draw, trained
from tests.flowlib.explain.rows import changed, complete


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_shifted_value_is_to_blame(density: Density, column: int) -> None:
    rows = complete(200, 41)
    pushed = changed(rows, column, rows.numeric[:, column] + 6.0)
    strange = density.score(pushed).p_value <= 0.01
    assert strange.mean() > 0.9
    assert (blame(density, pushed)[strange].argmax(axis=1) == column).mean() > 0.9


def test_a_broken_relation_between_ordinary_values_is_blamed_on_the_two(density: Density) -> None:
    rows = complete(50, 42)
    broken = changed(changed(rows, 0, 1.9), 1, -1.9)
    assert set(blame(density, broken).argmax(axis=1).tolist()) <= {0, 1}


def test_two_faults_are_both_found(density: Density) -> None:
    rows = complete(200, 43)
    broken = changed(changed(rows, 0, rows.numeric[:, 0] + 5.0), 2, rows.numeric[:, 2] - 6.0)
    two = np.argsort(-blame(density, broken), axis=1)[:, :2]
    assert (np.sort(two, axis=1) == [0, 2]).all(axis=1).mean() > 0.8


def test_a_category_that_does_not_fit_is_blamed(density: Density) -> None:
    rows = complete(200, 44)
    wrong = replace(changed(rows, 2, 3.0), categories=np.full((200, 1), "x", dtype=object))
    assert (blame(density, wrong)[:, 2:].sum(axis=1) > 3.0).all()


def test_blame_does_not_depend_on_the_rows_beside(density: Density) -> None:
    rows = draw(400, 45)
    whole = blame(density, rows)
    pick = np.random.default_rng(45).permutation(400)[:130]
    np.testing.assert_array_equal(blame(density, rows.take(pick)), whole[pick])


def test_memory_does_not_grow_with_the_square_of_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """256 rows of 80 columns with all their variants at once would take 200 MB; the numbers are the same."""
    g, names = np.random.default_rng(54), tuple(f"x{j}" for j in range(80))
    train, valid, held, rows = (Table.of(g.standard_normal((n, 80))) for n in (500, 100, 200, 256))
    wide = Density.fit(FeatureSpec(names), train, valid, held, 0, trained(max_steps=2))
    tracemalloc.start()
    given = blame(wide, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6
    monkeypatch.setattr(blaming, "_VALUES", 1)
    np.testing.assert_array_equal(blame(wide, rows.span(0, 4)), given[:4])


def test_missing_and_unscorable_values_have_no_blame(density: Density) -> None:
    numeric = np.array([[np.nan, 0, 9], [np.inf, 0, 0], [np.nan] * 3], dtype=np.float32)
    given = blame(density, Table.of(numeric, [["x"]] * 3))
    assert given[0, 0] == 0
    assert given[0, 2] > 10
    assert not given[1:].any()
    assert blame(density, Table.of(np.zeros((0, 3)), np.zeros((0, 1)))).shape == (0, 4)


def test_excess_adds_up_to_what_the_row_lacks(density: Density) -> None:
    scores = density.score(draw(300, 46))
    lacks = density.calibration.log_prob_mean - scores.log_prob
    np.testing.assert_allclose(excess(scores, density).sum(axis=1), lacks, atol=1e-9)
