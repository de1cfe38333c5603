"""What is remembered of names without end: who comes most often, how many there are, in bounded memory."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.stages.score.sketch import HASHES_MAX, Distinct, Newcomers
from stream_app.stages.snapshot import pack, unpack

COMINGS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3)), max_size=80)


def follow(comings: list[tuple[str, int]], most: int, lasting: int = 2) -> Newcomers:
    followed, pane = Newcomers(most, lasting), 0
    for name, step in comings:
        pane += step // 3
        followed.add(name, pane)
    return followed


def by_hand(comings: list[tuple[str, int]], most: int) -> dict[str, list[int]]:
    """Space-saving as the paper has it, in the plainest way: name to count, error, and when it came last."""
    rows: dict[str, list[int]] = {}
    for at, (name, _) in enumerate(comings):
        if name not in rows and len(rows) == most:
            least = min(rows, key=lambda other: (rows[other][0], rows[other][2]))
            rows[name] = [rows[least][0], rows.pop(least)[0], at]
        row = rows.setdefault(name, [0, 0, at])
        row[0], row[2] = row[0] + 1, at
    return rows


@given(COMINGS, st.integers(1, 6))
def test_it_follows_those_that_the_paper_follows(comings: list[tuple[str, int]], most: int) -> None:
    followed, expected = follow(comings, most), by_hand(comings, most)
    assert {name: [followed[name].count, followed[name].error] for name in followed} == {
        name: row[:2] for name, row in expected.items()
    }


@given(COMINGS, st.integers(1, 6))
def test_whoever_comes_more_often_than_one_in_so_many_is_followed(comings: list[tuple[str, int]], most: int) -> None:
    followed, truth = follow(comings, most), Counter(name for name, _ in comings)
    assert len(followed) <= most
    assert {name for name, n in truth.items() if n > len(comings) / most} <= set(followed)
    for name in followed:
        assert followed[name].sure <= truth[name] <= followed[name].count


@given(COMINGS, st.integers(1, 6))
def test_panes_are_counted_once_each_and_never_too_many(comings: list[tuple[str, int]], most: int) -> None:
    followed, panes, pane = follow(comings, most), dict[str, set[int]](), 0
    for name, step in comings:
        pane += step // 3
        panes.setdefault(name, set()).add(pane)
    for name in followed:
        assert 1 <= followed[name].panes <= len(panes[name])
        assert followed[name].last_ms == max(panes[name])
        if most >= len(panes):
            assert followed[name].panes == len(panes[name])
    assert followed.lasted == {name for name in followed if followed[name].panes >= 2}


@given(COMINGS, COMINGS, st.integers(1, 6), st.sets(st.sampled_from("abcdefgh")), st.integers(0, 6))
def test_a_snapshot_goes_on_the_same(
    before: list[tuple[str, int]], after: list[tuple[str, int]], most: int, removed: set[str], forgotten: int
) -> None:
    whole = follow(before, most)
    for name in removed.intersection(whole):
        whole.remove(name)
    whole.forget(forgotten)
    assert all(whole[name].last_ms >= forgotten for name in whole)
    back = Newcomers(most, 2)
    back.restore(unpack(pack(whole.to_state())))
    for name, step in after:
        for one in (whole, back):
            one.add(name, 30 + step)
            one.forget(step + 10)
    assert pack(back.to_state()) == pack(whole.to_state())
    assert back.lasted == whole.lasted


def test_a_smaller_bound_after_a_restart_keeps_those_that_came_most() -> None:
    whole, smaller = follow([(name, 0) for name in "aabbbcd"], 4), Newcomers(2, 1)
    smaller.restore(whole.to_state())
    assert set(smaller) == {"a", "b"}
    smaller.add("z", 0)
    assert set(smaller) == {"z", "b"}


def test_a_flood_of_names_that_come_once_costs_nobody_who_comes_often_a_place() -> None:
    chance, followed = random.Random(7), Newcomers(200, 3)
    for n in range(50_000):
        followed.add(f"attack {n}", n // 5_000)
        if chance.random() < 0.02:
            followed.add("honest", n // 5_000)
    assert len(followed) == 200
    assert followed["honest"].panes == 10
    assert followed.lasted == {"honest"}


@pytest.mark.parametrize("n", [0, 1, 255, HASHES_MAX - 1])
def test_few_are_counted_exactly(n: int) -> None:
    names = Distinct()
    for i in [*range(n), *range(n)]:
        names.add(f"n{i}")
    assert len(names) == n


@pytest.mark.parametrize("n", [HASHES_MAX, 1_000, 30_000])
def test_many_are_counted_within_a_fifth(n: int) -> None:
    for seed in range(3):
        names = Distinct()
        for i in range(n):
            names.add(f"{seed}/{i}")
            names.add(f"{seed}/{i // 2}")
        assert len(names.hashes) == HASHES_MAX
        assert len(names) == pytest.approx(n, rel=0.2)


@given(st.lists(st.text(max_size=3), max_size=400), st.randoms(use_true_random=False))
def test_the_order_of_names_makes_no_difference(names: list[str], chance: random.Random) -> None:
    one, other = Distinct(), Distinct()
    for name in names:
        one.add(name)
    chance.shuffle(names)
    for name in names[: len(names) // 2]:
        other.add(name)
    other = Distinct(other.hashes)
    for name in names:
        other.add(name)
    assert other.hashes == one.hashes
