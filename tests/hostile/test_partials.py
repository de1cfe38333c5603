"""Whatever stands on the partials topic: WATCH takes it or says why not, and what it refuses changes nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.hostile.cases import cases
from tests.hostile.checker import check, check_once
from tests.hostile.stages import Watch
from tests.hostile.strategies import LISTS, hostile_lists
from tests.hostile.world import World

CASES, A_BATCH = 20_000, 100


def test_every_kind_is_taken_or_refused(world: World, seed: int) -> None:
    assert check(Watch(world), cases(world, "partials", seed, CASES), A_BATCH).cases == CASES


@LISTS
@given(data=st.data())
def test_what_hypothesis_thinks_of(world: World, data: st.DataObject) -> None:
    check_once(Watch(world), data.draw(hostile_lists(world, "partials")))
