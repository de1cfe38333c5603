"""Whatever stands on the models topic: a worker takes a genuine notice, says of every other why not, and goes on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.hostile.cases import cases
from tests.hostile.checker import check, check_once
from tests.hostile.feed import Feed
from tests.hostile.strategies import LISTS, hostile_lists
from tests.hostile.world import World

CASES, A_BATCH = 15_000, 150


def test_every_kind_is_taken_or_refused(world: World, seed: int) -> None:
    assert check(Feed(world), cases(world, "models", seed, CASES), A_BATCH).cases == CASES


@LISTS
@given(data=st.data())
def test_what_hypothesis_thinks_of(world: World, data: st.DataObject) -> None:
    check_once(Feed(world), data.draw(hostile_lists(world, "models")))
