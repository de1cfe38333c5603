"""Which rows train, which calibrate, which judge, and which are kept out."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.table import DAY_MS, Coded, Table
from stream_app.config import Config, EventConfig, TopicsConfig, TrainerConfig
from stream_app.stages.batches import EventBatch
from stream_app.trainer import dataset
from stream_app.trainer.dataset import gather, leave_out, quarantined, split

CONFIG = Config(
    stream="s",
    topics=TopicsConfig(events="e"),
    event=EventConfig(time_field="t", numeric=["x"]),
    trainer=TrainerConfig(trim=0.02),
)


def batch(partition: int, offsets: list[int], times: list[int]) -> EventBatch:
    n = len(offsets)
    numeric = np.arange(float(n))[:, None] + 100 * partition
    return EventBatch(
        topic="e",
        partition=partition,
        rows=np.arange(n),
        offsets=np.array(offsets),
        event_time_ms=np.array(times),
        numeric=numeric,
        categorical=np.zeros((n, 0), object),
        slices=(Coded.alike(n, f"p{partition}"),),
    )


def rows(times: Any, slices: Any = None) -> Table:
    times = np.asarray(times, dtype=np.int64)
    n = len(times)
    names = np.full(n, "a", object) if slices is None else np.asarray(slices, dtype=object)
    return Table(np.zeros((n, 1)), np.zeros((n, 0), object), names, times)


@given(st.permutations(range(6)))
def test_the_order_of_fetching_does_not_matter(order: list[int]) -> None:
    parts = [batch(p, [10 * k, 10 * k + 1], [5 * k, 5 * k + 2]) for p in (0, 1) for k in (0, 1, 2)]
    got = gather([parts[i] for i in order], 2, 11)
    assert got.time_ms.tolist() == [2, 2, 5, 5, 7, 7, 10, 10]
    assert got.slices.tolist() == ["p0", "p1"] * 4


def test_nothing_to_gather_is_no_rows() -> None:
    assert len(gather([], 0, 10)) == 0


def test_parts_are_whole_days_and_disjoint() -> None:
    times = np.arange(0, 60 * DAY_MS, DAY_MS // 4)
    parts = split(rows(times), 40 * DAY_MS)
    days = {name: set((getattr(parts, name).time_ms // DAY_MS).tolist()) for name in parts.__dataclass_fields__}
    held_out = days.pop("held_out")
    assert sum(map(len, days.values())) == 60
    assert set.union(*days.values()) == set(range(60))
    assert min(days["calibration"] | days["gate"]) >= 40
    assert {day % 5 for day in days["calibration"]} == {dataset.CALIBRATION}
    assert {day % 5 for day in days["gate"]} == {dataset.GATE}
    assert held_out == {day for name in ("validation", "calibration", "gate") for day in days[name] if day >= 40}
    assert (np.diff(parts.held_out.time_ms) >= 0).all(), "the reference looks at panes one after the other"


@pytest.mark.parametrize("held", [dataset.CALIBRATION, dataset.GATE])
def test_calibration_and_gate_days_are_equally_far_from_training_days(held: int) -> None:
    train = set(range(5)) - {dataset.CALIBRATION, dataset.VALIDATION, dataset.GATE}
    assert sum((held + step) % 5 in train for step in (-1, 1)) == 1


def fake_model(p_value: Any, log_prob: Any) -> Any:
    """A model in service that says what it is told to."""
    scores = SimpleNamespace(
        scorable=np.ones(len(p_value), bool), p_value=np.asarray(p_value), log_prob=np.asarray(log_prob, dtype=float)
    )
    return SimpleNamespace(score=lambda *_: scores)


def test_lone_anomalies_are_kept_out() -> None:
    n = 2_000
    p = np.full(n, 0.5)
    p[[7, 500]] = 0.001
    out = quarantined(rows(np.arange(n) * 60_000), fake_model(p, np.zeros(n)), CONFIG)
    assert np.flatnonzero(out).tolist() == [7, 500]


def test_a_week_that_is_flagged_as_a_whole_trains_save_its_worst() -> None:
    n = 400
    p = np.full(n, 0.001)
    log_prob = np.arange(n, dtype=float)
    out = quarantined(rows(np.arange(n) * 60_000), fake_model(p, log_prob), CONFIG)
    assert np.flatnonzero(out).tolist() == list(range(8)), "2 % of 400, the least likely"


def test_a_collective_week_of_one_slice_does_not_excuse_another() -> None:
    n = 1_000
    names = np.where(np.arange(n) % 2 == 0, "changed", "calm")
    p = np.where(names == "changed", 0.001, 0.5)
    p[1] = 0.001
    out = quarantined(rows(np.arange(n) * 60_000, names), fake_model(p, np.arange(n, dtype=float)), CONFIG)
    assert out[1]
    assert out[names == "changed"].mean() == pytest.approx(0.02, abs=0.002)


def test_thinning_keeps_the_span_of_time() -> None:
    thin = dataset.thin(rows(np.arange(1_000)), 100)
    assert len(thin) == 100
    assert (thin.time_ms[0], thin.time_ms[-1]) == (0, 999)


def looped(days: int, period: int, seed: int) -> Table:
    """Ten rows a day that come again every so many days."""
    x = np.random.default_rng(seed).standard_normal((10 * period, 2))
    at = np.arange(10 * days)
    return Table.of(x[at % len(x)], time_ms=at * DAY_MS // 10)


@given(st.integers(2, 40), st.integers(20, 60), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_row_and_its_copies_are_in_one_part(period: int, days: int, seed: int) -> None:
    """Of whatever days: the newest of them says in which; those that calibrate and judge come once."""
    table = looped(days, period, seed)
    parts = split(table, (days - 15) * DAY_MS)
    seen = {name: [tuple(row) for row in getattr(parts, name).numeric.tolist()] for name in parts.__dataclass_fields__}
    held_out = set(seen.pop("held_out"))
    for one, other in itertools.combinations(seen, 2):
        assert not set(seen[one]) & set(seen[other]), (one, other)
    assert set.union(*map(set, seen.values())) == {tuple(row) for row in table.numeric.tolist()}
    assert not held_out & set(seen["train"]), "the reference is fitted on what trained nothing"
    for name in ("calibration", "gate"):
        assert len(set(seen[name])) == len(seen[name])


def test_a_loop_of_days_calibrates_on_its_last_round() -> None:
    """Sixty days of seven that come again and again: every part has rows, of the newest days."""
    parts = split(looped(60, 7, 1), 40 * DAY_MS)
    sizes = {name: len(getattr(parts, name)) for name in ("train", "validation", "calibration", "gate")}
    assert min(sizes.values()) > 0, sizes
    assert sizes["calibration"] in (10, 20)
    assert (parts.calibration.time_ms >= 53 * DAY_MS).all()


def test_without_looking_at_others_copies_are_rows_like_any() -> None:
    table = looped(60, 7, 1)
    parts = split(table, 40 * DAY_MS, together=False)
    assert sum(len(getattr(parts, name)) for name in ("train", "validation", "calibration", "gate")) == len(table)


def test_with_a_row_its_copies_are_left_out() -> None:
    table = looped(60, 20, 2)
    rest, out = leave_out(table, 3)
    left = {tuple(row) for row in out.numeric.tolist()}
    assert len(left) == len(out) == 20
    assert not left & {tuple(row) for row in rest.numeric.tolist()}
    assert len(rest) == 600 - 20 * 3
