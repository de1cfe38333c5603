"""Who is called strange more often than others, and how sure that is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flowlib.fairness import ERROR, Counts, Part, compared, fairness, fairness_of, said, slice_groups
from flowlib.table import Floats, Ints, Objects

ALPHA = 0.01
DAYS = 30
SHARES = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.04, 0.03, 0.02, 0.01])


def scored(g: np.random.Generator, rate: Floats, blocks: Ints) -> Any:
    """Scores of rows each of which is an alarm with a chance of its own, which goes up and down with the day."""
    effect = np.exp(0.5 * g.standard_normal(DAYS) - 0.125)
    p_value = np.where(g.random(len(rate)) < rate * effect[blocks], ALPHA / 2, 0.5)
    return SimpleNamespace(scorable=np.ones(len(rate), bool), p_value=p_value, log_prob=g.standard_normal(len(rate)))


def world(seed: int, n: int, times: float = 1.0) -> tuple[Any, Objects, Ints]:
    """Ten slices of unequal size; the third raises so many times as many alarms as the others."""
    g = np.random.default_rng([seed, n])
    blocks, part = np.sort(g.integers(DAYS, size=n)), g.choice(len(SHARES), size=n, p=SHARES)
    rate = np.where(part == 2, times * ALPHA, ALPHA)
    return scored(g, rate, blocks), part.astype(str).astype(object), blocks


def judged(seed: int, n: int, times: float = 1.0) -> dict[str, str]:
    scores, part, blocks = world(seed, n, times)
    return {one.name: one.judged for one in fairness(scores, {"shop": part}, blocks, ALPHA)}


@pytest.mark.parametrize(("n", "worlds"), [(3_000, 200), (20_000, 60)])
def test_where_all_are_alike_hardly_anybody_is_accused(n: int, worlds: int) -> None:
    """In fixed worlds: the chance that any of ten parts is accused is stated as 5 % at most."""
    wrong = sum(bool({"over", "under"} & set(judged(seed, n).values())) for seed in range(worlds))
    assert wrong / worlds <= ERROR


def test_a_slice_with_three_times_the_alarms_is_named_with_how_many_too_many() -> None:
    scores, part, blocks = world(1, 20_000, times=3.0)
    found = fairness(scores, {"shop": part}, blocks, ALPHA)
    worst = found[0]
    assert (worst.name, worst.judged) == ("2", "over")
    assert [one.name for one in found if one.judged == "over"] == ["2"]
    here = part == "2"
    alarms = scores.p_value <= ALPHA
    assert worst.rows == here.sum()
    assert worst.share == alarms[here].mean()
    assert worst.others == alarms[~here].mean()
    assert worst.excess == pytest.approx(alarms[here].sum() - here.sum() * alarms[~here].mean())
    assert worst.more is not None
    assert worst.more_95 is not None
    assert worst.more_95[0] < worst.more < worst.more_95[1]
    assert worst.share_95[0] < worst.share < worst.share_95[1]
    assert "surely more than the" in worst.says()
    assert "alarms beyond their share" in worst.says()


def test_small_parts_are_counted_and_not_judged() -> None:
    g = np.random.default_rng(3)
    part = np.array(["big"] * 990 + ["small"] * 10, dtype=object)
    scores = scored(g, np.full(1_000, ALPHA), np.arange(1_000) % DAYS)
    found = {one.name: one for one in fairness(scores, {"shop": part}, np.arange(1_000) % DAYS, ALPHA)}
    assert found["small"].judged == "too few"
    assert found["small"].says().endswith("too few to compare")
    assert found["small"].rows == 10


def test_one_part_alone_has_nobody_to_be_compared_with() -> None:
    scores = scored(np.random.default_rng(4), np.full(600, ALPHA), np.arange(600) % DAYS)
    (only,) = fairness(scores, {"all": np.full(600, "all", object)}, np.arange(600) % DAYS, ALPHA)
    assert (only.others, only.more, only.ratio, only.judged, only.excess) == (None, None, None, "alike", 0.0)
    assert only.to_json()["says"] == only.says()


def test_rows_that_cannot_be_scored_are_left_out() -> None:
    scores, part, blocks = world(5, 3_000)
    scores.scorable[:1_500] = False
    found: list[Part] = fairness(scores, {"shop": part}, blocks, ALPHA)
    assert sum(one.rows for one in found) == 1_500


def test_slices_are_grouped_by_field_and_by_size() -> None:
    names = np.array([f"{country}|{shop}" for country in "AB" for shop in range(6) for _ in range(shop + 1)], object)
    found = slice_groups(names, ["country", "shop"], most=3)
    assert list(found) == ["country+shop", "country", "shop", "size of the slice"]
    assert set(found["country"]) == {"A", "B"}
    assert set(found["country+shop"]) == {"A|5", "B|5", "A|4", "all smaller slices"}
    assert set(found["size of the slice"][names == "A|5"]) == {"the largest quarter of the slices"}
    assert set(found["size of the slice"][names == "A|0"]) == {"the smallest quarter of the slices"}
    assert list(slice_groups(np.array(["all"], object), [])) == ["all"]


def test_sums_of_panes_say_what_rows_say() -> None:
    """Of the same events: kept by slice and day, or row by row."""
    scores, part, blocks = world(7, 5_000, times=3.0)
    scores.scorable[::50] = False
    names = np.array([f"{'DE' if int(name) % 2 else 'FR'}|{name}" for name in part], dtype=object)
    fields, known = ["country", "shop"], sorted(set(names))
    of_rows = fairness(scores, slice_groups(names, fields, most=4), blocks, ALPHA)

    def summed(values: Floats) -> Floats:
        return np.array([[values[(names == name) & (blocks == day)].sum() for day in range(DAYS)] for name in known])

    ok = scores.scorable
    columns = (ok, ok & (scores.p_value <= ALPHA), np.where(ok, scores.log_prob, 0.0), ~ok)
    of_sums = fairness_of(Counts(known, *(summed(column.astype(float)) for column in columns)), fields, most=4)
    assert [(one.grouping, one.name, one.judged) for one in of_sums] == [
        (one.grouping, one.name, one.judged) for one in of_rows
    ]
    for ours, theirs in zip(of_sums, of_rows, strict=True):
        assert (ours.rows, ours.alarms, ours.unscorable) == (theirs.rows, theirs.alarms, theirs.unscorable)
        assert ours.share_95 == pytest.approx(theirs.share_95)
        assert (ours.more, ours.log_prob) == pytest.approx((theirs.more, theirs.log_prob))
    assert any(one.name == "FR|2" and one.judged == "over" for one in of_sums)


def by_day(alarms: list[int]) -> Counts:
    """Two slices of 500 events a day: one with these alarms, one with six each day."""
    hits = np.array([alarms, [6] * len(alarms)], dtype=float)
    return Counts(["a", "b"], np.full(hits.shape, 500.0), hits, np.zeros(hits.shape), np.zeros(hits.shape))


def test_days_that_differ_widen_the_interval() -> None:
    loud, calm = ({one.name: one for one in compared("all", by_day(a))}["a"] for a in ([0] * 18 + [60] * 2, [6] * 20))
    assert loud.alarms == calm.alarms
    assert loud.share_95[1] - loud.share_95[0] > 2 * (calm.share_95[1] - calm.share_95[0])
    assert calm.judged == "alike"


def test_who_is_over_alarmed_is_said_with_how_much() -> None:
    sentences = said(compared("shop", by_day([20 + i % 3 for i in range(20)])))
    assert sentences[0].startswith("shop, a: 4.19% of 10,000 events are called strange (95 % interval ")
    assert "surely more than the 1.20% of all others, 3.5 times as many: 299 alarms beyond their share." in sentences[0]
    assert said([]) == said(compared("all", by_day([6] * 20)))
