"""Detectors: generic checks that every entry of ``DETECTORS`` passes, and what each is for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas.pane_layout import ALPHAS, BETS, PIT_BINS, PaneLayout, fixed_square, fixed_sum
from stream_app.config import Duration, RuleConfig
from stream_app.stages.snapshot import pack, unpack
from stream_app.stages.watch.detectors import DETECTORS, Detector, PaneView, Reference
from stream_app.stages.watch.detectors.pit import ROWS_MIN, distances

PANE = Duration(3_600_000)
LAYOUT = PaneLayout(3)


def make(name: str, layout: PaneLayout = LAYOUT, **options: float) -> Detector:
    return DETECTORS[name](layout, RuleConfig(detector=name, open=1.0, resolve=0.5, options=options), PANE)


def row(rng: np.random.Generator, n: int, power: float = 1.0, shift: float = 0.0, gaps: float = 0.0, d: int = 3) -> Any:
    """A pane row of ``n`` scored rows: p = U**power, feature 0's PIT U**(1 + shift), mean log-likelihood −shift."""
    layout = PaneLayout(d)
    out = np.zeros(layout.width, dtype=np.int64)
    p, log_prob, place = rng.random(n) ** power, rng.standard_normal(n) - shift, layout.columns
    pit = rng.random((n, d))
    pit[:, 0] **= 1 + shift
    out[place["seen"]] = out[place["scored"]] = n
    out[place["missing"]] = rng.binomial(n, gaps, d)
    out[place["log_prob_sum"]], out[place["log_prob_square_sum"]] = (
        fixed_sum(log_prob).sum(),
        fixed_square(log_prob).sum(),
    )
    out[place["p_le"]] = [(p <= alpha).sum() for alpha in ALPHAS]
    out[place["bets"]] = fixed_sum(np.log1p(np.array(BETS) * (p[:, None] - 0.5))).sum(axis=0)
    bins = [np.bincount((pit[:, j] * PIT_BINS).astype(int), minlength=PIT_BINS) for j in range(d)]
    out[place["pit"]] = np.concatenate(bins)
    return out


def reference(d: int = 3) -> Reference:
    return Reference(np.full((d, PIT_BINS), 100, np.int64), np.zeros(d), 0.0, 1.0)


def view(k: int, slices: list[int], rows: Any, fresh: Any = None, window: Any = None) -> PaneView:
    """Pane number ``k``; the window is the pane unless given."""
    rows = np.asarray(rows, dtype=np.int64)
    d = next(d for d in range(1, 9) if PaneLayout(d).width == rows.shape[1])
    fresh = np.zeros(len(slices), bool) if fresh is None else np.array(fresh)
    return PaneView(
        k * PANE,
        (k + 1) * PANE,
        np.array(slices, dtype=np.int64),
        rows,
        rows if window is None else window,
        fresh,
        [reference(d)] * len(slices),
    )


def story(seed: int, panes: int = 40, d: int = 3) -> list[PaneView]:
    """Four slices that come and go; empty and tiny panes; slice 1 moves half-way; one change of model."""
    rng = np.random.default_rng(seed)
    out = []
    for k in range(panes):
        slices = [i for i in range(4) if i != 3 or k % 3]
        late = k > panes // 2
        rows = [
            row(rng, int(rng.choice([0, 1, 40])), *((4.0, 1.5, 0.4) if late and i == 1 else (1.0, 0.0, 0.01)), d=d)
            for i in slices
        ]
        out.append(view(k, slices, rows, [k == panes - 8 and i == 2 for i in slices]))
    return out


def select(pane: PaneView, i: int) -> PaneView:
    """The pane as one slice alone sees it."""
    return PaneView(
        pane.start_ms,
        pane.end_ms,
        pane.slices[[i]],
        pane.rows[[i]],
        pane.window[[i]],
        pane.fresh[[i]],
        [pane.references[i]],
    )


EVERY = pytest.mark.parametrize("name", sorted(DETECTORS))


@EVERY
@pytest.mark.parametrize("d", [1, 3])
def test_one_finite_statistic_for_each_slice(name: str, d: int) -> None:
    detector = make(name, PaneLayout(d))
    for pane in story(1, d=d):
        got = detector.update(pane)
        assert got.shape == pane.slices.shape
        assert got.dtype == np.float64
        assert np.isfinite(got).all()
        assert (got >= 0).all()
    assert detector.evidence


@EVERY
def test_an_empty_pane_says_nothing(name: str) -> None:
    detector = make(name)
    nobody = view(0, [], np.zeros((0, LAYOUT.width)))
    assert detector.update(nobody).shape == (0,)
    assert detector.update(view(1, [0, 5], np.zeros((2, LAYOUT.width)))).tolist() == [0.0, 0.0]
    assert detector.update(nobody).shape == (0,)


@EVERY
def test_slices_do_not_touch_each_other(name: str) -> None:
    together, alone = make(name), make(name)
    for pane in story(2):
        single = [alone.update(select(pane, i))[0] for i in range(len(pane.slices))]
        assert together.update(pane).tolist() == single


@EVERY
@pytest.mark.parametrize("at", [0, 7, 31])
def test_a_restored_detector_goes_on_the_same(name: str, at: int) -> None:
    panes, (whole, first, second) = story(5, 80), (make(name, dependence=1.0, delta=0.05) for _ in range(3))
    expected = [whole.update(pane).tolist() for pane in panes]
    before = [first.update(pane).tolist() for pane in panes[:at]]
    second.restore(unpack(pack(first.to_state())))
    assert before + [second.update(pane).tolist() for pane in panes[at:]] == expected
    assert any(value > 0 for pane in expected[at:] for value in pane)


