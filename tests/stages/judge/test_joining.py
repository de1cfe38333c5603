"""Which incident a candidate belongs to."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.pane_layout import TOGETHER
from stream_app.config.alerts import AlertsConfig
from stream_app.stages.judge import joining
from stream_app.stages.judge.incidents import Incidents
from stream_app.stages.judge.joining import main_causes
from tests.stages.judge.making import (
    HOUR,
    MISSING,
    START,
    STATIONS,
    VOLUME,
    Run,
    candidate,
    cause,
    config,
    facts,
    fault,
    told,
)

DAY = 24 * HOUR

PRES = cause("location", "PRES")


def test_rules_that_fire_on_one_slice_are_one_incident() -> None:
    run = Run()
    (opened,) = run.pane(candidate("Dongsi"))
    assert run.pane(fault("Dongsi")) == []
    (ended,) = run.end()
    assert ended.id == opened.id
    assert ended.rules == ["drift", "fault"]


def test_slices_with_one_cause_join_as_long_as_a_member_speaks_of_it() -> None:
    """The stations of one city come one by one, for months."""
    run = Run(config(alerts={"join_within": "7d"}))
    (opened,) = run.pane(candidate("Dongsi"))
    run.panes(24 * 30)
    run.pane(candidate("Tiantan"))
    assert {of.id for of in run.said} == {opened.id}


def test_slices_with_one_cause_join_within_some_days_of_its_last_word_and_then_no_more() -> None:
    run = Run(config(alerts={"join_within": "7d"}))
    (opened,) = run.pane(candidate("Dongsi"))
    run.standing = {}  # no word of it any more, and not over either: its partition is behind, say
    run.panes(24 * 6)
    run.pane(candidate("Wanliu"))
    assert {of.id for of in run.said} == {opened.id}
    run.standing = {}
    run.panes(24 * 8)
    (other,) = run.pane(candidate("Gucheng"))
    assert (other.state, other.id != opened.id) == ("open", True)


def test_a_fault_of_one_slice_is_told_by_itself_while_many_drift() -> None:
    run = Run()
    (opened,) = run.pane(candidate("Dongsi"), candidate("Tiantan"))
    (other,) = run.pane(fault("Tiantan"))
    assert (other.state, other.kind, other.id != opened.id) == ("open", "fault", True)


def test_a_drift_that_begins_long_after_a_fault_of_another_column_is_told_by_itself() -> None:
    """A sensor that has stopped for weeks is no part of what the season does to the others."""
    run = Run()
    (opened,) = run.pane(fault("Dongsi", since_ms=START - 10 * DAY))
    (drifted,) = run.pane(candidate("Dongsi", since_ms=START))
    assert (drifted.state, drifted.kind, drifted.id != opened.id) == ("open", "drift", True)


@pytest.mark.parametrize(("column", "since_ms"), [("PRES", START), ("TEMP", START - 10 * DAY + 6 * HOUR)])
def test_a_drift_of_the_same_column_or_of_the_same_day_is_part_of_the_fault(column: str, since_ms: int) -> None:
    run = Run()
    (opened,) = run.pane(fault("Dongsi", since_ms=START - 10 * DAY))
    run.pane(candidate("Dongsi", cause("dependence", column, "DEWP"), since_ms=since_ms))
    assert {of.id for of in run.end()} == {opened.id}


def test_another_cause_on_another_slice_is_another_incident() -> None:
    assert told(Run().pane(candidate("Dongsi"), candidate("Tiantan", PRES))) == [("open", "opened")] * 2


def test_drift_of_one_column_is_one_incident_in_whatever_way_it_shows() -> None:
    """Where the weather turns, TEMP has moved here, spreads there, and goes with PRES elsewhere."""
    run = Run(config(alerts={"join_within": "7d"}))
    (opened,) = run.pane(candidate("Dongsi"))
    run.pane(candidate("Tiantan", cause("scale", "TEMP")), candidate("Wanliu", cause("dependence", "PRES", "TEMP")))
    assert {of.id for of in run.said} == {opened.id}
    (other,) = run.pane(candidate("Shunyi", cause("dependence", "DEWP", "PRES")), fault("Huairou", MISSING))[-1:]
    assert other.id != opened.id
    run.panes(24 * 7)
    assert run.pane(candidate("Gucheng", cause("dependence", "TEMP", "DEWP")))[0].state == "open"


def test_what_may_only_join_opens_nothing() -> None:
    run = Run()
    assert run.pane(candidate("Dongsi"), allowed="join") == []
    (opened,) = run.pane(candidate("Dongsi"), allowed="open", events=500)
    assert run.pane(candidate("Tiantan"), candidate("Wanliu", PRES), allowed="join", events=500) == []
    assert run.incidents.members == {("drift", "station", "Dongsi"), ("drift", "station", "Tiantan")}
    assert run.end()[0].id == opened.id


def test_what_may_nothing_is_no_member_and_keeps_its_figures() -> None:
    run = Run()
    run.pane(candidate("Dongsi", statistic=10.0), allowed="")
    assert run.incidents.members == set()
    (opened,) = run.pane(candidate("Dongsi"))
    assert opened.findings[0].events == 10


def test_what_is_over_opens_nothing() -> None:
    assert Run().pane(candidate("Dongsi", over=True, remaining=0.0)) == []


def test_columns_that_move_together_are_one_cause_whichever_comes_first() -> None:
    """A slice names TEMP first and DEWP second, another one DEWP first and TEMP second."""
    temp, dewp, little = cause(weight=20.0), cause("location", "DEWP", weight=18.0), cause("location", weight=3.0)
    assert main_causes([dewp, little]) == ["location DEWP"]
    assert len(Run().pane(candidate("Dongsi", temp, dewp), candidate("Tiantan", dewp, temp))) == 1
    assert len(Run().pane(candidate("Dongsi", temp), candidate("Tiantan", dewp, temp))) == 1
    assert len(Run().pane(candidate("Dongsi", temp), candidate("Tiantan", dewp, little))) == 2


def test_the_slice_counts_before_the_cause() -> None:
    """Tiantan has an incident of its own: what fires there joins it, though another one has the cause."""
    run = Run()
    run.pane(candidate("Dongsi"), candidate("Tiantan", PRES))
    ids = {of.members[0].slice: of.id for of in run.said}
    run.pane(fault("Tiantan", VOLUME), fault("Wanliu", VOLUME))
    members = {of.id: {(m.rule, m.slice) for m in of.members} for of in run.end()}
    assert members[ids["Tiantan"]] == {("drift", "Tiantan"), ("fault", "Tiantan"), ("fault", "Wanliu")}


def test_slices_that_have_come_elsewhere_meanwhile_stay_there_when_an_incident_comes_again() -> None:
    run = Run()
    (first,) = run.pane(candidate("Dongsi"), candidate("Tiantan"))
    run.end()
    (second,) = run.pane(candidate("Tiantan", PRES))
    (again,) = run.pane(candidate("Dongsi"))
    assert (again.id, again.reason) == (first.id, "again")
    run.pane(fault("Tiantan"))
    ended = {of.id: {m.slice for m in of.members} for of in [*run.end(), *run.panes(25)]}
    assert ended == {first.id: {"Dongsi"}, second.id: {"Tiantan"}}


@pytest.mark.parametrize("order", list(permutations(range(3)))[1:])
def test_the_order_of_candidates_does_not_matter(order: tuple[int, ...]) -> None:
    given_ = [candidate("Dongsi"), candidate("Tiantan", PRES, statistic=2e6), fault("Dongsi")]
    plain = Incidents(config()).judge(facts(0), [(of, "open") for of in given_])
    assert Incidents(config()).judge(facts(0), [(given_[i], "open") for i in order]) == plain


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STATIONS[:5]), st.integers(0, 200)), min_size=1, max_size=30))
def test_ids_are_stable_and_no_two_incidents_share_one(comings: list[tuple[str, int]]) -> None:
    """Slices come with one cause, now and then, and stay: each is in one incident, and that has one id."""
    run, of_slice, opened = Run(), dict[str, str](), set[str]()
    for name, hours in comings:
        run.panes(hours)
        for message in run.pane(candidate(name)):
            if message.state == "open":
                assert message.id not in opened
                opened.add(message.id)
    for message in run.end():
        for member in message.members:
            assert of_slice.setdefault(member.slice, message.id) == message.id
    assert opened == {of.id for of in run.said if of.state == "resolve"}


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "OPEN_MAX", 3)
    monkeypatch.setattr(joining, "ENDED_MAX", 2)
    monkeypatch.setattr(joining, "OVER_KEPT", 4)
    run = Run()
    causes = [cause("location", f"c{k}") for k in range(6)]
    opened = run.pane(*(candidate(f"s{k}", causes[k]) for k in range(6)), stations=100)
    assert len(opened) == 3  # the others join the one that a slice came to last
    assert sum(of.member_count for of in run.end()) == 6
    assert len(run.incidents.to_state()["ended"]) == 2

    run.pane(candidate("stays"), *(candidate(f"t{k}") for k in range(10)), stations=100)
    run.end(*(f"t{k}" for k in range(10)))
    run.pane(candidate("comes"))
    state = run.incidents.to_state()["open"]
    assert [len(of["members"]) for of in state] == [4 + 2]
    (ended,) = run.end()
    assert (ended.member_count, ended.slice_count) == (12, 12)
    assert Incidents(run.config).to_state()["heard"] == run.incidents.to_state()["heard"] == []


def test_candidates_that_nothing_is_heard_of_are_forgotten() -> None:
    run = Run()
    run.pane(candidate("Dongsi", statistic=10.0), allowed="")
    run.standing.clear()
    assert len(run.incidents.to_state()["heard"]) == 1
    run.panes(24 * 28 + 1)
    assert run.incidents.to_state()["heard"] == []


def test_what_ended_too_long_ago_is_forgotten() -> None:
    run = Run()
    run.pane(candidate("Dongsi"))
    run.end()
    run.panes(int(AlertsConfig().join_within) // HOUR)
    assert len(run.incidents.to_state()["ended"]) == 1
    run.pane()
    assert run.incidents.to_state()["ended"] == []


def test_all_slices_together_join_what_drifts_and_no_fault() -> None:
    run = Run()
    (opened,) = run.pane(fault("Dongsi"))
    (other,) = run.pane(candidate(TOGETHER, PRES))
    assert other.id != opened.id
    run.pane(candidate("Tiantan", cause("scale", "PRES")))
    assert {of.id for of in run.said} == {opened.id, other.id}
