"""A flood cannot buy the model: what one slice, producer or content may train."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flowlib.table import Bools, Ints, Table
from stream_app.trainer.data.caps import CAP, within_caps
from stream_app.trainer.data.rows import Rows
from tests.trainer.data.worlds import changed, day_of, iid, prepared


def flooded(seed: int, share: float, from_day: int, a_day: int = 60) -> tuple[Table, Bools]:
    """A world in which from a day on so large a share of the rows is one content."""
    table = iid(seed, 70, a_day)
    flood = (day_of(table) >= from_day) & (np.random.default_rng([seed, 1]).random(len(table)) < share)
    return changed(table, flood, w=0.1, x=0.2, y=1.1, z=0.3, c="a", s="s0"), flood


def kept_of(table: Table, keys: Ints | None = None, seed: int = 0) -> Bools:
    names = None if keys is None else keys.astype(object)
    return within_caps(table, day_of(table), names, np.random.default_rng(seed).random(len(table)))


@pytest.mark.parametrize("from_day", [36, 50, 65])
def test_one_content_that_floods_the_newer_half_trains_next_to_nothing(from_day: int, seed: int) -> None:
    table, flood = flooded(seed, 0.3, from_day)
    kept = kept_of(table)
    days = 70 - from_day
    assert flood.sum() > 10 * days
    assert (flood & kept).sum() <= 10 * days, "ten rows a day, or 2 % of the day's, whichever is more"
    assert kept[~flood].mean() > 0.999


def test_a_new_slice_that_floods_trains_three_times_what_the_others_do(seed: int) -> None:
    table = iid(seed, 70, 100)
    flood = (day_of(table) >= 40) & (np.random.default_rng([seed, 1]).random(len(table)) < 0.8)
    table = changed(table, flood, s="attacker")
    kept = kept_of(table)
    ordinary = np.median(np.bincount(day_of(table)[table.slices == "s1"], minlength=70)[40:])
    assert (flood & kept).sum() / 30 <= 1.6 * CAP * ordinary
    assert kept[~flood].mean() > 0.99


def test_a_producer_that_floods_under_the_names_of_others_is_capped_by_its_key(seed: int) -> None:
    """Its rows are spread over all slices and no two are alike: only the record key tells."""
    g = np.random.default_rng(seed)
    table = iid(seed, 70, 120)
    keys = g.integers(0, 20, len(table))
    flood = (day_of(table) >= 40) & (g.random(len(table)) < 0.5)
    keys[flood] = 99
    kept = kept_of(table, keys)
    assert (flood & kept).sum() / kept.sum() < 0.12
    assert flood.mean() > 0.2
    assert kept[~flood].mean() > 0.98
    assert kept_of(table).mean() > 0.98, "without keys nothing tells"


def test_a_large_slice_is_itself(seed: int) -> None:
    """Twenty times as many rows as the others have, and always had: nothing is taken."""
    g = np.random.default_rng(seed)
    table = iid(seed, 60, 100)
    table = changed(table, g.random(len(table)) < 0.9, s="large")
    assert kept_of(table).mean() > 0.98


def test_a_state_that_always_was_is_itself() -> None:
    table, _ = flooded(3, 0.4, 0)
    assert kept_of(table).mean() > 0.999


def test_nothing_is_taken_where_nothing_floods() -> None:
    left_out = 0
    for seed in range(20):
        table = iid(seed, 60, 60)
        left_out += int((~kept_of(table, np.random.default_rng(seed).integers(0, 9, len(table)))).sum())
    assert left_out / (20 * 3_600) < 0.001


def test_rows_of_few_different_values_train_all() -> None:
    """Counts: each value comes often, and always did."""
    g = np.random.default_rng(0)
    table = Table.of(g.poisson(3.0, (6_000, 1)), time_ms=np.arange(6_000))
    kept = within_caps(table, np.arange(6_000) // 100, None, g.random(6_000))
    assert kept.mean() > 0.999


def test_what_stays_is_drawn_and_counted() -> None:
    table, flood = flooded(0, 0.3, 36, 200)
    rows = Rows.of(table)
    made = prepared(rows, calibrate_from_day=56)
    other = prepared(table, secret=b"x" * 32, calibrate_from_day=56)
    capped = next(reason.rows for reason in rows.rejected if reason.name == "capped")
    assert capped > 0.5 * flood[day_of(table) < 56].sum()
    one, two = (
        set(part.split.train.time_ms.tolist() + part.split.validation.time_ms.tolist()) for part in (made, other)
    )
    assert one != two, "which of the flood's rows stay depends on the key"


def test_record_keys_count_in_what_is_prepared() -> None:
    table = iid(0, 70, 120)
    flood = (day_of(table) >= 30) & (np.random.default_rng(1).random(len(table)) < 0.5)
    keys = np.array([b"9" if one else bytes([i % 20]) for i, one in enumerate(flood)], dtype=object)
    rows = replace(Rows.of(table), keys=keys)
    prepared(rows)
    assert {reason.name for reason in rows.rejected} == {"capped"}
