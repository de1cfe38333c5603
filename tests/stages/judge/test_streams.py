"""How a rule's promise is shared among slices and groups, and what candidates may do for it."""

from __future__ import annotations

import math

import pytest

from stream_app.config import Config
from stream_app.config.loading import parse
from stream_app.stages.judge.candidates import OTHER_RULE, Candidate, Cause, Figures
from stream_app.stages.judge.streams import Streams

PANES_A_MONTH = 30 * 24


def config_of(**sections: object) -> Config:
    raw = {
        "stream": "s",
        "topics": {"events": "e"},
        "event": {"time_field": "t", "numeric": ["x", "y"], "slicings": [["a"], []]},
        "windows": {"pane": "1h"},
        **sections,
    }
    return parse(raw)


def candidate(statistic: float, share: float, slice_: str, name: str = "x", rule: str = "drift") -> Candidate:
    cause = Cause("location", 0, (name,), "up", "mean", "", 9.0, "it moved", Figures(1.0, 1.0, 0.0, 1.0))
    return Candidate(rule, "a", slice_, "drift", "m", statistic, share, 1.0, False, 0, 1, (cause,))


def test_shares_of_a_rule_add_up_to_its_promise() -> None:
    counts = Streams(config_of()).count({"a": 40, "all": 1})
    slices, groups = 40 + 1 + 1 + 1, 1  # __other__ of each slicing is one more; one slice is no group
    assert counts.streams["drift"] == slices + groups
    total = slices * counts.slice_shares["drift"] + groups * counts.group_shares["drift"]
    assert total == pytest.approx(1.0)


def test_all_rules_together_promise_what_was_asked_for() -> None:
    streams = Streams(config_of(alerts={"false_incidents_per_month": 3.0}))
    a_month = PANES_A_MONTH * sum(streams.alpha(rule) for rule in ("drift", "fault", OTHER_RULE))
    assert a_month == pytest.approx(3.0)


def test_the_threshold_grows_in_proportion_to_the_slices_and_so_delay_by_their_logarithm() -> None:
    streams = Streams(config_of())
    few, many = (streams.count({"a": n, "all": 1}).thresholds["drift"] for n in (9, 9_999))
    assert math.log(many / few) == pytest.approx(math.log(10_001 / 11), rel=0.02)


def test_one_slice_opens_at_its_threshold_and_many_of_one_cause_much_earlier() -> None:
    streams = Streams(config_of())
    counts = streams.count({"a": 100, "all": 1})
    threshold, share = counts.thresholds["drift"], counts.slice_shares["drift"]
    alone = [candidate(threshold * 1.01, share, "s0"), candidate(threshold * 0.9, share, "s1", "y")]
    assert [allowed for _, allowed in streams.allowed(alone, set())] == ["open", "join"]
    together = [candidate(threshold / 19, share, f"s{i}") for i in range(20)]
    assert {allowed for _, allowed in streams.allowed(together, set())} == {"open"}
    apart = [candidate(threshold / 19, share, f"s{i}", f"x{i}") for i in range(20)]
    assert {allowed for _, allowed in streams.allowed(apart, set())} == {"join"}


def test_a_member_of_an_open_incident_opens_none_and_lowers_the_bar_to_join() -> None:
    streams = Streams(config_of())
    counts = streams.count({"a": 100, "all": 1})
    threshold, share = counts.thresholds["drift"], counts.slice_shares["drift"]
    late = candidate(threshold / 11, share, "late")
    members = {("drift", "a", f"s{i}") for i in range(10)}
    assert streams.allowed([late], set())[0][1] == ""
    assert streams.allowed([late], members)[0][1] == "join"
    assert streams.allowed([candidate(threshold * 9, share, "s1")], members)[0][1] == ""


def test_a_rule_that_makes_no_evidence_opens_at_its_own_threshold() -> None:
    rules = {"jumps": {"detectors": ["adwin"], "open": 0.5, "resolve": 0.5}}
    streams = Streams(config_of(rules=rules))
    assert streams.count({"a": 5, "all": 1}).thresholds["jumps"] == 0.5
    found = streams.allowed([candidate(1.0, 0.1, "s", rule="jumps"), candidate(0.0, 0.1, "t", rule="jumps")], set())
    assert [allowed for _, allowed in found] == ["open", ""]
