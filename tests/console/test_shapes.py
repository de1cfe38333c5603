"""Small steps from rows to answers; the big ones are tested with the page's questions."""

from __future__ import annotations

import pytest

from stream_app.console.shapes import span_ms, swap_count, swaps


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
