"""How what was found ends."""

from __future__ import annotations

import numpy as np

from flowlib.table import Ints
from stream_app.stages.detection.peaks import HIGH, LARGEST, STEPS, Peaks, steps_of

PATIENCE, HIGHEST = 5, 3_000


def peaks() -> Peaks:
    """One slice, number 4, of a rule with one channel of two bets; found."""
    made = Peaks(1_000.0, np.array([0.5, 0.5]), np.array([0]), PATIENCE)
    made.add(np.array([4]))
    assert pane(made, HIGHEST) == 1.0
    return made


def pane(of: Peaks, steps: int) -> float:
    """What remains where the larger bet stands at so many steps, the other at nothing."""
    both: Ints = np.array([[steps, 0]])
    parts, now = of.parts(both)
    return float(of.remaining(now, parts, both)[0])


def test_what_remains_is_the_ratio_to_the_peak() -> None:
    made = peaks()
    assert pane(made, HIGHEST - 128) == np.exp(-1.0)
    assert pane(made, HIGHEST + 128) == 1.0
    assert pane(made, HIGHEST) == np.exp(-1.0)


def test_it_is_over_where_panes_speak_against_it_for_days_and_none_for_it() -> None:
    """Missing values come in runs: an ordinary pane tells next to nothing against them."""
    made = peaks()
    remaining = [pane(made, HIGHEST - k) for k in range(1, PATIENCE + 2)]
    assert min(remaining[:-1]) > 0.9
    assert remaining[-1] == 0.0


def test_one_pane_that_speaks_for_it_begins_the_days_anew() -> None:
    made = peaks()
    falling = [HIGHEST - k for k in range(1, PATIENCE)]
    assert min(pane(made, steps) for steps in [*falling, HIGHEST - 2, *falling]) > 0.9


def test_panes_without_news_do_not_count() -> None:
    made = peaks()
    assert {pane(made, HIGHEST) for _ in range(10 * PATIENCE)} == {1.0}


def test_taking_evidence_down_is_no_word_against_it() -> None:
    made = peaks()
    steps = HIGH + 10
    assert pane(made, steps) == 1.0
    for _ in range(PATIENCE + 2):
        made.lower(np.array([True]))
        steps -= HIGH // 2
        assert pane(made, steps) == 1.0
        steps = HIGH + 10
        assert pane(made, steps) == 1.0


def test_a_snapshot_in_the_middle_changes_nothing() -> None:
    plain, restored = peaks(), peaks()
    for k in range(1, PATIENCE + 2):
        again = Peaks(1_000.0, np.array([0.5, 0.5]), np.array([0]), PATIENCE)
        again.restore(restored.to_state())
        restored = again
        assert pane(plain, HIGHEST - k) == pane(restored, HIGHEST - k)
    assert restored.numbers.tolist() == [4]
    assert STEPS == 128.0


def test_steps_are_those_of_double_precision_everywhere() -> None:
    rng, ends = np.random.default_rng(0), np.arange(LARGEST) / STEPS
    at_ends = [ends + off for off in (0.0, 1e-13, -1e-13, 1e-6, -1e-6)]
    inverse = np.log(np.expm1(ends[1:40_000]))
    spread = [rng.standard_normal(50_000) * scale for scale in (1.0, 5.0, 50.0, 400.0)]
    log_r = np.concatenate([*at_ends, inverse, *spread, [-1e3, 0.0, 1e3]])
    exact = np.minimum(np.logaddexp(0.0, log_r) * STEPS, LARGEST)
    assert np.array_equal(steps_of(log_r.reshape(-1, 1))[:, 0], np.floor(exact))
