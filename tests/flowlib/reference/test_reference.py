"""The reference of a model: means and errors that hold, for columns of every kind, and no senseless state."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from flowlib.channels import UNIT, EventScores, value_codes
from flowlib.encoder.findings import Finding
from flowlib.reference import reference as module
from flowlib.reference.fit import column_kinds
from flowlib.reference.moments import Sums, deviations
from flowlib.reference.reference import (
    _SHAPES,
    ABSENT,
    CONSTANT,
    COPY,
    VARIES,
    Reference,
    hour_of_week,
    volume_log_ratio,
)
from flowlib.table import Table
from tests.flowlib.reference.worlds import PANE_MS, START_MS, Held, held_out, scores_of


@pytest.mark.parametrize("differ", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("phi", [0.0, 0.5])
def test_means_are_known_as_well_as_they_are_said_to_be(differ: float, phi: float) -> None:
    """Against the slices' means in a large draw of their own: twice the error covers them."""
    held = held_out(slices=40, panes=200, differ=differ, phi=phi, seed=1)
    reference = held.reference()
    truth = _true_means(held)
    off = np.abs(reference.mean[1:, :2] - truth) / (reference.mean_se[1:, :2] * reference.sd[1:, :2])
    assert (off <= 2).mean() > 0.9
    assert reference.rows[1:].tolist() == [800.0] * 40


def test_of_more_slices_than_fit_into_a_message_those_with_most_events_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = held_out(slices=40, panes=40, seed=1)
    whole = held.reference()
    size = sum(4 * getattr(whole, name)[0].size for name, shape in _SHAPES.items() if shape[0] == "s")
    monkeypatch.setattr(module, "SLICES_BYTES_MAX", 7 * size + 1)
    few = held.reference()
    assert len(few.slices) == 7
    counts = {name: int((held.table.slices == name).sum()) for name in whole.slices}
    assert sum(counts[name] for name in few.slices) == sum(sorted(counts.values())[-7:])
    assert few.rows[0] == len(held.table) - few.rows[1:].sum()


def test_what_moves_all_slices_at_once_is_not_known_the_better_for_many_of_them() -> None:
    """Ten days, each of which moves all of forty slices by .3: that leaves .3 / √10 unknown of each."""
    held = held_out(slices=40, panes=240, seed=3)
    base, day = held.events.base.copy(), (held.table.time_ms - START_MS) // (24 * PANE_MS)
    base[:, 0] += np.rint(0.3 * UNIT * np.random.default_rng(4).standard_normal(10))[day].astype(np.int64)
    moved = replace(held, events=replace(held.events, base=base)).reference()
    assert moved.mean_se[1:, 0].min() > 0.06
    assert held.reference().mean_se[1:, 0].max() < 0.04


def _true_means(held: Held) -> Any:
    """The mean score of a slice under its own location, from a large draw."""
    z = np.random.default_rng(98).standard_normal((20_000, 1))
    means = []
    for location in held.location:
        own = z + location
        scores = held.channels.of(
            scores_of(own, np.zeros(own.shape, dtype=bool), np.zeros((len(z), 1), dtype=np.int64))
        )
        means.append(scores.base[:, :2].mean(axis=0) / UNIT)
    return np.array(means)


def test_deviations_of_the_reference_itself_are_standard() -> None:
    held = held_out(slices=10, differ=1.0)
    reference = held.reference()
    n, x = deviations(Sums.of_events(held.channels, held.events), reference.normal().take(held.code + 1))
    there = n > 0
    mean = np.array([x[there[:, c], c].mean() for c in range(x.shape[1])])
    sd = np.array([x[there[:, c], c].std() for c in range(x.shape[1])])
    assert np.abs(mean).max() < 0.03
    assert np.abs(sd - 1).max() < 0.1


def test_cumulants_are_at_least_those_of_single_events() -> None:
    reference = held_out(slices=10).reference()
    bets = np.array([0.1, 0.25, 0.6, 1.2][: reference.cumulants.shape[2]])
    assert (reference.cumulants >= 0).all()
    assert (np.diff(reference.cumulants, axis=2) > 0).all()
    location = reference.cumulants[0, 0]
    assert len(location) >= len(bets)


def test_dependence_in_time_shows_in_the_inflation() -> None:
    ratio = {phi: held_out(slices=40, panes=240, phi=phi).reference().inflation[0, :2].mean() for phi in (0.0, 0.5)}
    assert 1.0 <= ratio[0.0] < 1.4
    assert 2.5 < ratio[0.5] < 4.0


