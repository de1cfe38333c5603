"""Bad input end to end: scored as documented, or refused with a sentence that says what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.density import Density, Scores
from flowlib.encoder.spec import FeatureSpec
from flowlib.explain.blame import blame
from flowlib.table import Table
from tests.flowlib.conftest import SPEC, draw, trained

NAMES = ("plain", "copy", "mirror", "still", "count", "tail", "gone")
SHORT = trained(max_steps=150)


def peculiar(n: int, seed: int) -> Table:
    """Copies, a constant, a count, a long tail and a column that is hardly ever there."""
    g = np.random.default_rng(seed)
    x = g.standard_normal(n)
    gone = np.where(g.random(n) < 0.95, np.nan, g.standard_normal(n))
    columns = [x, 1_000 + 5 * x, -x, np.full(n, 7.0), g.poisson(3.0, n), np.exp(1.5 * g.standard_normal(n)), gone]
    return Table.of(np.column_stack(columns))


@pytest.fixture(scope="module")
def odd() -> Density:
    return Density.fit(FeatureSpec(NAMES), *(peculiar(n, seed) for seed, n in enumerate((3_000, 600, 1_500))), 0, SHORT)


def one(scores: Scores, i: int = 0) -> tuple[bool, float, float]:
    return bool(scores.scorable[i]), float(scores.log_prob[i]), float(scores.p_value[i])


def lowest(density: Density) -> float:
    """The floor of p-values, or the next step: the most extreme reference row may tie with anything beyond it."""
    return 2 * density.calibration.floor("")


def changed(name: str, value: Any) -> Table:
    numeric = np.repeat(peculiar(1, 77).numeric, 1 if np.isscalar(value) else len(value), axis=0).astype(np.float64)
    numeric[:, NAMES.index(name)] = value
    return Table.of(numeric)


def test_peculiar_columns_make_a_model_that_scores(odd: Density) -> None:
    scores = odd.score(peculiar(1_000, 9))
    assert scores.scorable.all()
    assert np.isfinite(scores.parts).all()
    assert (scores.p_value <= 0.01).mean() < 0.03
    kinds = {(f.kind, f.columns[-1]) for f in odd.encoder.findings}
    assert kinds >= {("duplicate", "copy"), ("duplicate", "mirror"), ("constant", "still"), ("integer", "count")}
    assert ("mostly missing", "gone") in kinds


def test_a_constant_that_changes_is_very_unlikely_and_named(odd: Density) -> None:
    for value in (7.001, 6.9, 8.0, -1e30):
        scores = odd.score(changed("still", value))
        ok, log_prob, p_value = one(scores)
        assert ok
        assert np.isfinite(log_prob)
        assert p_value <= lowest(odd)
        assert blame(odd, changed("still", value))[0].argmax() == NAMES.index("still")


def test_a_copy_that_parts_from_its_original_is_very_unlikely(odd: Density) -> None:
    assert odd.score(changed("copy", 1_020.0)).p_value[0] <= lowest(odd)


@pytest.mark.parametrize("name", ["plain", "count", "tail", "copy"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_more_extreme_the_less_likely(odd: Density, name: str, sign: int) -> None:
    j = NAMES.index(name)
    values = sign * np.geomspace(1e7, 3e38, 60)
    scores = odd.score(changed(name, values))
    assert scores.scorable.all()
    beyond = odd.encoder.encode(changed(name, values)).tail_nats[:, j] > 0
    assert beyond.any()
    assert (np.diff(scores.log_prob[beyond]) < 0).all()
    assert (np.diff(scores.parts[beyond, j]) < 0).all()
    assert (np.diff(sign * scores.z[beyond, j]) > 0).all()
    assert (scores.p_value[beyond] <= lowest(odd)).all()
    assert (blame(odd, changed(name, values))[beyond].argmax(axis=1) == j).all()
    np.testing.assert_allclose(scores.parts.sum(axis=1), scores.log_prob)


@given(st.floats(width=32), st.floats(width=32), st.sampled_from(["x", "y", "never seen", None]))
@settings(max_examples=60, deadline=None)
def test_no_row_gives_what_is_not_finite(density: Density, a: float, b: float, kind: str | None) -> None:
    scores = density.score(Table.of([[a, b, 0.0]], [[kind]], ["big"]))
    for array in (scores.log_prob, scores.parts, scores.z, scores.p_value, scores.pit):
        assert np.isfinite(array).all()
    assert scores.scorable[0] == (not np.isinf([a, b]).any())


def test_infinite_and_missing_rows_are_unscorable(density: Density) -> None:
    rows = np.array([[1e300, 0, 0], [np.inf, 0, 0], [np.nan] * 3, [0, 0, np.nan]])
    scores = density.score(Table.of(rows, [["x"]] * 4, ["big"] * 4))
    assert scores.scorable.tolist() == [False, False, False, True]
    assert scores.p_value[:3].tolist() == [1.0] * 3
    assert not scores.parts[:3].any()


def test_a_category_never_seen_costs_what_it_is_rare(density: Density) -> None:
    rows = draw(500, 3)
    strange = Table.of(rows.numeric, np.full((500, 1), "never seen", dtype=object), rows.slices)
    scores = density.score(strange)
    assert scores.scorable.all()
    assert scores.parts[:, 3].max() == pytest.approx(density.encoder.level_log_prob[0][-1])
    assert scores.parts[:, 3].max() < -8


def test_nothing_in_nothing_out(density: Density) -> None:
    scores = density.score(Table.of(np.zeros((0, 3)), np.zeros((0, 1)), []))
    assert scores.parts.shape == (0, 4)
    assert scores.p_value.shape == (0,)


def test_one_row_makes_a_model_and_none_does_not() -> None:
    single = Table.of([[1.0, 2.0]])
    made = Density.fit(FeatureSpec(("a", "b")), single, single, single, 0, trained(max_steps=5))
    ok, log_prob, p_value = one(made.score(single))
    assert ok
    assert np.isfinite(log_prob)
    assert p_value == pytest.approx(0.75)  # the middle of the tie with itself
    for empty in (Table.of(np.zeros((0, 2))), Table.of(np.full((4, 2), np.nan)), Table.of(np.full((4, 2), np.inf))):
        with pytest.raises(ValueError, match=r"no rows|none of the \w+ rows can be scored"):
            Density.fit(FeatureSpec(("a", "b")), empty, single, single, 0, trained(max_steps=5))


def test_the_wrong_shape_or_type_is_refused_with_the_names(density: Density) -> None:
    for make, says in [
        (lambda: Table.of(np.zeros((2, 4)), [["x"]] * 2), "a, b, c"),
        (lambda: Table.of(np.zeros((2, 3))), "kind"),
        (lambda: Table.of([["warm", 0.0, 0.0]], [["x"]]), "put text into categories"),
        (lambda: Table.of(np.zeros(3)), "numeric has shape"),
        (lambda: Table.of(5.0), "numeric has shape"),
        (lambda: Table.of(np.zeros((2, 3)), [["x"]]), "categories has shape"),
    ]:
        with pytest.raises(ValueError, match=says):
            density.score(make())
    assert density.spec == SPEC
