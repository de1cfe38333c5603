"""Events whose slices have no place: what is said of them."""

from __future__ import annotations

from schemas.records import Strangers
from stream_app.stages.judge.strangers import StrangerWatch
from tests.stages.judge.making import HOUR, config

CONFIG = config(event={"slicings": [["station", "wd"]]})
(SLICING,) = CONFIG.slicing_names
FLOOR = 1e5


def strangers(field: str, values: int) -> Strangers:
    return Strangers(
        slicing=SLICING, names=values, events=values, field=field, values=values, examples=[f"new {field}"]
    )


def test_the_field_that_is_named_explodes_now_and_not_the_one_that_did_long_ago() -> None:
    watch = StrangerWatch(CONFIG)
    assert list(watch.take(HOUR, {SLICING: 1}, 1_000, [strangers("station", 5_000)], FLOOR)) == []
    for k in range(2, 100):
        assert list(watch.take(k * HOUR, {}, 1_000, [], FLOOR)) == []
    found = [
        candidate
        for k in range(100, 120)
        for candidate in watch.take(k * HOUR, {SLICING: 400}, 1_000, [strangers("wd", 300)], FLOOR)
    ]
    assert {candidate.causes[0].features for candidate in found} == {("wd",)}


def test_of_several_source_partitions_the_one_counts_that_sees_most_of_them() -> None:
    watch = StrangerWatch(CONFIG)
    told = [strangers("station", 300), strangers("wd", 200)]
    found = [candidate for k in range(1, 20) for candidate in watch.take(k * HOUR, {SLICING: 400}, 1_000, told, FLOOR)]
    assert {candidate.causes[0].features for candidate in found} == {("station",)}


def test_one_new_value_is_one() -> None:
    watch = StrangerWatch(CONFIG)
    told = [strangers("station", 1)]
    found = [candidate for k in range(1, 20) for candidate in watch.take(k * HOUR, {SLICING: 400}, 1_000, told, FLOOR)]
    assert found[-1].causes[0].says.startswith("the field station has one new value, such as new station; their slices")