def test_rates_and_missing_shares_are_those_of_the_rows() -> None:
    reference = held_out(slices=10, gaps=0.1).reference()
    assert reference.rate[1:] == pytest.approx(np.full(10, 4.0), rel=0.01)
    assert reference.missing[1:] == pytest.approx(np.full((10, 2), 0.1), abs=0.02)
    assert reference.share[1:, 0, :3] == pytest.approx(np.tile([0.6, 0.3, 0.1], (10, 1)), abs=0.03)
    assert reference.share[1:, 0, 3:].max() < 1e-3
    assert reference.share[1:].sum(axis=2) == pytest.approx(np.ones((10, 1)), abs=0.01)
    assert reference.rate_se[1:].max() < 0.2


def test_panes_that_repeat_the_one_before_are_counted_by_their_size() -> None:
    held = held_out(slices=5, n=1, gaps=0.0)
    numeric = held.table.numeric.copy()
    numeric[500:, 0] = np.repeat(np.arange(5.0), 100)
    numeric[:500, 1] = 4.0
    table = held.table.with_numeric(numeric)
    reference = replace(held, table=table).reference()
    assert reference.still[1:, 0, 0] == pytest.approx(np.full(5, 0.4), abs=0.1)
    assert reference.still[1:, 1, 0].max() < 0.02, "nothing is stuck at its most frequent value"
    assert reference.still_inflation[0, 0] > 5, "it comes in runs"


def test_columns_are_sorted_into_kinds() -> None:
    rows = np.column_stack([np.arange(9.0), np.full(9, 3.0), np.full(9, np.nan), np.arange(9.0)])
    rows[4, 1] = np.nan
    twin = Finding("duplicate", ("a", "d"), "")
    assert column_kinds(Table.of(rows), (twin,), ("a", "b", "c", "d")).tolist() == [VARIES, CONSTANT, ABSENT, COPY]


def test_constant_absent_and_doubled_columns_have_channels_that_say_nothing() -> None:
    numeric = held_out(slices=4, d=4).table.numeric.copy()
    numeric[:, 1], numeric[:, 2], numeric[:, 3] = 7.5, np.nan, numeric[:, 0]
    held = held_out(slices=4, d=4, kinds=np.array([VARIES, CONSTANT, ABSENT, COPY]), numeric=numeric)
    present = held.events.present.copy()
    present[:, 2] = False
    events = replace(held.events, present=present)
    reference = replace(held, events=events).reference()
    assert not held.events.base[:, 1:4].any()
    assert reference.usual[1] == value_codes(np.array([[7.5]]))[0, 0]
    for name, shape in _SHAPES.items():
        assert np.isfinite(getattr(reference, name)).all(), (name, shape)
    assert reference.missing[1:, 2].min() > 0.99
    assert reference.cumulants[1:4].max() < 1e-6
    reference.check(4, 1)


def test_slices_are_found_by_name_and_any_other_is_row_0() -> None:
    reference = held_out(slices=3).reference()
    assert reference.slices == ("s000", "s001", "s002")
    assert reference.index(["s001", "nobody", "s000"]).tolist() == [2, 0, 1]
    assert (reference.mean_se[0] >= reference.mean_se[1:].max(axis=0) - 1e-9).all()


def test_each_slicing_has_its_own() -> None:
    held = held_out(slices=4)
    others = np.full((len(held.code), 1), "all", dtype=object)
    two = replace(held, table=replace(held.table, others=others))
    assert two.reference(slicing=1).slices == ("all",)
    assert two.reference(slicing=0).slices == ("s000", "s001", "s002", "s003")
    assert two.reference(slicing=1).rate[1] == pytest.approx(16.0, rel=0.01)


def test_arrivals_say_how_many_come_where_held_out_rows_are_a_part() -> None:
    held = held_out(slices=3, panes=120)
    part = np.arange(len(held.code)) % 5 == 0
    thin = replace(
        held, table=held.table.take(part), code=held.code[part],
        events=EventScores(*(getattr(held.events, f.name)[part] for f in fields(EventScores))),
    )  # fmt: skip
    assert thin.reference(arrivals=held.table).rate[1:] == pytest.approx(np.full(3, 4.0), rel=0.02)


@pytest.mark.parametrize(("slices", "panes", "n"), [(1, 1, 1), (1, 2, 1), (3, 1, 1), (1, 300, 1), (2, 5, 1)])
def test_few_rows_are_no_error_and_little_is_known(slices: int, panes: int, n: int) -> None:
    reference = held_out(slices=slices, panes=panes, n=n, gaps=0.0).reference()
    reference.check(2, 1)
    assert (reference.inflation >= 1).all()


