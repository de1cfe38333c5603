"""Whatever stands on the events topic: SCORE takes it or says why not, and the events behind it are scored alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.hostile.cases import cases
from tests.hostile.checker import check, check_once
from tests.hostile.stages import Score
from tests.hostile.strategies import LISTS, hostile_lists
from tests.hostile.world import World

CASES, A_BATCH = 40_000, 400


def test_every_kind_is_taken_or_refused(world: World, seed: int) -> None:
    assert check(Score(world), cases(world, "events", seed, CASES), A_BATCH).cases == CASES


@LISTS
@given(data=st.data())
def test_what_hypothesis_thinks_of(world: World, data: st.DataObject) -> None:
    check_once(Score(world), data.draw(hostile_lists(world, "events")))
