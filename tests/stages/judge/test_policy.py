"""From statistics to incidents: two thresholds, minimum duration, cooldown, one id from open to resolve."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import Alert
from stream_app.config import Duration, RuleConfig
from stream_app.stages.judge.policy import Policy, Verdict, summary_of
from stream_app.stages.snapshot import pack, unpack

PANE = 1_000


def policy(min_duration: int = 0, cooldown: int = 0, open_: float = 10.0, resolve: float = 5.0) -> Policy:
    rule = RuleConfig(
        detector="pit", open=open_, resolve=resolve, min_duration=Duration(min_duration), cooldown=Duration(cooldown)
    )
    return Policy("s", {"r": rule, "other": rule})


def verdict(k: int, statistic: float, slice_: str = "a", **change: Any) -> Verdict:
    given = {"rule": "r", "detector": "pit", "slicing": "station", "model_id": "m", "evidence": "distance"} | change
    return Verdict(slice=slice_, pane_start_ms=k * PANE, pane_end_ms=(k + 1) * PANE, statistic=statistic, **given)


def judge(of: Policy, one: Verdict) -> Alert | None:
    """One verdict at a time."""
    alerts = of.judge([one])
    return alerts[0] if alerts else None


def tell(of: Policy, statistics: list[float], first: int = 0) -> list[Alert | None]:
    return [judge(of, verdict(first + k, value)) for k, value in enumerate(statistics)]


def states(alerts: list[Alert | None]) -> list[str]:
    return ["" if alert is None else alert.state for alert in alerts]


def test_it_opens_at_one_threshold_and_resolves_below_another() -> None:
    got = states(tell(policy(), [9.9, 10.0, 7.0, 5.0, 4.9, 9.9, 10.0]))
    assert got == ["", "open", "", "", "resolve", "", "open"]


def test_the_threshold_told_is_the_one_crossed() -> None:
    opened, resolved = (alert for alert in tell(policy(), [12.0, 1.0]) if alert)
    assert (opened.threshold, opened.statistic) == (10.0, 12.0)
    assert (resolved.threshold, resolved.statistic) == (5.0, 1.0)


def test_one_id_from_open_to_resolve_and_another_for_the_next() -> None:
    first, update, resolved, second = (a for a in tell(policy(cooldown=2 * PANE), [11, 11, 11, 1, 1, 1, 11]) if a)
    assert [first.state, update.state, resolved.state, second.state] == ["open", "update", "resolve", "open"]
    assert first.id == update.id == resolved.id != second.id
    assert first.opened_pane_ms == resolved.opened_pane_ms == 0
    assert second.opened_pane_ms == 6 * PANE


def test_the_id_says_what_the_incident_is_and_nothing_else() -> None:
    def opened(**change: Any) -> str:
        alert = judge(policy(), verdict(3, 20.0, **change))
        assert alert is not None
        return alert.id

    base = opened()
    assert opened(evidence="other words", blame=(("x", 1.0),)) == base
    different = [opened(slice_="b"), opened(slicing="all"), opened(rule="other"), opened(model_id="n")]
    assert len({base, *different}) == 5


def test_min_duration_asks_for_an_unbroken_stretch() -> None:
    of = policy(min_duration=3 * PANE)
    assert states(tell(of, [11, 11, 9, 11, 11, 11])) == ["", "", "", "", "", "open"]
    alert = judge(of, verdict(6, 1.0))
    assert alert is not None
    assert alert.opened_pane_ms == 3 * PANE


def test_min_duration_counts_event_time_not_panes() -> None:
    of = policy(min_duration=5 * PANE)
    assert judge(of, verdict(0, 20.0)) is None
    opened = judge(of, verdict(4, 20.0))
    assert opened is not None
    assert (opened.opened_pane_ms, opened.pane_end_ms) == (0, 5 * PANE)


def test_nothing_opens_during_the_cooldown() -> None:
    got = states(tell(policy(cooldown=4 * PANE), [11, 1, 11, 11, 11, 11, 11]))
    assert got == ["open", "resolve", "", "", "", "", "open"]


def test_an_open_incident_is_told_again_once_a_cooldown() -> None:
    assert states(tell(policy(cooldown=3 * PANE), [11.0] * 8)) == ["open", "", "", "update", "", "", "update", ""]
    assert states(tell(policy(cooldown=0), [11.0] * 8)) == ["open", *[""] * 7]


def test_slices_and_rules_have_incidents_of_their_own() -> None:
    of = policy()
    assert judge(of, verdict(0, 20.0, "a")) is not None
    assert judge(of, verdict(0, 20.0, "b")) is not None
    assert judge(of, verdict(0, 20.0, "a", rule="other")) is not None
    assert [name for name, _ in of.open_alerts({"r"})] == ["a", "b"]
    assert [name for name, _ in of.open_alerts({"other", "r"})] == ["a", "a", "b"]
    judge(of, verdict(1, 0.0, "a"))
    assert [name for name, _ in of.open_alerts({"r"})] == ["b"]


def test_the_summary_names_slice_and_features() -> None:
    of = policy(cooldown=PANE)
    blame = (("x", 0.6), ("y", 0.4))
    opened, update, resolved = (judge(of, verdict(k, v, blame=blame)) for k, v in enumerate([11.0, 11.0, 0.0]))
    assert opened is not None
    assert opened.summary == f"a: {summary_of('pit')}; most moved: x, y."
    assert [(b.feature, b.weight) for b in opened.blame] == [("x", 0.6), ("y", 0.4)]
    assert update is not None
    assert "still" in update.summary
    assert resolved is not None
    assert resolved.summary.startswith("a: back to normal")


@pytest.mark.parametrize("detector", ["likelihood", "pit", "adwin", "missing"])
def test_every_detector_has_words(detector: str) -> None:
    assert "above its threshold" not in summary_of(detector)
    assert "mine is above its threshold" in summary_of("mine")


PATH = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([0.0, 4.9, 5.0, 7.0, 10.0, 50.0])), max_size=40)


@settings(max_examples=150, deadline=None)
@given(PATH, st.integers(0, 40), st.sampled_from([0, PANE, 3 * PANE]), st.sampled_from([0, 2 * PANE, 5 * PANE]))
def test_state_round_trip(path: list[tuple[str, float]], at: int, min_duration: int, cooldown: int) -> None:
    whole, first, second = (policy(min_duration, cooldown) for _ in range(3))
    verdicts = [verdict(k, value, name) for k, (name, value) in enumerate(path)]
    expected = [judge(whole, each) for each in verdicts]
    before = [judge(first, each) for each in verdicts[:at]]
    second.restore(unpack(pack(first.to_state())))
    assert before + [judge(second, each) for each in verdicts[at:]] == expected
    assert second.open_alerts({"r"}) == whole.open_alerts({"r"})


@settings(max_examples=150, deadline=None)
@given(PATH, st.sampled_from([0, PANE, 3 * PANE]), st.sampled_from([0, 2 * PANE, 5 * PANE]))
def test_alerts_of_a_slice_alternate(path: list[tuple[str, float]], min_duration: int, cooldown: int) -> None:
    """Open, any updates, resolve, and again; all of one incident under one id."""
    of, current, resolved_ms = policy(min_duration, cooldown), {}, {}
    for k, (name, value) in enumerate(path):
        alert = judge(of, verdict(k, value, name))
        if alert is None:
            continue
        if alert.state == "open":
            assert name not in current
            assert value >= 10.0
            assert alert.pane_end_ms - alert.opened_pane_ms >= min_duration
            assert alert.pane_start_ms >= resolved_ms.get(name, 0) + (cooldown if name in resolved_ms else 0)
            current[name] = alert.id
        assert current[name] == alert.id
        if alert.state == "resolve":
            assert value < 5.0
            resolved_ms[name] = alert.pane_end_ms
            del current[name]
