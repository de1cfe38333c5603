"""Small steps from rows to answers; the big ones are tested with the page's questions."""

from __future__ import annotations

import numpy as np
import pytest

from flowlib.flatness import distance
from stream_app.console.shapes import span_ms, swap_count, swaps, without_gaps


@pytest.mark.parametrize(
    ("span", "length_ms"),
    [("28d", 2_419_200_000), ("6h", 21_600_000), ("500ms", 500), ("2w", 1_209_600_000), ("pane", 0), ("", 0), ("d", 0)],
)
def test_spans_are_as_long_as_they_say(span: str, length_ms: int) -> None:
    assert span_ms(span) == length_ms


def test_a_swap_is_where_the_model_of_a_pane_changes() -> None:
    models = ["m0", "m0", "m1", "m1", "m2"]
    panes = [{"time_ms": end_ms, "model_id": model_id} for end_ms, model_id in enumerate(models)]
    assert swaps(panes) == [{"model_id": "m1", "time_ms": 1}, {"model_id": "m2", "time_ms": 3}]
    assert swaps([]) == []


def test_swaps_are_counted_where_most_were_seen() -> None:
    rows = [("0", "m0"), ("1", "m0"), ("0", "m1"), ("0", "m1"), ("0", "m2"), ("1", "m2")]
    assert swap_count({"partition": partition, "model_id": model_id} for partition, model_id in rows) == 2
    assert swap_count([]) == 0


_DAYS = [0, 538, 371, 8, 0, 0, 7, 820, 1124, 236, 76, 35, 5, 1, 16, 469, 357, 57, 37, 458]
"""Delivery takes 1, 2, 3 or 4 days, and the model has their shares right."""


@pytest.mark.parametrize(
    ("bins", "far"),
    [
        (_DAYS, False),
        ([0, 800, 700, *[0] * 4, 60, 60, *[0] * 5, 100, 80, 0, 0, 0, 90], True),
        ([10] * 10 + [400] * 10, True),
        ([2_000, *[0] * 18, 2_000], True),
        ([0, 30, 0, 0, *[18] * 16], False),
    ],
    ids=["four values", "their shares change", "no gap", "at both ends", "few"],
)
def test_columns_of_few_values_are_not_elsewhere_for_their_gaps(bins: list[int], far: bool) -> None:
    found = distance(np.stack([without_gaps(np.array(bins)), np.array(bins)]))
    assert (found[0] >= 0.25) == far
    assert found[1] >= 0.25 or not far
