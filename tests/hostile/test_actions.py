"""Whatever stands on the actions topic: what an operator has signed counts once, and all else is refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.hostile.cases import cases
from tests.hostile.checker import check, check_once
from tests.hostile.feed import Acts
from tests.hostile.strategies import LISTS, hostile_lists
from tests.hostile.world import World

CASES, A_BATCH = 12_000, 150


def test_every_kind_is_taken_or_refused(world: World, seed: int) -> None:
    assert check(Acts(world), cases(world, "actions", seed, CASES), A_BATCH).cases == CASES


@LISTS
@given(data=st.data())
def test_what_hypothesis_thinks_of(world: World, data: st.DataObject) -> None:
    check_once(Acts(world), data.draw(hostile_lists(world, "actions")))
