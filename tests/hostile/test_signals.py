"""Whatever stands on the signals topic: the trainer answers requests once and says of what is none why; so does
``driftflow signals``, which only reads.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.hostile.asking import Requests, Tail, for_people
from tests.hostile.cases import cases
from tests.hostile.checker import check, check_once
from tests.hostile.strategies import LISTS, hostile_lists
from tests.hostile.world import World

CASES, A_BATCH = 20_000, 150
SHOWN = 15_000


def test_the_trainer_answers_or_refuses_every_kind(world: World, seed: int) -> None:
    assert check(Requests(world), cases(world, "signals", seed, CASES), A_BATCH).cases == CASES


def test_signals_shows_every_kind(world: World, seed: int) -> None:
    assert check(Tail(world), for_people(cases(world, "signals", seed, SHOWN)), A_BATCH).cases == SHOWN


@LISTS
@given(data=st.data())
def test_what_hypothesis_asks(world: World, data: st.DataObject) -> None:
    check_once(Requests(world), data.draw(hostile_lists(world, "signals")))


@LISTS
@given(data=st.data())
def test_what_hypothesis_shows(world: World, data: st.DataObject) -> None:
    check_once(Tail(world), data.draw(hostile_lists(world, "signals")))
