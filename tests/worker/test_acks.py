"""An offset is committed once everything below it is done, and what was handed out before a seek counts no more."""

from __future__ import annotations

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from stream_app.worker.acks import Acks

HERE, THERE = TP("t", 0), TP("t", 1)


def test_an_offset_waits_for_the_composites_before_it() -> None:
    acks = Acks()
    first, second, third = (acks.hand_out(HERE, last) for last in (4, 9, 14))
    second.done = True
    assert not list(acks.committable())
    assert acks.take_offset(HERE) is None
    first.done = True
    assert list(acks.committable()) == [HERE]
    assert acks.take_offset(HERE) == 10
    assert acks.take_offset(HERE) is None
    third.done = True
    assert acks.take_offset(HERE) == 15
    assert len(acks) == 0


def test_partitions_do_not_wait_for_each_other() -> None:
    acks = Acks()
    acks.hand_out(HERE, 4)
    acks.hand_out(THERE, 7).done = True
    assert list(acks.committable()) == [THERE]
    assert acks.take_offset(THERE) == 8


@pytest.mark.parametrize("everything", [False, True])
def test_a_dropped_composite_is_dead(everything: bool) -> None:
    acks = Acks()
    token, other = acks.hand_out(HERE, 4), acks.hand_out(THERE, 4)
    acks.fetched(HERE, 5)
    acks.drop_all() if everything else acks.drop([HERE])
    token.done = other.done = True
    assert (token.live, other.live) == (False, not everything)
    assert acks.take_offset(HERE) is None
    assert acks.settled(HERE, 2) == 2


def test_what_was_fetched_is_settled_once_nothing_waits() -> None:
    acks = Acks()
    assert acks.settled(HERE, None) is None
    token = acks.hand_out(HERE, 4)
    acks.fetched(HERE, 6)  # offset 5 is the marker of a transaction
    assert acks.settled(HERE, 3) == 3
    token.done = True
    acks.take_offset(HERE)
    assert acks.settled(HERE, 5) == 6
    assert acks.settled(HERE, 8) == 8


@given(st.permutations(range(8)))
def test_no_order_of_acks_commits_past_a_hole(order: list[int]) -> None:
    acks = Acks()
    tokens = [acks.hand_out(HERE, last) for last in range(8)]
    done: set[int] = set()
    committed = 0
    for index in order:
        tokens[index].done = True
        done.add(index)
        committed = acks.take_offset(HERE) or committed
        assert committed == next((i for i in range(8) if i not in done), 8)
