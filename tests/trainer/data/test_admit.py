"""Which rows may train, calibrate and judge, and what is told of those that may not."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.table import DAY_MS, Table
from stream_app.config import ModelConfig, PrivacyConfig
from stream_app.trainer.data import admit
from stream_app.trainer.data.admit import leave_out, within
from stream_app.trainer.data.rows import Rows
from tests.trainer.data.worlds import CONFIG, START_MS, changed, day_of, iid, prepared, span, told

GARBAGE = 50.0
CHAMPION = told(lambda table: np.where(table.numeric[:, 0] == GARBAGE, 1e-4, 0.5))


def left_out(rows: Rows) -> dict[str, int]:
    return {reason.name: reason.rows for reason in rows.rejected}


def strange(table: Table) -> int:
    return int((table.numeric[:, 0] == GARBAGE).sum())


@pytest.mark.parametrize("share", [0.001, 0.05, 0.3])
def test_flagged_rows_train_nothing_and_stay_where_models_are_calibrated_and_judged(share: float, seed: int) -> None:
    """However many they are: no share of a week lifts the quarantine."""
    table = iid(seed, 100)
    some = np.random.default_rng(seed).random(len(table)) < share
    table = changed(table, some, w=GARBAGE)
    rows = Rows.of(table)
    made = prepared(rows, CHAMPION, calibrate_from_day=72)
    held = day_of(table) >= 72
    assert strange(made.split.train) == strange(made.split.validation) == 0
    assert left_out(rows).get("quarantined", 0) == (some & ~held).sum()
    assert strange(made.split.calibration) + strange(made.split.gate) == (some & held).sum()


def test_privately_nothing_leaves_by_what_the_model_in_service_or_other_rows_say() -> None:
    table = changed(iid(0, 100), np.arange(4_000) % 3 == 0, w=GARBAGE, x=0.0, y=1.0, z=0.0, c="a", s="s0")
    rows = Rows.of(table)
    made = prepared(rows, CHAMPION, msgspec.structs.replace(CONFIG, privacy=PrivacyConfig(enabled=True)))
    assert left_out(rows) == {}
    assert sum(map(len, made.split.parts().values())) == len(table)


def test_what_a_person_has_called_the_new_normal_trains_however_strange() -> None:
    table = changed(iid(0, 100), day_of(iid(0, 100)) >= 50, w=GARBAGE)
    made = prepared(table, CHAMPION, calibrate_from_day=72, accepted=[span("i", 50, 60, ["s1"])])
    train = Table.of(
        np.concatenate([made.split.train.numeric, made.split.validation.numeric]),
        slices=np.concatenate([made.split.train.slices, made.split.validation.slices]),
        time_ms=np.concatenate([made.split.train.time_ms, made.split.validation.time_ms]),
    )
    found = train.numeric[:, 0] == GARBAGE
    assert found.any()
    assert set(train.slices[found]) == {"s1"}
    assert (day_of(train)[found] < 60).all()


@pytest.mark.parametrize("days", [(40, 50), (75, 80), (88, 95)])
def test_what_nobody_has_judged_trains_calibrates_and_judges_nothing(days: tuple[int, int]) -> None:
    table = iid(0, 100)
    inside = (day_of(table) >= days[0]) & (day_of(table) < days[1])
    rows = Rows.of(table)
    made = prepared(rows, calibrate_from_day=72, unjudged=[span("incident-1", *days, ["s1"], "fault")])
    gone = inside & (table.slices == "s1")
    assert left_out(rows)["unjudged"] == gone.sum()
    assert "nobody has judged incident incident yet" in rows.rejected.says()
    for part in made.split.parts().values():
        there = (day_of(part) >= days[0]) & (day_of(part) < days[1])
        assert not (there & (part.slices == "s1")).any()
    assert sum(map(len, made.split.parts().values())) == len(table) - gone.sum()
    assert made.bursts == {}


def test_rows_of_bursts_that_nobody_has_judged_are_kept_for_the_gates() -> None:
    table = iid(0, 100)
    made = prepared(table, unjudged=[span("a", 3, 4), span("a", 10, 11, ["s0"]), span("b", 5, 6, None, "fault")])
    assert set(made.bursts) == {"a"}
    assert set(day_of(made.bursts["a"]).tolist()) == {3, 10}


def test_a_span_is_of_its_slices_in_its_slicing() -> None:
    table = iid(0)
    other = msgspec.structs.replace(span("i", 0, 9, ["s1"]), slicing="unknown")
    assert set(table.slices[within(table, [span("i", 0, 9, ["s1", "s2"])], CONFIG)]) == {"s1", "s2"}
    assert (within(table, [span("i", 2, 4)], CONFIG) == ((day_of(table) >= 2) & (day_of(table) < 4))).all()
    assert (within(table, [other], CONFIG) == (day_of(table) < 9)).all(), "of a slicing that is not known: all slices"


def test_all_slices_together_are_all_and_events_without_a_place_those_of_new_slices() -> None:
    table = changed(iid(0), np.arange(2_400) % 5 == 0, s="early")
    table = changed(table, (day_of(table) >= 30) & (np.arange(2_400) % 7 == 0), s="late")
    assert (within(table, [span("i", 30, 40, ["__all__"])], CONFIG) == within(table, [span("i", 30, 40)], CONFIG)).all()
    others = within(table, [span("i", 30, 40, ["__other__", "s2"])], CONFIG)
    assert set(table.slices[others]) == {"late", "s2"}
    assert set(day_of(table)[others].tolist()) == set(range(30, 40))


def test_rows_that_no_model_could_score_are_counted() -> None:
    table = iid(0, 100)
    table = changed(table, np.arange(len(table)) == 5, w=np.inf)
    rows = Rows.of(changed(table, np.arange(len(table)) == 6, w=np.nan, x=np.nan, y=np.nan, z=np.nan))
    made = prepared(rows)
    assert left_out(rows) == {"unscorable": 2}
    assert len(made.known) == len(table) - 2


def looped(days: int, period: int, seed: int) -> Table:
    """Ten rows a day that come again every so many days."""
    x = np.random.default_rng(seed).standard_normal((10 * period, 2))
    at = np.arange(10 * days)
    return Table.of(x[at % len(x)], np.full((len(at), 1), "a"), time_ms=START_MS + at * DAY_MS // 10)


@given(st.integers(2, 40), st.integers(30, 60), st.integers(0, 99))
@settings(max_examples=40)
def test_a_row_and_its_copies_are_in_one_span(period: int, days: int, seed: int) -> None:
    """Of whatever days: the newest of them says in which; those that calibrate and judge come once."""
    table = looped(days, period, seed)
    parts = prepared(table, calibrate_from_day=days - 15).split.parts()
    seen = {name: [tuple(row) for row in part.numeric.tolist()] for name, part in parts.items()}
    seen["fit"] = seen.pop("train") + seen.pop("validation")
    for one, other in itertools.combinations(seen, 2):
        assert not set(seen[one]) & set(seen[other]), (one, other)
    assert set.union(*map(set, seen.values())) == {tuple(row) for row in table.numeric.tolist()}
    for name in ("calibration", "gate"):
        assert len(set(seen[name])) == len(seen[name])


def test_copies_that_are_left_out_are_counted() -> None:
    rows = Rows.of(looped(60, 40, 1))
    made = prepared(rows, calibrate_from_day=45)
    kept = sum(map(len, made.split.parts().values()))
    assert left_out(rows) == {"repeated": len(rows) - kept}
    assert len(made.split.held_out) >= len(made.split.calibration) + len(made.split.gate)


def test_more_rows_than_may_train_are_an_even_share_and_calibration_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    config = msgspec.structs.replace(CONFIG, model=ModelConfig(max_rows=600))
    table = iid(0, 100)
    whole, thin = prepared(table).split, prepared(table, config=config).split
    assert 598 <= len(thin.train) + len(thin.validation) <= 600
    assert set(day_of(thin.train).tolist()) == set(day_of(whole.train).tolist())
    assert len(thin.calibration) == len(whole.calibration)
    assert len(thin.gate) == len(whole.gate)
    monkeypatch.setattr(admit, "HELD_MAX", 100)
    least = prepared(table).split
    assert (len(least.calibration), len(least.gate)) == (100, 100)


def test_as_many_rows_calibrate_as_a_quarter_of_a_percent_needs() -> None:
    assert admit.HELD_MAX >= 40_000


def test_the_same_rows_are_made_ready_in_the_same_way() -> None:
    table = changed(iid(0, 100), np.random.default_rng(0).random(4_000) < 0.4, s="s0")
    one, other = (prepared(table).split.parts() for _ in range(2))
    for name, part in one.items():
        assert (part.time_ms == other[name].time_ms).all()
        np.testing.assert_array_equal(part.numeric, other[name].numeric)


def test_thinning_keeps_the_span_of_time() -> None:
    table: Any = admit.thin(Table.of(np.zeros((1_000, 1)), time_ms=np.arange(1_000)), 100)
    assert len(table) == 100
    assert (table.time_ms[0], table.time_ms[-1]) == (0, 999)


def test_with_a_row_its_copies_are_left_out() -> None:
    rest, out = leave_out(looped(60, 20, 2), 3)
    left = {tuple(row) for row in out.numeric.tolist()}
    assert len(left) == len(out) == 20
    assert not left & {tuple(row) for row in rest.numeric.tolist()}
    assert len(rest) == 600 - 20 * 3


@pytest.mark.parametrize(("trained_days", "fault"), [(40, ""), (70, ""), (88, "trained on rows of the same time")])
def test_rows_that_trained_the_model_in_service_judge_nothing(trained_days: int, fault: str) -> None:
    seen_ms = START_MS + trained_days * DAY_MS
    champion = told(lambda table: np.full(len(table), 0.5))
    champion.manifest = {"provenance": {"held_out_from_ms": seen_ms}}
    made = prepared(iid(1, 90, 20), champion, calibrate_from_day=60)
    assert fault in made.fault
    if fault:
        return
    assert made.fault == ""
    assert made.split.held_out.time_ms[0] >= seen_ms
