"""That the detectors' bench plants what it says, goes through the product, and can fail."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import poisson

from stream_app.offline.replay import batches
from stream_app.stages.score.decoding import Decoder
from tests.bench.detect import attribution, calibration, delay, product, run, run_length
from tests.bench.detect.streams import HOUR_MS, KINDS, START_MS, Change, Planted

SMALL = Planted(slices=6, reference=120, monitored=60, change_pane=150, seed=5)


def test_streams_are_those_that_were_asked_for() -> None:
    planted = replace(SMALL, slices=20, per_pane=30)
    events, again = planted.events(), planted.events()
    np.testing.assert_array_equal(events.values, again.values)
    assert np.abs(np.corrcoef(events.values.T) - planted.covariance()).max() < 0.02
    assert np.abs(np.bincount(events.pane).mean() / (20 * 30) - 1) < 0.02
    assert (np.diff(events.time_ms) >= 0).all()
    assert START_MS // (24 * HOUR_MS) % 5 == 0
    own = events.values[events.slice_ == 3][:, 2]
    assert abs(np.corrcoef(own[1:], own[:-1])[0, 1]) < 0.06
    chained = replace(planted, phi=0.9).events()
    own = chained.values[chained.slice_ == 3][:, 2]
    assert abs(np.corrcoef(own[1:], own[:-1])[0, 1] - 0.9) < 0.05
    assert abs(own.std() - 1) < 0.2
    apart = replace(planted, differ=True).events()
    means = [apart.values[apart.slice_ == s].mean() for s in range(20)]
    assert np.std(means) > 0.2


def _changed(kind: str, features: tuple[int, ...] = (1,), **more: object) -> tuple[np.ndarray, np.ndarray]:
    """Rows of slice 0 before and after its change, and nothing else has changed."""
    base = replace(SMALL, per_pane=40, **more)
    planted = replace(base, changes={0: Change(kind, features)})
    events, same = planted.events(), base.events()
    other = events.slice_ != 0
    np.testing.assert_array_equal(events.values[other], same.values[same.slice_ != 0])
    own, late = events.slice_ == 0, events.pane >= planted.change_pane
    return events.values[own & ~late], events.values[own & late]


def test_each_change_is_what_its_name_says() -> None:
    for by in (0.5, 1.0, 2.0):
        _, after = _changed(f"shift_{by:g}")
        assert abs(after[:, 1].mean() - by) < 0.15
        assert abs(after[:, 2].mean()) < 0.15
    _, after = _changed("scale_1.5")
    assert abs(after[:, 1].std() - 1.5) < 0.15
    before, after = _changed("dependence")
    assert abs(np.corrcoef(before.T)[1, 2] - 0.5) < 0.1 > abs(np.corrcoef(after.T)[1, 2])
    assert abs(after[:, 1].std() - 1) < 0.1
    before, after = _changed("missing_20")
    assert not np.isnan(before).any()
    np.testing.assert_allclose(np.isnan(after).mean(axis=0)[:3], [0, 0.2, 0], atol=0.05)
    before, after = _changed("volume_20", ())
    assert abs(len(after) * 5 / len(before) - 0.2) < 0.05  # a fifth as many panes
    assert len(_changed("silent", ())[1]) == 0
    assert len(np.unique(_changed("stuck")[1][:, 1])) == 1
    before, after = _changed("begins_to_vary", constant=(1,))
    assert (len(np.unique(before[:, 1])), len(np.unique(after[:, 1]))) == (1, len(after))
    before, after = _changed("swap", (0, 1), mean=(0, 5, *[0] * 6))
    assert before[:, 0].mean() < 1 < 4 < after[:, 0].mean()
    assert set(KINDS) >= set(attribution.KINDS.values())


def test_bodies_are_what_the_product_decodes() -> None:
    planted = replace(SMALL, monitored=0, changes={0: Change("missing_20", (1,))}, change_pane=0, counts=True)
    events = planted.events()
    assert (events.values == 0).mean() > 0.4
    config = product.planted_config(planted)
    decoded, rejects = zip(
        *(Decoder(config).decode(raw) for raw in batches(config, product.keyed(events))), strict=True
    )
    assert not any(rejects)
    np.testing.assert_array_equal(np.concatenate([part.numeric for part in decoded]), events.values)
    np.testing.assert_array_equal(np.concatenate([part.event_time_ms for part in decoded]), events.time_ms)
    names = planted.names()
    assert np.concatenate([part.slices[0].objects() for part in decoded]).tolist() == [names[s] for s in events.slice_]


def test_a_flagrant_change_is_found_and_none_is_invented() -> None:
    planted = replace(SMALL, changes={2: Change("shift_2", tuple(range(8)))}, monitored=120, per_pane=12)
    case = delay.Case(planted, {"s0002": "shift_2"}, plant=True)
    (found,) = delay.run(case)
    row = delay.row("shift_2", [found])
    assert (row["found"], row["of"]) == (1, 1), found
    assert row["median_panes"] >= 1
    unchanged = replace(planted, changes={2: Change("shift_2")})  # of no feature
    (missed,) = delay.run(replace(case, planted=unchanged))
    none = dict.fromkeys(("median_panes", "p90_panes")) | dict.fromkeys(("found", "channel_right", "feature_right"), 0)
    assert delay.row("shift_2", [missed]) == {"change": "shift_2", "of": 1, **none}


def test_a_constant_column_can_be_planted() -> None:
    planted = replace(SMALL, changes={2: Change("begins_to_vary", (1,))}, constant=(1,), per_pane=12)
    (found,) = delay.run(delay.Case(planted, {"s0002": "begins_to_vary"}, plant=True))
    assert found.panes < 10, found


def test_run_length_is_bounded_exactly() -> None:
    for alarms in (0, 3, 20):
        bound = 1e5 / run_length.lower95(alarms, 100_000)  # the largest mean that is not refuted
        assert poisson.cdf(alarms, bound) == pytest.approx(0.05)
    rows = [run_length._row(1e4, 0.0, False, alarms, 100_000) for alarms in (0, 9)]
    assert [line[-1] for line in run_length.table(rows)[1:]] == ["yes", "NO"]


def test_the_best_possible_calibration_is_that_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for tau, rows, share in (
        (0.0, 330, 1.0),
        (0.1, 330, 0.94),
        (0.2, 330, 0.74),
        (0.3, 330, 0.59),
        (0.3, 14_000, 0.95),
    ):
        assert calibration.best_possible(tau, rows, 20_000) == pytest.approx(share, abs=0.015)
    assert calibration.in_band(np.array([0.5, 0.9, 1.1, 2.0])) == 0.5
    monkeypatch.setattr(calibration, "STEPS", 20)
    few = calibration.Setting("homogeneous", 0.0, 100, 5, 1_000)
    assert set(calibration.table([calibration.one(few)])[0])


def test_the_command_refuses_parts_that_there_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["--data", ".", "--out", str(tmp_path / "out.json"), "--parts", "delay,speed"])
    assert "no such part: speed" in capsys.readouterr().err


def test_cases_cover_every_change_forty_times() -> None:
    args = Namespace(quick=False, planted=False)
    cases = [c for make in (delay._correlated, delay._independent, delay._constant, delay._rare) for c in make(args)]
    called = [change for case in cases for change in case.called.values()]
    assert {change: called.count(change) for change in delay.CHANNELS} == dict.fromkeys(delay.CHANNELS, 40)
