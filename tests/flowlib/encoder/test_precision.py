"""Offsets cost nothing: numbers are centred and scaled in float64. What cannot be told apart all the same is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.encoder.encoder import Encoder
from flowlib.encoder.findings import Finding, resolution
from flowlib.encoder.spec import EncoderConfig, FeatureSpec
from flowlib.margins import Margins
from flowlib.table import LARGEST, SMALLEST, Table, doubles

ONE = FeatureSpec(("x",))
CENTRED = EncoderConfig(maps=("standard", "robust", "quantile"))
OFFSET = 1.77e9
"""A time in seconds, or an id."""


def spread(n: int = 2_000, seed: int = 0) -> Any:
    """Standard normals in steps of 2⁻¹⁰: added to a whole number below 2⁴⁰ they lose nothing."""
    return np.round(np.random.default_rng(seed).standard_normal((n, 1)) * 2**10) / 2**10


def fit(x: Any, config: EncoderConfig | None = None) -> Encoder:
    return Encoder.fit(ONE, Table.of(np.reshape(x, (-1, 1))), config)


def found(x: Any) -> tuple[Finding, ...]:
    return fit(x).findings


@given(st.integers(-(2**40), 2**40), st.integers(-60, 2))
@settings(max_examples=25, deadline=None)
def test_an_offset_changes_nothing(offset: int, exponent: int) -> None:
    """Neither the features of old rows nor those of new ones, in any unit."""
    size, x, new = 2.0**exponent, spread(), 3 * spread(500, 1)
    plain, far = fit(x * size, CENTRED), fit((offset + x) * size, CENTRED)
    here, there = plain.encode(Table.of(new * size)), far.encode(Table.of((offset + new) * size))
    np.testing.assert_allclose(there.features, here.features, atol=2e-3)
    np.testing.assert_allclose(there.ladj, here.ladj, atol=2e-3)
    assert [one.kind for one in far.findings] == [one.kind for one in plain.findings]


def test_a_time_or_an_id_is_not_constant() -> None:
    """A column of 1.77·10⁹ ± 20: it varies, and ten standard deviations are ten."""
    x = OFFSET + 20 * np.random.default_rng(1).standard_normal(2_000)
    encoder = fit(x)
    assert encoder.findings == ()
    moved = encoder.encode(Table.of([[OFFSET], [OFFSET + 200.0], [OFFSET - 200.0]])).features[:, 0]
    assert moved[1] - moved[0] > 5
    assert moved[0] - moved[2] > 5
    margins = Margins.fit(x[:, None])
    assert margins.of(np.array([[OFFSET + 200.0]]))[0] > 3.0 > margins.of(np.array([[OFFSET + 20.0]]))[0]


def test_whole_seconds_at_such_an_offset_are_a_grid() -> None:
    x = np.rint(OFFSET + 20 * np.random.default_rng(1).standard_normal(2_000))
    assert resolution(x) == 1.0
    assert [one.kind for one in found(x)] == ["integer"]
    assert resolution(1e12 + 0.25 * np.rint(8 * np.random.default_rng(1).standard_normal(2_000))) == 0.25


def test_two_columns_that_only_share_their_offset_are_no_copies() -> None:
    g = np.random.default_rng(3)
    x = OFFSET + 20 * g.standard_normal((2_000, 2))
    assert Encoder.fit(FeatureSpec(("a", "b")), Table.of(x)).findings == ()
    x[:, 1] = 2 * x[:, 0] - OFFSET
    copy = Encoder.fit(FeatureSpec(("a", "b")), Table.of(x)).findings
    assert [(one.kind, one.columns) for one in copy] == [("duplicate", ("a", "b"))]


@pytest.mark.parametrize(
    ("value", "other", "says"),
    [
        (OFFSET, OFFSET + 20, "x is always 1770000000: any other value will be very unlikely"),
        (OFFSET, OFFSET + 1, "x is always 1770000000: any other value will be very unlikely"),
        (1_770_000_000_123.0, 1_770_000_000_124.0, "x is always 1770000000123: any"),
        (20.1, 20.2, "x is always 20.1: any other value will be very unlikely"),
        (0.0, 1e-6, "x is always 0: any other value will be very unlikely"),
    ],
)
def test_of_a_constant_any_other_value_is_unlikely(value: float, other: float, says: str) -> None:
    encoder = fit(np.full(500, value))
    assert [one.kind for one in encoder.findings] == ["constant"]
    assert says in encoder.findings[0].says
    assert abs(encoder.encode(Table.of([[other]])).features[0, 0]) >= 10


def test_what_lies_closer_together_than_the_model_sees_is_told() -> None:
    """Two kinds of value in one column: the scale is that of the gap between them."""
    g = np.random.default_rng(4)
    x = np.where(g.random(2_000) < 0.5, 5 * g.standard_normal(2_000), OFFSET + g.standard_normal(2_000))
    assert [one.kind for one in found(x)] == ["too fine"]
    assert "a change among them goes unseen" in found(x)[0].says


def test_roundings_of_one_value_are_not_told() -> None:
    """Means of decimals differ in their last digits: nobody needs to tell them apart."""
    g = np.random.default_rng(5)
    x = np.round(20 + 3 * g.standard_normal(2_000), 1)
    noisy = np.nextafter(x, np.where(g.random(2_000) < 0.5, 0, 100))
    assert [one.kind for one in found(noisy)] == ["integer"]


def test_whole_numbers_beyond_two_to_the_53rd_are_told() -> None:
    ids = 2.0**60 + np.random.default_rng(6).integers(0, 2**50, 2_000)
    told = [one for one in found(ids) if one.kind == "beyond 2^53"]
    assert len(told) == 1
    assert told[0].says.startswith("100.0% of x are whole numbers beyond 2^53 (9007199254740992), where neighbours are")
    assert not any(one.kind == "beyond 2^53" for one in found(ids / 2.0**8)), "these are exact"
    measured = np.exp(20 * np.random.default_rng(6).standard_normal(2_000))
    assert not any(one.kind == "beyond 2^53" for one in found(measured)), "that is no whole number"


def test_values_beyond_a_float32_stay_what_they_were() -> None:
    assert doubles([3.4e38, 3.5e38, -1e300]).tolist() == [3.4e38, np.inf, -np.inf]
    assert doubles([LARGEST, -LARGEST]).tolist() == [LARGEST, -LARGEST]
    assert doubles([SMALLEST, SMALLEST / 2, 5e-324, -1e-200]).tolist() == [SMALLEST, 0, 0, 0]
    assert np.isnan(doubles([np.nan])).all()
    assert doubles(np.asfortranarray(np.ones((3, 2)))).flags.c_contiguous
