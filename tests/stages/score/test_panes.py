"""Panes: integer columns that add up to the same bytes in whatever order and batches rows arrive."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.channels import value_codes
from flowlib.pit import PIT_BINS
from flowlib.table import Coded, Ints
from schemas.pane_layout import ALPHAS, GROUPS, NO_HIGH, NO_LOW, PaneLayout, log_prob_mean_sd
from stream_app.config import WindowsConfig
from stream_app.stages.batches import EventBatch, ScoredBatch
from stream_app.stages.score.panes import OpenPanes, Pane, fill_panes
from stream_app.stages.score.screening import Screening
from stream_app.stages.snapshot import pack, unpack

LAYOUT = PaneLayout(2, 1)
NAMES = ("a", "b", "c", "d")
PAIRS = np.array([[0, 1]])


def scored(seed: int, n: int) -> ScoredBatch:
    """Scored rows with every kind of value: gaps, extreme likelihoods, small p."""
    rng = np.random.default_rng(seed)
    index, d = np.arange(n, dtype=np.int64), LAYOUT.d
    numeric = rng.standard_normal((n, d))
    numeric[rng.random((n, d)) < 0.2] = np.nan
    events = EventBatch(
        "e",
        0,
        index,
        index + 100,
        index * 10,
        numeric,
        np.full((n, 1), "level", object),
        (Coded(rng.integers(0, len(NAMES), n), list(NAMES)),),
    )
    batch = ScoredBatch.unscored(events, Coded.alike(n, "m"))
    batch.log_prob[:] = rng.standard_cauchy(n) * 1_000
    batch.p_value[:] = rng.random(n) ** 3 + 1e-9
    batch.pit[:] = rng.integers(0, PIT_BINS, (n, d))
    batch.base[:] = rng.integers(-3_000, 3_000, (n, d + 1))
    batch.group[:] = rng.integers(0, GROUPS, (n, 1))
    batch.value[:] = np.where(batch.missing, 0, rng.integers(-(2**30), 2**30, (n, d)))
    batch.scorable[:] = True
    return replace(batch, pairs={"m": PAIRS})


def part_of(batch: ScoredBatch, rows: np.ndarray) -> ScoredBatch:
    """Some rows of a batch, in this order."""
    names = [
        one.name
        for one in fields(ScoredBatch)
        if one.name != "events" and not isinstance(getattr(batch, one.name), Mapping)
    ]
    return replace(
        batch, events=batch.events.take(rows), **{name: column_of(getattr(batch, name), rows) for name in names}
    )


def column_of(values: Any, rows: Ints) -> Any:
    return values.take(rows) if isinstance(values, Coded) else values[rows]


def in_time(n: int, late: bool = False) -> Screening:
    """All events in the pane that starts at 0, none closing anything."""
    times, no, index = np.zeros(n, np.int64), np.zeros(n, bool), np.arange(n)
    after = (times, times, times, times, times, times)
    return Screening(index, index, times, times, no, no, np.full(n, late), *after, [], [])


def empty() -> Pane:
    return Pane("m", np.zeros((LAYOUT.d, PIT_BINS), dtype=np.int64))


def fill(batch: ScoredBatch, rows: np.ndarray, cuts: list[int], into: Pane | None = None) -> Pane:
    """A pane with the rows, added batch by batch."""
    panes = {0: [into or empty()]}
    edges = sorted({0, len(rows), *(c for c in cuts if c < len(rows))})
    for a, b in itertools.pairwise(edges):
        part = part_of(batch, rows[a:b])
        assert fill_panes(panes, LAYOUT, part, in_time(b - a), WindowsConfig(), part.events.slices) == []
    return panes[0][0]


CUTS = st.lists(st.integers(1, 40), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), CUTS)
def test_batch_splits_do_not_matter(seed: int, n: int, cuts: list[int]) -> None:
    batch, rows = scored(seed, n), np.arange(n)
    whole, split = fill(batch, rows, []), fill(batch, rows, cuts)
    assert pack(split.to_state()) == pack(whole.to_state())
    assert pack(fill(batch, rows, list(range(n))).to_state()) == pack(whole.to_state())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), CUTS)
def test_panes_that_begin_in_a_batch_are_those_that_begin_with_an_event(seed: int, n: int, cuts: list[int]) -> None:
    """In whatever order the panes come; those that are open from before go on."""
    batch, rng = scored(seed, n), np.random.default_rng(seed)
    starts = rng.integers(0, 4, n) * 3_600_000

    def filled(cuts: list[int]) -> bytes:
        panes: OpenPanes = {}
        for a, b in itertools.pairwise(sorted({0, n, *(c for c in cuts if c < n)})):
            part, timing = part_of(batch, np.arange(a, b)), replace(in_time(b - a), pane_start_ms=starts[a:b])
            assert fill_panes(panes, LAYOUT, part, timing, WindowsConfig(), part.events.slices) == []
        return pack([[start, [pane.to_state() for pane in of]] for start, of in sorted(panes.items())])

    assert filled([]) == filled(cuts) == filled(list(range(n)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.permutations(range(24)), st.integers(0, 24), st.integers(0, 24))
def test_merging_gives_the_same_in_any_order(seed: int, order: list[int], i: int, j: int) -> None:
    batch = scored(seed, 24)
    batch.events.slices[0].codes[:] = 0
    whole = fill(batch, np.arange(24), [])
    i, j = sorted((i, j))
    rows = [np.array(part, dtype=np.int64) for part in (order[:i], order[i:j], order[j:])]
    a, b, c = (fill(batch, part, []).rows[:1] if len(part) else LAYOUT.blank(1) for part in rows)
    assert np.array_equal(merged(merged(a, b), c), whole.rows[:1])
    assert np.array_equal(merged(c, merged(b, a)), whole.rows[:1])


def merged(a: Ints, b: Ints) -> Ints:
    out = a.copy()
    LAYOUT.merge(out, np.array([0]), b)
    return out


def test_the_columns_hold_what_they_say() -> None:
    batch = scored(7, 30)
    batch.events.slices[0].codes[:] = 0
    row, p = fill(batch, np.arange(30), []).rows[0], batch.p_value
    assert LAYOUT.get(row, "seen") == LAYOUT.get(row, "scored") == 30
    assert LAYOUT.get(row, "missing").tolist() == batch.missing.sum(axis=0).tolist()
    assert LAYOUT.get(row, "p_le").tolist() == [int((p <= alpha).sum()) for alpha in ALPHAS]
    sums = {
        "base": batch.base,
        "square": batch.base**2,
        "product": batch.base[:, :1] * batch.base[:, 1:2],
        "value": batch.value,
    }
    for name, values in sums.items():
        assert LAYOUT.get(row, name).tolist() == values.sum(axis=0).tolist()
    assert LAYOUT.get(row, "group").tolist() == np.bincount(batch.group[:, 0], minlength=GROUPS).tolist()
    codes = np.where(batch.missing, NO_LOW, value_codes(batch.events.numeric))
    assert LAYOUT.get(row, "low").tolist() == codes.min(axis=0).tolist()
    assert LAYOUT.get(row, "high").tolist() == np.where(batch.missing, NO_HIGH, codes).max(axis=0).tolist()
    mean, sd = log_prob_mean_sd(*(LAYOUT.get(row, name) for name in ("scored", "log_prob_sum", "log_prob_square_sum")))
    clipped = np.clip(batch.log_prob, -32_768, 32_768)
    assert (float(mean), float(sd)) == pytest.approx((clipped.mean(), clipped.std()), rel=1e-3, abs=0.1)


def test_the_histograms_are_of_all_slices_together() -> None:
    batch = scored(7, 30)
    pane = fill(batch, np.arange(30), [4, 9])
    assert len(pane.slices) > 1
    for j in range(LAYOUT.d):
        there = batch.pit[~batch.missing[:, j], j]
        assert pane.pit[j].tolist() == np.bincount(there, minlength=PIT_BINS).tolist()


def test_a_pane_whose_values_are_all_missing_has_no_smallest_and_no_largest() -> None:
    batch = scored(3, 5)
    batch.events.slices[0].codes[:] = 0
    batch.missing[:, 0] = True
    row = fill(batch, np.arange(5), []).rows[0]
    assert (LAYOUT.get(row, "low")[0], LAYOUT.get(row, "high")[0]) == (NO_LOW, NO_HIGH)


def test_a_p_value_at_a_level_counts() -> None:
    batch = scored(2, len(ALPHAS))
    batch.events.slices[0].codes[:] = 0
    batch.p_value[:] = ALPHAS
    assert LAYOUT.get(fill(batch, np.arange(len(ALPHAS)), []).rows[0], "p_le").tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_extreme_values_stay_inside_their_columns() -> None:
    batch = scored(1, 4)
    batch.log_prob[:] = [1e300, -1e300, 0.0, 0.0]
    batch.events.slices[0].codes[:] = 0
    pane = fill(batch, np.arange(4), [])
    row = pane.rows[0]
    assert LAYOUT.get(row, "log_prob_sum") == 0
    assert LAYOUT.get(row, "log_prob_square_sum") == 2 * 2**30 * 2**8
    assert pane.pit.sum() == (~batch.missing).sum()


def test_events_are_counted_in_the_slices_that_are_handed_in() -> None:
    batch, panes = scored(3, 40), dict[int, list[Pane]]()
    counted = ["__other__" if name == "a" else name for name in batch.events.slices[0].objects()]
    fill_panes(panes, LAYOUT, batch, in_time(40), WindowsConfig(), (Coded.of(counted),))
    seen = {name: LAYOUT.get(panes[0][0].rows[i], "seen") for name, i in panes[0][0].slices.items()}
    assert seen == Counter(counted)


def test_rows_without_a_score_are_counted_and_leave_nothing_else() -> None:
    batch = ScoredBatch.unscored(scored(1, 4).events, Coded.alike(4, "m"))
    batch.events.slices[0].codes[:] = 0, 1, 0, 0
    panes: dict[int, list[Pane]] = {}
    for rows, is_late in (([0, 1, 2], True), ([3], False)):
        part = part_of(batch, np.array(rows))
        fill_panes(panes, LAYOUT, part, in_time(len(rows), is_late), WindowsConfig(), part.events.slices)
    pane = panes[0][0]
    assert [LAYOUT.get(pane.rows[pane.slices[n]], "late").item() for n in "ab"] == [2, 1]
    assert LAYOUT.get(pane.rows[0], "unscorable") == 1
    sums = [name for name in LAYOUT.shapes if name not in ("low", "high")]
    assert sum(int(LAYOUT.get(pane.rows, name).sum()) for name in sums) == 4
    assert (LAYOUT.get(pane.rows[: len(pane.slices)], "low") == NO_LOW).all()
    assert (LAYOUT.get(pane.rows[: len(pane.slices)], "high") == NO_HIGH).all()
    assert not pane.pit.any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_state_round_trip(seed: int, n: int) -> None:
    pane = fill(scored(seed, n), np.arange(n), [])
    back = Pane.from_state(unpack(pack(pane.to_state())))
    assert (back.slices, back.model_id) == (pane.slices, "m")
    for each in (pane, back):
        fill(scored(seed + 1, 9), np.arange(9), [], into=each)
    assert pack(back.to_state()) == pack(pane.to_state())
