"""From statistics to incidents: two thresholds, minimum duration, cooldown, one id from open to resolve."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import Alert
from stream_app.config import Duration, RuleConfig
from stream_app.stages.judge.policy import TOGETHER, Policy, Verdict
from stream_app.stages.snapshot import pack, unpack

PANE = 1_000


def policy(min_duration: int = 0, cooldown: int = 0, open_: float = 10.0, resolve: float = 5.0) -> Policy:
    rule = RuleConfig(
        detectors=["location"],
        open=open_,
        resolve=resolve,
        min_duration=Duration(min_duration),
        cooldown=Duration(cooldown),
    )
    return Policy("s", {"r": rule, "other": rule, "fault": rule})


def verdict(k: int, statistic: float, slice_: str = "a", **change: Any) -> Verdict:
    given: dict[str, Any] = {
        "rule": "r",
        "kind": "drift",
        "detector": "location",
        "slicing": "station",
        "model_id": "m",
        "remaining": statistic,
        "evidence": "evidence of change",
        "says": "location: up by about 1.2 sd",
    } | change
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


def test_it_resolves_by_what_remains_of_the_evidence_not_by_its_size() -> None:
    of = policy()
    assert judge(of, verdict(0, 20.0)) is not None
    assert judge(of, verdict(1, 1.0, remaining=7.0)) is None
    assert judge(of, verdict(2, 500.0, remaining=6.0)) is None
    over = judge(of, verdict(3, 500.0, remaining=4.9))
    assert over is not None
    assert over.state == "resolve"


def test_what_is_over_is_forgotten_after_its_cooldown_and_what_is_open_never() -> None:
    of = policy(min_duration=3 * PANE, cooldown=4 * PANE)
    for k in range(3):
        of.judge([verdict(k, 20.0, "over"), verdict(k, 20.0, "open"), verdict(k, 20.0 if k == 2 else 1.0, "may open")])
    of.judge([verdict(3, 1.0, "over"), verdict(3, 20.0, "open")])
    kept = []
    for k in (3, 6, 7, 2_000):
        of.forget((k + 1) * PANE)
        kept.append([name for _, _, name, *_ in of.to_state()])
    assert kept == [["over", "open", "may open"]] * 2 + [["open", "may open"]] * 2
    assert states(tell(of, [20.0] * 3, 2_000)) == ["", "", "open"]


def test_the_threshold_is_that_of_the_opening() -> None:
    opened, resolved = (alert for alert in tell(policy(), [12.0, 1.0]) if alert)
    assert (opened.threshold, opened.statistic) == (10.0, 12.0)
    assert (resolved.threshold, resolved.statistic) == (10.0, 1.0)


def test_kind_and_detector_are_told() -> None:
    alert = judge(policy(), verdict(0, 20.0, kind="fault", detector="missing"))
    assert alert is not None
    assert (alert.kind, alert.detector) == ("fault", "missing")


def test_an_alert_that_ends_under_another_model_was_learned() -> None:
    of = policy()
    assert judge(of, verdict(0, 20.0)) is not None
    update = judge(of, verdict(1, 20.0, model_id="n"))
    assert update is None, "the swap alone ends nothing"
    learned = judge(of, verdict(2, 1.0, model_id="n"))
    assert learned is not None
    assert (learned.state, learned.model_id) == ("learned", "n")
    assert learned.summary == "a: model n, trained since, takes it for normal (it was: up by about 1.2 sd)."
    again = judge(of, verdict(3, 20.0, model_id="n"))
    assert again is not None
    assert again.id != learned.id


def test_drift_asks_for_no_model_where_values_are_at_fault() -> None:
    """A model would learn gaps and stuck values; that fewer events come does not spoil those that do."""
    of, asks = policy(), lambda: [name for name, _ in of.open_alerts({"r"}, {"fault"})]
    for slice_ in "abcd":
        assert judge(of, verdict(0, 20.0, slice_)) is not None
    for slice_, detector in (("b", "missing"), ("c", "volume"), ("d", "stuck")):
        fault = verdict(0, 20.0, slice_, rule="fault", kind="fault", detector=detector, says=f"{detector}: so")
        assert judge(of, fault) is not None
    assert asks() == ["a", "c"]
    assert [name for name, _ in of.open_alerts({"r"}, set())] == ["a", "b", "c", "d"]
    judge(of, verdict(1, 1.0, "b", rule="fault"))
    assert asks() == ["a", "b", "c"], "the fault is over, the drift is not"


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
    assert opened(evidence="other words", blame=(("x", 1.0, "location"),)) == base
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
    assert [name for name, _ in of.open_alerts({"r"}, set())] == ["a", "b"]
    assert [name for name, _ in of.open_alerts({"other", "r"}, set())] == ["a", "a", "b"]
    judge(of, verdict(1, 0.0, "a"))
    assert [name for name, _ in of.open_alerts({"r"}, set())] == ["b"]


def test_the_summary_says_what_where_and_whether_it_lasts() -> None:
    of = policy(cooldown=PANE)
    blame = (("x", 0.6, "location: up by about 1.2 sd"), ("y", 0.4, "location: down by about 0.3 sd"))
    opened, update, resolved = (judge(of, verdict(k, v, blame=blame)) for k, v in enumerate([11.0, 11.0, 0.0]))
    assert opened is not None
    assert opened.summary == "a, x: up by about 1.2 sd; also y."
    assert [(b.feature, b.weight, b.detail) for b in opened.blame] == list(blame)
    assert update is not None
    assert update.summary == "a, x: still so (up by about 1.2 sd); also y."
    assert resolved is not None
    assert resolved.summary == "a, x: no longer so (it was: up by about 1.2 sd)."


@pytest.mark.parametrize(
    ("slice_", "says", "blame", "summary"),
    [
        ("north", "silence: no events come any more", (), "north: no events come any more."),
        ("north", "", (), "north: location is above its threshold."),
        (
            TOGETHER,
            "location: down by about 0.2 sd",
            (("x", 1.0, "location: down by about 0.2 sd"),),
            "all slices together, x: down by about 0.2 sd.",
        ),
        ("", "volume: fewer events than usual", (), "all events: fewer events than usual."),
    ],
)
def test_summaries(slice_: str, says: str, blame: Any, summary: str) -> None:
    detector = says.partition(":")[0] or "location"
    alert = judge(policy(), verdict(0, 20.0, slice_, detector=detector, says=says, blame=blame))
    assert alert is not None
    assert alert.summary == summary


def test_what_an_alert_is_about_stays_where_a_later_verdict_does_not_say() -> None:
    of, blame = policy(cooldown=PANE), (("x", 1.0, "location: up by about 1.2 sd"),)
    opened = judge(of, verdict(0, 20.0, blame=blame))
    update, over = judge(of, verdict(1, 8.0, says="", detector="scale")), judge(of, verdict(2, 0.0, says=""))
    assert opened is not None
    assert update is not None
    assert over is not None
    assert update.blame == over.blame == opened.blame
    assert update.detector == over.detector == "location"
    assert over.summary == "a, x: no longer so (it was: up by about 1.2 sd)."


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
    assert second.open_alerts({"r"}, set()) == whole.open_alerts({"r"}, set())


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
