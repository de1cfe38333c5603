"""The public sets' scorers: cases worked out by hand, and bounds of each."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.detect.public_sets import nab_scorer, skab_scorer, vus

PLAIN = nab_scorer.PROFILES["standard"]


def nab_case() -> nab_scorer.Labelled:
    return nab_scorer.label(200, [(100, 119), (160, 169)])


def test_nab_nothing_found_is_0_and_the_first_rows_of_all_windows_100() -> None:
    quiet, first = np.zeros(200), np.zeros(200)
    first[[100, 160]] = 1.0
    assert nab_scorer.score_corpus([nab_case()], [quiet], PLAIN, threshold=0.5).score == 0
    best = nab_scorer.score_corpus([nab_case()], [first], PLAIN)
    assert best.score == pytest.approx(100)
    assert (best.found, best.windows, best.false) == (2, 2, 0)


def test_nab_counts_a_windows_best_row_once_and_every_row_outside() -> None:
    score = np.zeros(200)
    score[[50, 109, 112, 121]] = 1.0  # far before, middle, later, right behind
    outcome = nab_scorer.score_corpus([nab_case()], [score], PLAIN, threshold=1.0)
    found = (2 / (1 + np.exp(-5 * 11 / 20)) - 1) / (2 / (1 + np.exp(-5)) - 1)
    behind = 2 / (1 + np.exp(5 * 2 / 19)) - 1
    assert outcome.score == pytest.approx(100 * (found + 1 + 0.11 * (-1 + behind)) / 4)
    assert (outcome.found, outcome.false) == (1, 2)


def test_nab_leaves_the_probation_out() -> None:
    assert nab_scorer.probation_rows(200) == 30
    assert nab_scorer.probation_rows(20_000) == 750
    score = np.zeros(200)
    score[:30] = 1.0
    assert nab_scorer.score_corpus([nab_case()], [score], PLAIN, threshold=0.5).false == 0


def test_nab_chooses_the_threshold_that_is_best_for_the_corpus() -> None:
    score = np.random.default_rng(0).random(200)
    cases = [nab_case()]
    best = nab_scorer.score_corpus(cases, [score], PLAIN)
    tried = [nab_scorer.score_corpus(cases, [score], PLAIN, threshold=t).score for t in score]
    assert best.score == pytest.approx(max([*tried, 0.0]))
    assert best.score == pytest.approx(nab_scorer.score_corpus(cases, [score], PLAIN, best.threshold).score)


def test_skab_changes_by_hand() -> None:
    time = np.arange(1_000)
    perfect = skab_scorer.changes([(time, [100, 500], [100, 500])])
    assert perfect.standard == pytest.approx(100)
    assert (perfect.missed, perfect.false) == (0, 0)
    quiet = skab_scorer.changes([(time, [100, 500], [])])
    assert (quiet.standard, quiet.missed) == (0, 2)
    half = skab_scorer.changes([(time, [100, 500], [130, 140, 900])])
    middle = (1 - 0.11) / 2 - (1 + 0.11) / 2 * np.tanh(np.pi / 2 * 1 / 999) / np.tanh(np.pi / 2)
    assert half.standard == pytest.approx(100 * (middle - 0.11 + 1) / 4)
    assert (half.missed, half.false, half.delay_s) == (1, 1, 30)


def test_skab_windows_that_overlap_share_no_alarm_twice() -> None:
    both = skab_scorer.changes([(np.arange(1_000), [100, 130], [150, 170])])
    assert both.missed == 0
    assert both.delay_s == (50 + 10) / 2


def by_definition(score: np.ndarray, label: np.ndarray, window: int) -> float:
    """VUS-PR as its authors write it: a loop over widenings and thresholds."""
    areas, n = [], len(score)
    runs = vus._segments(label)
    for width in range(window + 1):
        half, wide = width // 2, label.astype(float)
        for a, b in runs:
            for k in range(1, half + 1):
                slope = np.sqrt(1 - k / width)
                for at in (a - k, b + k):
                    if 0 <= at < n:
                        wide[at] = min(wide[at] + slope, 1.0)
        joined = vus._joined(runs, width, n)
        area, before = 0.0, 0.0
        for rank in np.linspace(0, n - 1, vus.THRESHOLDS).astype(int):
            predicted = score >= np.sort(score)[::-1][rank]
            true = float((wide * predicted).sum())
            positives = label.sum() + float((wide * predicted)[label == 0].sum()) / 2
            touched = np.mean([predicted[a : b + 1].any() for a, b in joined])
            recall = min(true / positives, 1.0) * float(touched)
            area += (recall - before) * true / predicted.sum()
            before = recall
        areas.append(area)
    return float(np.mean(areas))


@pytest.mark.parametrize("rounded", [False, True])
def test_vus_is_its_definition(rounded: bool) -> None:
    g = np.random.default_rng(5)
    label = np.zeros(400, dtype=np.int64)
    for a, b in ((0, 6), (90, 120), (124, 140), (380, 400)):
        label[a:b] = 1
    score = g.random(400) + 0.4 * label
    score = score.round(1) if rounded else score
    assert vus.vus_pr(score, label, 12) == pytest.approx(by_definition(score, label, 12))


def test_vus_rewards_near_misses() -> None:
    label, near, far = np.zeros((3, 1_000))
    label[500:520] = 1
    near[495:505], far[300:310] = 1, 1
    wide, narrow = (vus.vus_pr(near, label.astype(np.int64), w) for w in (40, 0))
    assert wide > narrow > vus.vus_pr(far, label.astype(np.int64), 40)


def test_period_without_a_peak_is_the_benchmarks_default() -> None:
    assert vus.period(np.linspace(0, 1, 5_000)) == 125
