"""How a notebook shows models and figures: everything is said, and nothing of others is markup."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flowlib import Density, FeatureSpec, FitConfig, FlowDensity, MaximumLikelihood, Table, TrainConfig, evaluate
from flowlib.explain.explanation import explain

HOSTILE = "<img src=x onerror=alert(1)>"


def html(of: Any) -> str:
    """As a notebook asks for it."""
    text: str = of._repr_html_()
    for tag in ("div", "table", "tr", "th", "td", "ul", "li", "p", "b"):
        assert len(re.findall(rf"<{tag}[ >]", text)) == text.count(f"</{tag}>"), tag
    assert "<img" not in text
    return text


@pytest.fixture(scope="module")
def density() -> Density:
    rng = np.random.default_rng(2)
    rows = np.stack([rng.standard_normal(600), rng.integers(0, 4, 600)], axis=1)
    parts = [Table.of(rows[a:b], [[HOSTILE]] * (b - a)) for a, b in ((0, 300), (300, 400), (400, 600))]
    learn = MaximumLikelihood(TrainConfig(max_steps=10))
    return Density.fit(FeatureSpec((HOSTILE, "items"), ("shop",)), *parts, seed=0, config=FitConfig(learn=learn))


def rows_of(n: int) -> Table:
    return Table.of(np.random.default_rng(5).standard_normal((n, 2)), [[HOSTILE]] * n)


def test_a_density(density: Density) -> None:
    text = html(density)
    assert "&lt;img src=x onerror=alert(1)&gt;, items" in text
    assert "200 rows" in text
    assert "unsigned" in text


def test_an_evaluation(density: Density) -> None:
    rows = rows_of(120)
    found = evaluate(density, rows, np.arange(120) % 6)
    told = replace(found, left_out={"a <mixture>": "too few rows"}, findings=[HOSTILE] * 14)
    text = html(told)
    assert "120 of 120 could be scored, on 6 days" in text
    assert "left out: too few rows" in text
    assert "and 4 more" in text
    assert f"{found.log_prob.value:.2f}" in text


def test_an_explanation(density: Density) -> None:
    (told,) = explain(density, rows_of(1))
    assert html(told).count(" nats<") == 3


def test_the_estimator_is_shown_as_scikit_learn_shows_its_own() -> None:
    assert "FlowDensity" in FlowDensity()._repr_html_()
