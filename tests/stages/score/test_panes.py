"""Panes: integer columns that add up to the same bytes in whatever order and batches rows arrive."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.pane_layout import ALPHAS, PIT_BINS, PaneLayout, fixed_square, fixed_sum
from stream_app.stages.batches import EventBatch, ScoredBatch
from stream_app.stages.score.panes import OTHER, TOP_MAX, Pane, add_rows, count_rows
from stream_app.stages.snapshot import pack, unpack

LAYOUT = PaneLayout(2)
NAMES = ("a", "b", "c", "d")


def scored(seed: int, n: int, layout: PaneLayout = LAYOUT) -> ScoredBatch:
    """Scored rows with every kind of value: gaps, extreme likelihoods, small p."""
    rng = np.random.default_rng(seed)
    index, d = np.arange(n, dtype=np.int64), layout.d
    numeric = rng.standard_normal((n, d)).astype(np.float32)
    numeric[rng.random((n, d)) < 0.2] = np.nan
    events = EventBatch(
        "e",
        0,
        index,
        index + 100,
        index * 10,
        numeric,
        np.empty((n, 0), object),
        rng.choice(np.array(NAMES, dtype=object), (n, 1)),
    )
    batch = ScoredBatch.unscored(events, np.full(n, "m", object))
    batch.log_prob[:] = rng.standard_cauchy(n) * 1_000
    batch.p_value[:] = rng.random(n) ** 3 + 1e-9
    batch.pit[:] = rng.random((n, d))
    batch.scorable[:] = True
    return batch


def fill(batch: ScoredBatch, rows: np.ndarray, cuts: list[int], slices_max: int = 50) -> Pane:
    """A pane with the rows, added batch by batch."""
    pane = Pane("m")
    edges = sorted({0, len(rows), *(c for c in cuts if c < len(rows))})
    for a, b in itertools.pairwise(edges):
        part = rows[a:b]
        add_rows(pane, PaneLayout(batch.pit.shape[1]), batch, batch.events.slices[part, 0].tolist(), part, slices_max)
    return pane


def by_name(pane: Pane) -> dict[str, list[int]]:
    return {name: pane.rows[i].tolist() for name, i in pane.slices.items()}


CUTS = st.lists(st.integers(1, 40), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), CUTS)
def test_batch_splits_do_not_matter(seed: int, n: int, cuts: list[int]) -> None:
    batch, rows = scored(seed, n), np.arange(n)
    whole, split = fill(batch, rows, []), fill(batch, rows, cuts)
    assert pack(split.to_state()) == pack(whole.to_state())
    assert pack(fill(batch, rows, list(range(n))).to_state()) == pack(whole.to_state())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.permutations(range(24)), st.integers(0, 24), st.integers(0, 24))
def test_merging_is_addition_in_any_order(seed: int, order: list[int], i: int, j: int) -> None:
    batch = scored(seed, 24)
    batch.events.slices[:] = "a"
    whole = fill(batch, np.arange(24), [])
    i, j = sorted((i, j))
    rows = [np.array(part, dtype=np.int64) for part in (order[:i], order[i:j], order[j:])]
    a, b, c = (fill(batch, part, []).rows[0] if len(part) else np.zeros(LAYOUT.width, np.int64) for part in rows)
    assert np.array_equal((a + b) + c, whole.rows[0])
    assert np.array_equal(c + (b + a), whole.rows[0])


def test_the_columns_hold_what_they_say() -> None:
    batch = scored(7, 30)
    batch.events.slices[:] = "a"
    row, p = fill(batch, np.arange(30), []).rows[0], batch.p_value
    assert LAYOUT.get(row, "seen") == LAYOUT.get(row, "scored") == 30
    assert LAYOUT.get(row, "missing").tolist() == batch.missing.sum(axis=0).tolist()
    assert LAYOUT.get(row, "p_le").tolist() == [int((p <= alpha).sum()) for alpha in ALPHAS]
    assert LAYOUT.pit(row).sum(axis=1).tolist() == (~batch.missing).sum(axis=0).tolist()
    first = np.bincount((batch.pit[~batch.missing[:, 0], 0] * PIT_BINS).astype(int), minlength=PIT_BINS)
    assert LAYOUT.pit(row)[0].tolist() == first.tolist()
    mean, sd = LAYOUT.log_prob_mean_sd(row)
    clipped = np.clip(batch.log_prob, -32_768, 32_768)
    assert (float(mean), float(sd)) == pytest.approx((clipped.mean(), clipped.std()), rel=1e-3, abs=0.1)


def test_a_p_value_at_a_level_counts() -> None:
    batch = scored(2, len(ALPHAS))
    batch.events.slices[:] = "a"
    batch.p_value[:] = ALPHAS
    assert LAYOUT.get(fill(batch, np.arange(len(ALPHAS)), []).rows[0], "p_le").tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_extreme_values_stay_inside_their_columns() -> None:
    batch = scored(1, 4)
    batch.log_prob[:] = [1e300, -1e300, 0.0, 0.0]
    batch.pit[:] = [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]
    batch.events.slices[:] = "a"
    row = fill(batch, np.arange(4), []).rows[0]
    assert LAYOUT.get(row, "log_prob_sum") == 0
    assert LAYOUT.get(row, "log_prob_square_sum") == 2 * 2**30 * 2**8
    assert LAYOUT.pit(row).sum() == (~batch.missing).sum()


def test_names_past_the_cap_share_one_slice() -> None:
    batch = scored(3, 40)
    order = list(dict.fromkeys(batch.events.slices[:, 0].tolist()))
    pane = fill(batch, np.arange(40), [5, 11], slices_max=2)
    assert list(pane.slices) == [*order[:2], OTHER]
    counts = {name: (batch.events.slices[:, 0] == name).sum() for name in order}
    seen = {name: LAYOUT.get(pane.rows[i], "seen") for name, i in pane.slices.items()}
    assert seen == {
        order[0]: counts[order[0]],
        order[1]: counts[order[1]],
        OTHER: 40 - sum(counts[o] for o in order[:2]),
    }
    assert by_name(pane) == by_name(fill(batch, np.arange(40), list(range(40)), slices_max=2))


def test_the_strangest_rows_are_kept() -> None:
    batch = scored(5, 60)
    batch.events.slices[:] = "a"
    batch.p_value[:] = np.linspace(0.001, 0.1, 60)[::-1]
    pane = fill(batch, np.arange(60), [13, 20, 47])
    smallest = sorted(zip(batch.p_value.tolist(), batch.events.offsets.tolist(), strict=True))[:TOP_MAX]
    assert pane.top == {0: smallest}


def test_rows_without_a_score_are_counted_and_leave_no_example() -> None:
    pane = Pane("m")
    count_rows(pane, LAYOUT, "late", ["a", "b", "a"], 50)
    count_rows(pane, LAYOUT, "unscorable", ["a"], 50)
    assert [LAYOUT.get(pane.rows[pane.slices[n]], "late").item() for n in "ab"] == [2, 1]
    assert LAYOUT.get(pane.rows[0], "unscorable") == 1
    assert pane.rows.sum() == 4
    assert pane.top == {}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_state_round_trip(seed: int, n: int) -> None:
    pane = fill(scored(seed, n), np.arange(n), [])
    back = Pane.from_state(unpack(pack(pane.to_state())))
    assert (back.slices, back.top, back.model_id) == (pane.slices, pane.top, "m")
    more = scored(seed + 1, 9)
    for each in (pane, back):
        add_rows(each, LAYOUT, more, more.events.slices[:, 0].tolist(), np.arange(9), 50)
    assert pack(back.to_state()) == pack(pane.to_state())


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.integers(0, 6), st.integers(0, 2**32))
def test_layout_round_trip(d: int, m: int, seed: int) -> None:
    layout = PaneLayout(d)
    rows = np.random.default_rng(seed).integers(-(2**62), 2**62, (m, layout.width))
    assert np.array_equal(layout.decode(layout.encode(rows), m), rows)
    joined = np.concatenate([layout.get(rows, name).reshape(m, width) for name, width in layout.shapes.items()], axis=1)
    assert np.array_equal(joined, rows)
    assert layout.pit(rows).shape == (m, d, PIT_BINS)
    assert layout.get(rows, "missing").shape == (m, d)
    assert layout.get(rows, "seen").shape == (m,)


@pytest.mark.parametrize("name", LAYOUT.shapes)
@pytest.mark.parametrize("damage", [b"", b"\0" * 8, b"\0" * 7])
def test_columns_of_the_wrong_size_are_refused(name: str, damage: bytes) -> None:
    columns = LAYOUT.encode(np.zeros((3, LAYOUT.width), dtype=np.int64))
    with pytest.raises(ValueError, match=r"column|buffer"):
        LAYOUT.decode({**columns, name: columns[name] + damage if damage else b""}, 3)
    with pytest.raises(ValueError, match=name):
        LAYOUT.decode({k: v for k, v in columns.items() if k != name}, 3)
    with pytest.raises(ValueError, match="expected 2"):
        LAYOUT.decode(columns, 2)


def test_fixed_point_rounds_to_the_nearest() -> None:
    assert fixed_sum(np.array([1.0, -0.5, 2**-17 * 1.5, 2**-18])).tolist() == [65_536, -32_768, 1, 0]
    assert fixed_square(np.array([2.0, 0.5])).tolist() == [1_024, 64]
