"""Ladders give the very places of a binary search, whatever the edges are like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.ladder import Ladders
from flowlib.pit import PIT_BINS, pit_edges, pit_histogram, pit_of

LAWS = ("normal", "cauchy", "ties", "one", "none", "far")


def drawn(rng: np.random.Generator, law: str, n: int, kind: type) -> np.ndarray:
    values = {
        "normal": rng.standard_normal(n),
        "cauchy": rng.standard_cauchy(n),
        "ties": rng.integers(0, 5, n).astype(float),
        "one": np.full(n, 0.25),
        "none": rng.standard_normal(n),
        "far": np.clip(rng.standard_normal(n), -3, 3) * 1e38,
    }
    return values[law].astype(kind)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.sampled_from(LAWS), min_size=1, max_size=4), st.sampled_from(["f4", "f8"]))
def test_places_are_those_of_a_binary_search(seed: int, laws: list[str], kind: str) -> None:
    rng, scalar = np.random.default_rng(seed), np.dtype(kind).type
    b, n = int(rng.integers(1, 300)), int(rng.integers(0, 200))
    edges = np.full((len(laws), b), np.inf, dtype=kind)
    values = np.zeros((n, len(laws)), dtype=kind)
    for j, law in enumerate(laws):
        own = np.sort(drawn(rng, law, 0 if law == "none" else int(rng.integers(1, b + 1)), scalar))
        edges[j, : len(own)] = own
        values[:, j] = drawn(rng, law, n, scalar)
        if len(own):
            values[::3, j] = own[rng.integers(0, len(own), len(values[::3]))]
    ladders = Ladders(edges)
    for side, places in (("left", ladders.below(values)), ("right", ladders.upto(values))):
        expected = [own.searchsorted(column, side) for own, column in zip(edges, values.T, strict=True)]  # type: ignore[call-overload]
        assert places.T.tolist() == [one.tolist() for one in expected]


@pytest.mark.parametrize("steps", [0, 1, 40])
def test_bins_of_a_pit_histogram_are_found_without_the_integral(steps: int) -> None:
    """At every edge, some floats above and below it, and at random."""
    z = np.random.default_rng(steps).standard_normal(20_000).astype(np.float32)
    for end in (-9.0, 9.0):
        near = pit_edges()
        for _ in range(steps):
            near = np.nextafter(near, np.float32(end), dtype=np.float32)
        z = np.concatenate([z, near])
    counts = np.bincount(pit_edges().searchsorted(z), minlength=PIT_BINS)
    assert counts.tolist() == pit_histogram(pit_of(z[:, None]), np.zeros((len(z), 1), dtype=bool))[0].tolist()
