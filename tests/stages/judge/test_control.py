"""The control over slices: e-d-BH, by hand and against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from flowlib.table import Floats
from stream_app.stages.judge.control import Bools, openings, rejected


def by_definition(weighted: Floats, alpha: float, already: int) -> Bools:
    for k in range(already + len(weighted), already, -1):
        enough = weighted * (alpha * k) >= 1.0
        if already + enough.sum() >= k:
            return enough
    return np.zeros(len(weighted), dtype=np.bool_)


def test_one_alone_needs_its_whole_share() -> None:
    share = 1 / 4
    assert not rejected(share * np.array([399.0, 1, 1, 1]), alpha=0.01).any()
    assert rejected(share * np.array([400.0, 1, 1, 1]), alpha=0.01).tolist() == [True, False, False, False]


def test_many_together_need_less_each() -> None:
    weighted = np.array([200.0, 1, 200, 1]) / 4
    assert rejected(weighted, alpha=0.01).tolist() == [True, False, True, False]
    assert rejected(np.full(4, 100.0) / 4, alpha=0.01).all()
    assert not rejected(np.full(4, 99.9) / 4, alpha=0.01).any()


def test_the_largest_number_counts_though_a_smaller_one_would_not_do() -> None:
    """Not one of them has K/α = 400, nor two of them K/(2 α) = 200; three have K/(3 α)."""
    assert rejected(np.array([150.0, 140, 135, 1]) / 4, alpha=0.01).tolist() == [True, True, True, False]


def test_those_rejected_already_make_it_easier() -> None:
    weighted = np.array([140.0, 1]) / 4
    assert not rejected(weighted, alpha=0.01).any()
    assert rejected(weighted, alpha=0.01, already=2).tolist() == [True, False]


def test_a_larger_share_is_rejected_earlier() -> None:
    statistics, shares = np.array([150.0, 150.0]), np.array([0.75, 0.25])
    assert rejected(shares * statistics, alpha=0.01).tolist() == [True, False]


@pytest.mark.parametrize("weighted", [[], [0.0], [0.0, 0.0]], ids=len)
def test_nothing_is_rejected_where_there_is_nothing(weighted: list[float]) -> None:
    found = rejected(np.array(weighted), alpha=0.5, already=3)
    assert found.tolist() == [False] * len(weighted)


def test_those_with_equal_evidence_are_rejected_together() -> None:
    assert rejected(np.full(5, 1e300), alpha=1e-9).all()
    assert rejected(np.array([np.inf, np.inf, 0.0]), alpha=0.01).tolist() == [True, True, False]


def test_it_is_what_its_definition_says(seed: int) -> None:
    g = np.random.default_rng(seed)
    for _ in range(300):
        m, alpha, already = int(g.integers(1, 40)), 10.0 ** -g.uniform(0, 5), int(g.integers(0, 5))
        weighted = np.round(g.pareto(0.3, m), 1) / m
        found = rejected(weighted, alpha, already)
        np.testing.assert_array_equal(found, by_definition(weighted, alpha, already), f"seed {seed}")


def test_an_incident_opens_by_those_that_share_its_cause() -> None:
    weighted = np.array([200.0, 200, 200, 400, 1]) / 4
    found = openings(weighted, ["a", "b", "b", "c", "c"], alpha=0.01)
    assert found.tolist() == [False, True, True, True, False]


def test_every_incident_takes_its_part_of_the_sum(seed: int) -> None:
    """What the bound on false incidents rests on: those of one cause have 1/α together."""
    g = np.random.default_rng(seed)
    for _ in range(200):
        m, alpha = int(g.integers(1, 60)), 10.0 ** -g.uniform(0, 3)
        weighted, causes = g.pareto(0.5, m) / m, [f"c{c}" for c in g.integers(0, 6, m)]
        found = openings(weighted, causes, alpha)
        for cause in {c for c, opens in zip(causes, found, strict=True) if opens}:
            of = found & (np.array(causes) == cause)
            assert weighted[of].sum() * alpha >= 1 - 1e-9, f"seed {seed}"
