"""The decision of the shadow, simulated: pane by pane, looked at after each."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import binom

from stream_app.trainer.shadow.deciding import ALPHA, PaneSums, ShadowTest, Verdict

EVENTS = 60
"""Events of a pane."""


def decide(
    g: np.random.Generator,
    panes: int,
    gain: float,
    share: float = 0.01,
    old_share: float = 0.01,
    kind: str = "model",
    min_gain: float = 0.0,
) -> tuple[Verdict, int]:
    """What is decided about a candidate within so many panes, and after how many.

    Args:
        g: chance.
        panes: at most so many.
        gain: true mean difference of log-likelihoods; a pane's own varies by .05 nats about it.
        share, old_share: true shares of alarms.
        kind, min_gain: of the test.
    """
    test = ShadowTest.of(kind, min_gain, 3.0)
    gains = gain + 0.05 * g.standard_normal(panes)
    alarms, old = g.binomial(EVENTS, share, panes), g.binomial(EVENTS, old_share, panes)
    for number in range(panes):
        test.take(PaneSums(EVENTS, EVENTS, gains[number] * EVENTS, EVENTS, int(alarms[number]), int(old[number])))
        if test.verdict:
            return test.verdict, number + 1
    return "", panes


def verdicts(seed: int, runs: int, panes: int, **truth: float) -> Counter[Verdict]:
    g = np.random.default_rng(seed)
    return Counter(decide(g, panes, **truth)[0] for _ in range(runs))


def is_at_most(wrong: int, runs: int, alpha: float) -> bool:
    """Whether so many wrong ones are no evidence against ``alpha``: by chance less than once in 10⁵ runs."""
    return bool(binom.sf(wrong - 1, runs, alpha) > 1e-5)


def test_an_equal_model_is_seldom_promoted_however_often_one_looks(seed: int) -> None:
    found = verdicts(seed, 300, 150, gain=0.0)
    assert is_at_most(found["promote"], 300, ALPHA), found
    assert is_at_most(found["reject"], 300, ALPHA), found


def test_an_equal_model_is_rejected_where_a_gain_is_asked_for(seed: int) -> None:
    found = verdicts(seed, 60, 700, gain=0.0, min_gain=0.05)
    assert found["reject"] >= 55, found
    assert is_at_most(found["promote"], 60, ALPHA), found


@pytest.mark.parametrize(("gain", "within"), [(0.5, 40), (0.1, 150)])
def test_a_better_model_is_promoted_soon(seed: int, gain: float, within: int) -> None:
    g = np.random.default_rng(seed)
    for _ in range(20):
        verdict, panes = decide(g, 400, gain)
        assert verdict == "promote"
        assert panes <= within


def test_a_worse_model_is_rejected_soon(seed: int) -> None:
    g = np.random.default_rng(seed)
    for _ in range(20):
        verdict, panes = decide(g, 400, -0.1)
        assert verdict == "reject"
        assert panes <= 150


def test_a_model_that_never_alarms_is_rejected(seed: int) -> None:
    g = np.random.default_rng(seed)
    for _ in range(5):
        assert decide(g, 2_000, 0.0, share=0.0)[0] == "reject"
        assert decide(g, 400, 0.001, share=0.0, old_share=0.0, kind="recalibration")[0] != "reject"


def test_a_model_that_alarms_too_often_is_rejected_unless_the_one_in_service_does_too(seed: int) -> None:
    g = np.random.default_rng(seed)
    assert decide(g, 2_000, 0.0, share=0.1)[0] == "reject"
    verdict, _ = decide(g, 2_000, 0.05, share=0.05, old_share=0.15)
    assert verdict == "promote", "its calibration is made anew when it is promoted"


def test_a_calibration_is_judged_by_alarms_alone(seed: int) -> None:
    g = np.random.default_rng(seed)
    assert decide(g, 2_000, 0.0, share=0.01, old_share=0.05, kind="recalibration")[0] == "promote"
    assert decide(g, 2_000, 0.0, share=0.01, old_share=0.0, kind="recalibration")[0] == "promote"
    assert decide(g, 2_000, 0.0, share=0.05, old_share=0.01, kind="recalibration")[0] == "reject"
    found = Counter(decide(g, 150, 0.0, kind="recalibration")[0] for _ in range(100))
    assert is_at_most(found["promote"], 100, 2 * ALPHA), found


def test_a_quiet_week_is_no_model_that_never_alarms() -> None:
    """Alarms of both come in clumps, of some panes of many."""
    test = ShadowTest.of("model", 0.01, 3.0)
    for number in range(400):
        clump = 240 if number % 40 == 39 else 0
        test.take(PaneSums(600, 600, 6.0, 600, clump, clump))
        assert test.verdict == "", test.figures()
    assert test.figures()["events_as_one"] > 100


def test_what_the_verdict_says_has_its_figures() -> None:
    test = ShadowTest.of("model", 0.01, 3.0)
    for _ in range(40):
        test.take(PaneSums(100, 100, 40.0, 100, 1, 7))
    assert test.verdict == "promote"
    assert test.says("promote") == (
        "the new model is better over 4,000 live events in 40 panes: +0.400 nats an event, each counted with 1 at most "
        "(+0.010 asked for); it finds 1.00% of them as strange as 1% should be, the model in service 7.00%"
    )
    assert test.says("give up").startswith("the shadow could not tell which model is better over 4,000 live events")
    figures = test.figures()
    assert (figures["events"], figures["panes"], figures["gain_nats"]) == (4_000, 40, pytest.approx(0.4))
    assert figures["e_better"] > figures["e_needed"] == 40.0


def test_events_that_no_model_scores_are_no_evidence() -> None:
    test = ShadowTest.of("model", 0.01, 3.0)
    for _ in range(1_000):
        test.take(PaneSums(events=10))
    assert (test.verdict, test.figures()["gain_nats"], test.figures()["unscorable"]) == ("", None, 10_000)
