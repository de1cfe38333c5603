"""What stands beside our detectors, and what ours do on the public sets, in small cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.bench.detect import alibi, peers, public
from tests.bench.detect.public_sets import nab, nab_ours, nab_scorer, skab, tep
from tests.bench.detect.public_sets.ours import centred_mean, running_log_sd, running_mean
from tests.bench.detect.streams import Change, Planted


def test_means_by_hand() -> None:
    x = np.array([1.0, 3.0, 5.0, 11.0])
    assert running_mean(x, 2).tolist() == [1, 2, 4, 8]
    assert running_mean(np.column_stack([x, x]), 3)[:, 1].tolist() == [1, 2, 3, pytest.approx(19 / 3)]
    assert centred_mean(x, 3).tolist() == [pytest.approx(v) for v in (5 / 3, 3, 19 / 3, 9)]
    assert np.isfinite(running_log_sd(np.zeros(9), 4)).all()


def test_an_alert_is_one_row_that_stands_out_of_what_was_before_it() -> None:
    score = np.array([9.0, 1.0, 5.0, 5.2, 6.0, 1.0, 1.0, 1.0, 1.0, 1.0, 5.5, 5.5])
    kept = nab_ours.alerts(score, start=1, hold=0.25, margin=0.5)
    assert np.flatnonzero(kept > nab_ours.QUIET).tolist() == [1, 2, 4, 10]


def test_rarity_follows_the_scores_seen_so_far() -> None:
    score = np.append(np.random.default_rng(0).random(400), [0.5, 0.999, 5.0, 5.0])
    rare = nab_ours.rarity(score, 0)
    assert rare[400] < rare[401] < rare[402]
    assert rare[403] < rare[402]  # what was seen once is less rare
    assert (rare[:50] == 0).all()


@pytest.mark.parametrize("view", nab_ours.VIEWS)
def test_views_are_causal(view: str) -> None:
    x = np.random.default_rng(1).standard_normal(300)
    later = x + 3 * (np.arange(300) >= 200)
    first, second = (
        nab_ours.columns(nab.Series("a/b", 7_200 * np.arange(300), v, nab_scorer.label(300, []), slice(0, 300)), view)
        for v in (x, later)
    )
    np.testing.assert_allclose(first[:200], second[:200])
    assert (first[200:] != second[200:]).any()


def test_options_are_those_that_are_best_on_the_other_groups() -> None:
    n = skab.TRAIN_ROWS + 100
    anomaly = np.arange(n) >= n - 50
    names = ("a/0", "a/1", "b/0", "c/0")
    runs = [skab.Run(name, np.zeros((n, 1)), np.arange(n), anomaly, np.diff(anomaly, prepend=False)) for name in names]
    right, wrong = anomaly[skab.TRAIN_ROWS :], ~anomaly[skab.TRAIN_ROWS :]
    predicted = {(1, 0.0): [right, right, wrong, right], (2, 0.0): [wrong, wrong, right, wrong]}
    final, chosen = skab_left_out(runs, predicted)
    assert chosen == {"a": (1, 0.0), "b": (1, 0.0), "c": (1, 0.0)}
    assert [bool((f == right).all()) for f in final] == [True, True, False, True]


def skab_left_out(
    runs: list[skab.Run], predicted: dict[tuple[int, float], list[np.ndarray]]
) -> tuple[list[np.ndarray], dict[str, tuple[int, float]]]:
    from tests.bench.detect.public_sets import skab_ours

    return skab_ours.left_out(runs, predicted, skab_ours.f1)


def test_delay_of_a_fault_ends_with_the_sixth_alarm_in_a_row() -> None:
    alarm = np.zeros(50, dtype=bool)
    alarm[[3, 4, 5, 6, 7]] = True
    assert tep._delay(alarm) is None
    alarm[10:16] = True
    assert tep._delay(alarm) == 16


def test_peers_see_a_large_shift_and_their_series_are_standard() -> None:
    changes = {0: Change("shift_2", (1,)), 1: Change("silent")}
    planted = Planted(slices=3, reference=120, monitored=160, change_pane=200, changes=changes, seed=11)
    shifted, silent, quiet = peers.series(planted, {0: "shift_2", 1: "silent", 2: ""})
    before = shifted.panes < shifted.start
    np.testing.assert_allclose(shifted.means[before].mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(quiet.likelihood[quiet.panes < quiet.start].std(), 1)
    assert silent.panes.max() < 200
    adwin = next(peer for peer in peers._peers() if peer.name == "river ADWIN, features")
    rows = peers.table("ADWIN", "", [(one, peers.alarms(adwin, 1e-4, one)) for one in (shifted, silent, quiet)])
    found = {row["change"]: row for row in rows}
    assert found["shift_2"]["found"] == 1
    assert found["shift_2"]["median_panes"] < 40
    assert found["silent"]["found"] == 0
    assert found["silent"]["slice_panes"] == (quiet.panes >= 120).sum()


def test_a_peers_limit_keeps_within_the_false_alarms_allowed() -> None:
    planted = Planted(slices=4, reference=40, monitored=160, change_pane=200, seed=12)
    quiet = peers.series(planted, dict.fromkeys(range(4), ""))
    ratios = [np.random.default_rng(k).exponential(1.0, int((one.panes >= 40).sum())) for k, one in enumerate(quiet)]
    limit = alibi._limit(quiet, ratios, "panes", 100)
    raised = sum(len(alibi._alarms(one, r, "panes", limit)) for one, r in zip(quiet, ratios, strict=True))
    assert 0 < raised <= 6


def test_public_sets_that_are_not_there_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"nab\.csv\.gz"):
        public.measure(tmp_path, None)  # type: ignore[arg-type]