def made() -> Reference:
    return held_out(slices=3, panes=30).reference()


def test_state_round_trip() -> None:
    reference = made()
    meta, arrays = reference.to_state()
    back = Reference.from_state(meta, arrays, 2, 1)
    assert (back.slices, back.pane_ms) == (reference.slices, PANE_MS)
    for name in _SHAPES:
        assert getattr(back, name) == pytest.approx(getattr(reference, name), rel=1e-6), name
    again = back.to_state()[1]
    assert all(np.array_equal(again[name], arrays[name]) for name in arrays), "float32 and back is the same"


@pytest.mark.parametrize("name", _SHAPES)
def test_every_part_of_a_state_is_checked(name: str) -> None:
    meta, arrays = made().to_state()
    part = arrays[name]
    whole = part.dtype.kind == "i"
    bad = [part[..., :-1], part[None], part.astype(np.int32 if whole else np.int64), part.astype(complex)]
    if not whole:
        bad += [np.full_like(part, np.nan), np.full_like(part, np.inf)]
    if name not in module._SIGNED:
        bad.append(-part - np.float32(1.0))
    if name in ("kind", "pairs"):
        bad += [part - 9, part + 9]
    for wrong in bad:
        with pytest.raises((ValueError, KeyError)):
            Reference.from_state(meta, arrays | {name: wrong}, 2, 1)
    with pytest.raises(KeyError):
        Reference.from_state(meta, {key: array for key, array in arrays.items() if key != name}, 2, 1)


@pytest.mark.parametrize("change", [{"pane_ms": 0}, {"pane_ms": -5}, {"slices": ["a"]}, {"slices": list("abcde")}])
def test_what_is_beside_the_arrays_is_checked(change: dict[str, Any]) -> None:
    meta, arrays = made().to_state()
    with pytest.raises(ValueError, match="reference: "):
        Reference.from_state(meta | change, arrays, 2, 1)


@pytest.mark.parametrize(("d", "k"), [(3, 1), (2, 0), (2, 2), (1, 1)])
def test_a_state_of_other_columns_is_refused(d: int, k: int) -> None:
    meta, arrays = made().to_state()
    with pytest.raises(ValueError, match="reference: "):
        Reference.from_state(meta, arrays, d, k)


def test_hours_of_the_week_begin_on_monday() -> None:
    monday = 1_704_067_200_000  # 2024-01-01, 00:00 UTC
    assert hour_of_week(np.array([monday, monday + 25 * PANE_MS, monday - PANE_MS]), "UTC").tolist() == [0, 25, 167]
    assert hour_of_week(np.array([monday, monday - PANE_MS]), "Europe/Berlin").tolist() == [1, 0]
    assert START_MS % PANE_MS == 0


@pytest.mark.parametrize("size", [0.5, 5.0, 1e9])
@pytest.mark.parametrize("factor", [0.01, 0.25, 2.0, 4.0])
@pytest.mark.parametrize("mean", [0.1, 6.0])
def test_the_volume_ratio_has_the_mean_1(size: float, factor: float, mean: float) -> None:
    """Exactly, over the negative binomial distribution of the count."""
    from scipy.stats import nbinom, poisson

    n = np.arange(5_000.0)
    p = poisson.pmf(n, mean) if size > 1e6 else nbinom.pmf(n, size, size / (size + mean))
    ratio = volume_log_ratio(n, np.array(mean), size, np.array(factor))
    assert (p * np.exp(np.minimum(ratio, 600))).sum() == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_a_gap_in_one_column_is_no_dependence(share: float) -> None:
    """In slices that differ, sums of a column over events that lack the other would be taken for products."""
    held = held_out(slices=10, gaps=0.0, differ=1.0)
    reference = held.reference()
    single = Sums.of_events(held.channels, held.events)
    lost = np.random.default_rng(1).random(len(held.code)) < share
    single.present[lost, 0] = single.base[lost, 0] = single.square[lost, 0] = 0.0
    single.product[lost] = 0.0
    cells = held.code * 1_000 + np.arange(len(held.code)) // 10 % 200
    _, first, of_cell = np.unique(cells, return_index=True, return_inverse=True)
    n, x = deviations(single.grouped(of_cell, len(first)), reference.normal().take(held.code[first] + 1))
    by_slice = [x[held.code[first] == s, -1].sum() / max(n[held.code[first] == s, -1].sum(), 1.0) for s in range(10)]
    assert np.abs(by_slice).max() < 0.15, "it was 0.5 times the product of the slice's means, and more"
