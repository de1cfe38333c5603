"""What a source partition remembers: which model scores which pane."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_app.stages.score.state import ScoreState


def by_hand(activations: list[tuple[int, str]], pane_start_ms: int) -> str:
    chosen = activations[0][1]
    for start, model_id in activations:
        if start <= pane_start_ms:
            chosen = model_id
    return chosen


@given(
    st.dictionaries(st.integers(0, 50), st.sampled_from("abcd"), min_size=1, max_size=6),
    st.lists(st.integers(0, 60), max_size=20),
)
def test_each_pane_gets_the_last_activation_at_or_before_it(activations: dict[int, str], panes: list[int]) -> None:
    state = ScoreState(activations=sorted(activations.items()))
    models = state.models_for(np.array(panes, dtype=np.int64)).objects()
    assert models.tolist() == [by_hand(state.activations, pane) for pane in panes]


def test_a_later_decision_for_the_same_pane_replaces_the_earlier() -> None:
    state = ScoreState()
    for start, model_id in ((5, "a"), (0, "b"), (5, "c")):
        state.activate(start, model_id)
    assert state.activations == [(0, "b"), (5, "c")]


def test_a_new_model_starts_with_the_first_pane_that_no_row_has_reached() -> None:
    state = ScoreState()
    assert state.next_free_pane(1_000) == 0
    state.timing.newest_ms = 3_999
    assert state.next_free_pane(1_000) == 4_000
    state.timing.newest_ms = 4_000
    assert state.next_free_pane(1_000) == 5_000