@EVERY
def test_a_new_model_starts_afresh(name: str) -> None:
    rng, panes = np.random.default_rng(4), story(4)
    used, new = make(name, delta=0.05), make(name, delta=0.05)
    for pane in panes:
        used.update(pane)
    for k in range(60, 90):
        rows = [row(rng, 40, 3.0, 6.0 * (k < 75), 0.1)]
        got = used.update(view(k, [1], rows, [k == 60]))
        assert got.tolist() == new.update(view(k, [1], rows, [k == 60])).tolist()


@EVERY
def test_every_detector_reacts_to_its_story(name: str) -> None:
    """The moved slice ends up above every other: generic, so a new detector must have something to say."""
    detector, worst = make(name, dependence=1.0, delta=0.05), np.zeros(4)
    for pane in story(5, 80):
        got = detector.update(pane)
        worst[pane.slices] = np.maximum(worst[pane.slices], got)
    assert worst.argmax() == 1


def test_likelihood_grows_under_small_p_and_stays_under_uniform_p() -> None:
    rng, detector = np.random.default_rng(6), make("likelihood", block_hours=1.0)
    path = np.array([detector.update(view(k, [0, 1], [row(rng, 20, 5.0), row(rng, 20)])) for k in range(60)])
    assert path[-1, 0] > 1e6
    assert (np.diff(path[5:, 0]) > 0).all()
    assert path[:, 1].max() < 60  # an e-detector's mean grows by at most one a block


def test_likelihood_is_capped() -> None:
    detector = make("likelihood", block_hours=1.0)
    strange = row(np.random.default_rng(7), 50, 50.0)
    last = [detector.update(view(k, [0], [strange]))[0] for k in range(2_000)][-1]
    assert np.isfinite(last)
    assert last > 1e80


def test_likelihood_counts_a_block_when_the_next_begins() -> None:
    strange = [row(np.random.default_rng(8), 50, 9.0)]
    detector = make("likelihood", block_hours=3.0)
    path = [detector.update(view(k, [0], strange))[0] for k in range(7)]
    assert path[:3] == [0.0, 0.0, 0.0]
    assert path[3] == path[4] == path[5] > 0
    assert path[6] > path[3]


def test_pit_names_the_moved_feature() -> None:
    rng = np.random.default_rng(9)
    window = row(rng, 2_000, shift=1.0)
    moved = distances(LAYOUT.pit(window), reference().pit)
    assert moved.argmax() == 0
    assert moved[0] > 0.2
    assert moved[1:].max() < 0.03
    assert make("pit", dependence=1.0).update(view(0, [0], [window])).tolist() == [moved[0]]


def test_pit_keeps_quiet_on_few_rows_and_on_noise() -> None:
    rng = np.random.default_rng(10)
    few = [row(rng, ROWS_MIN - 1, shift=9.0)]
    assert make("pit").update(view(0, [0], few)).tolist() == [0.0]
    assert make("pit", dependence=1.0).update(view(0, [0], [row(rng, ROWS_MIN, shift=9.0)]))[0] > 0.2
    still = [make("pit").update(view(0, [0], [row(rng, 200)]))[0] for _ in range(50)]
    assert max(still) == 0.0


def test_adwin_reacts_to_a_step_and_only_then() -> None:
    rng, detector = np.random.default_rng(11), make("adwin", hold=4)
    path = [detector.update(view(k, [0], [row(rng, 30, shift=3.0 * (k >= 60))]))[0] for k in range(120)]
    assert path[:60] == [0.0] * 60
    first = path.index(1.0)
    assert 60 <= first < 80
    assert 4 <= sum(path) <= 60


def test_adwin_survives_more_panes_than_it_keeps() -> None:
    """It drops old values at pane 1,025; the step comes right after, and is seen from memory or from a snapshot alike."""
    rng, whole, other = np.random.default_rng(12), make("adwin"), make("adwin")
    for k in range(1_026):
        whole.update(view(k, [0], [row(rng, 3)]))
    assert len(whole.to_state()["seen"][0][1]) < 1_024
    other.restore(unpack(pack(whole.to_state())))
    tail = [view(1_026 + k, [0], [row(rng, 3, shift=2.0)]) for k in range(60)]
    paths = [[each.update(pane)[0] for pane in tail] for each in (whole, other)]
    assert paths[0] == paths[1]
    assert sum(paths[0]) > 0


def test_adwin_remembers_the_level_over_a_restart() -> None:
    """The step falls on the restart: only one that still knows the old level can see it."""
    rng, before = np.random.default_rng(14), make("adwin")
    for k in range(60):
        before.update(view(k, [0], [row(rng, 30)]))
    after, forgetful = make("adwin"), make("adwin")
    after.restore(unpack(pack(before.to_state())))
    tail = [view(60 + k, [0], [row(rng, 30, shift=3.0)]) for k in range(30)]
    assert sum(after.update(pane)[0] for pane in tail) > 0
    assert sum(forgetful.update(pane)[0] for pane in tail) == 0


def test_missing_is_the_share_above_normal() -> None:
    rng = np.random.default_rng(13)
    got = make("missing").update(
        view(0, [0, 1, 2], [row(rng, 5_000, gaps=0.4), row(rng, 5_000), row(rng, 3, gaps=0.4)])
    )
    assert got[0] == pytest.approx(0.4, abs=0.03)
    assert got[1] == 0.0
    assert got[2] < 0.25
