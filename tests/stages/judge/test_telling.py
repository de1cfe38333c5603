"""When an incident says something, and when it does not."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.incidents import Incident, SilencedIncident
from stream_app.config.alerts import AlertsConfig
from stream_app.stages.judge.candidates import Cause
from stream_app.stages.judge.telling import slots
from tests.stages.judge.making import DAY, HOUR, MISSING, START, STATIONS, Run, candidate, cause, config, fault, told

SMALL = cause(figures=(5.0, 19.0, 17.5, 2.15))

NO_MODEL = config(retrain={"enabled": False})


def days(run: Run) -> list[float]:
    """Days after the first message of each."""
    return [(of.pane_end_ms - run.said[0].pane_end_ms) / DAY for of in run.said]


def test_it_reminds_after_one_three_and_seven_days_then_weekly() -> None:
    run = Run(NO_MODEL)
    run.pane(candidate())
    run.panes(24 * 30)
    assert days(run) == [0, 1, 3, 7, 14, 21, 28]
    assert {of.reason for of in run.said[1:]} == {"reminder"}
    assert run.said[2].summary.startswith("Still so after 3 days: Dongsi")


def test_it_reminds_of_no_drift_that_a_model_is_due_for() -> None:
    run = Run()
    run.pane(candidate("Dongsi"), fault("Wanliu"))
    run.panes(24 * 44)
    drift, missing = ([of for of in run.said if of.kind == kind] for kind in ("drift", "fault"))
    assert [of.number for of in missing] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert [(of.pane_end_ms - drift[0].pane_end_ms) // DAY for of in drift] == [0, 29, 36, 43]
    assert {of.reason for of in drift[1:]} == {"reminder"}


def test_it_reminds_of_nothing_that_has_not_gone_on() -> None:
    """What is nearly over is waited for, however long: evidence that all is as before may come slowly. So what has gone
    on for four days is no longer "still so" after seven.
    """
    run = Run()
    run.pane(fault())
    run.panes(24 * 4)
    run.pane(fault(remaining=0.3))
    run.panes(24 * 20)
    run.pane(fault())
    assert days(run) == [0, 1, 3, 24 + 2 / 24]


def test_who_acknowledges_is_not_reminded_and_is_told_of_what_changes() -> None:
    run = Run()
    (opened,) = run.pane(candidate("Dongsi", SMALL))
    (acked,) = run.act("ack", opened.id, by="Li")
    assert (acked.state, acked.reason, acked.acked_by) == ("update", "action", "Li")
    assert acked.summary.startswith("Li looks after this: Dongsi")
    assert run.act("ack", opened.id, by="Li") == []
    assert told(run.act("ack", opened.id, by="Wang")) == [("update", "action")]
    assert run.panes(24 * 6) == []
    (worse,) = run.pane(*(candidate(name) for name in STATIONS))
    assert (worse.reason, worse.acked_by) == ("severity", "Wang")
    assert told(run.end()) == [("resolve", "ended")]


def test_other_times_for_reminders() -> None:
    run = Run(config(alerts={"reminders": ["2h"], "repeat": "0s", "gather": "1d"}, retrain={"enabled": False}))
    run.pane(candidate())
    run.panes(24 * 30)
    assert [round(24 * of) for of in days(run)] == [0, 2]
    no_first = AlertsConfig(reminders=[], repeat=AlertsConfig().repeat)
    assert [slots(no_first, of * DAY) for of in (0, 6, 7, 14, 22)] == [0, 0, 1, 2, 3]


def test_severity_is_told_at_once_and_only_where_it_rises() -> None:
    run = Run()
    (opened,) = run.pane(candidate("Dongsi", SMALL))
    (worse,) = run.pane(candidate("Dongsi", cause(figures=(50.0, 615.0, 175.0, 2.15))))
    assert (opened.severity, worse.severity, worse.reason) == ("info", "warning", "severity")
    assert worse.summary.startswith("Worse now: Dongsi")
    (critical,) = run.pane(*(candidate(name) for name in STATIONS))
    assert critical.severity == "critical"
    assert run.end(*STATIONS[1:]) == []  # less grave, and nothing is said
    assert run.pane(*(candidate(name) for name in STATIONS)) == []  # nor where it is as grave as was told


def test_members_are_gathered_for_a_day_and_told_where_they_have_doubled() -> None:
    run = Run(config(alerts={"reminders": [], "repeat": "0s"}))
    run.pane(*(candidate(name, SMALL) for name in STATIONS[:2]), stations=100, events=500)
    run.pane(candidate("Gucheng", SMALL), stations=100, events=500)
    assert run.panes(30, stations=100, events=500) == []  # three of a hundred, and there were two
    run.pane(candidate("Huairou", SMALL), stations=100, events=500)
    assert run.said[-1].reason == "members"
    assert (run.said[-1].slice_count, run.said[-1].summary[:12]) == (4, "More of it: ")
    run.pane(*(candidate(f"s{k}", SMALL) for k in range(40)), stations=100, events=500)
    more = run.panes(30, stations=100, events=500)
    assert [(of.reason, of.slice_count, of.pane_start_ms - run.said[-2].pane_start_ms) for of in more] == [
        ("members", 44, DAY)
    ]


def test_half_of_all_slices_more_is_told_where_they_have_not_doubled() -> None:
    run = Run(config(alerts={"reminders": [], "repeat": "0s"}))
    run.pane(*(candidate(f"s{k}", SMALL) for k in range(30)), stations=50, events=200)
    run.panes(24, stations=50, events=200)
    assert run.pane(*(candidate(f"t{k}", SMALL) for k in range(24)), stations=50, events=200) == []
    assert [of.reason for of in run.pane(candidate("u", SMALL), stations=50, events=200)] == ["members"]


def test_kind_is_told_once_a_day_at_most() -> None:
    run = Run(config(alerts={"reminders": [], "repeat": "0s"}))
    run.pane(candidate("Dongsi"))
    said = run.pane(fault("Dongsi", MISSING)) + run.panes(23)
    assert [(of.reason, of.kind, of.pane_end_ms - run.said[0].pane_end_ms) for of in said] == [("kind", "fault", DAY)]


def test_a_reminder_that_is_due_with_something_else_is_not_sent_again() -> None:
    run = Run()
    run.pane(candidate("Dongsi", SMALL), stations=100, events=500)
    run.pane(candidate("Tiantan", SMALL), stations=100, events=500)
    run.panes(50, stations=100, events=500)
    assert [of.reason for of in run.said] == ["opened", "members"]


def test_after_a_gap_there_is_one_reminder_for_all_that_were_due() -> None:
    run = Run(NO_MODEL)
    run.pane(candidate())
    run.now += 24 * 15
    assert [of.reason for of in run.pane()] == ["reminder"]
    assert run.panes(23) == []


def test_reminders_begin_anew_where_it_comes_again() -> None:
    run = Run(NO_MODEL)
    run.pane(candidate())
    run.panes(24 * 8)
    run.end()
    (again,) = run.pane(candidate())
    assert again.summary.startswith("Back again: ")
    run.panes(24 * 3)
    assert [(of.reason, (of.pane_end_ms - again.pane_end_ms) // DAY) for of in run.said[-2:]] == [
        ("reminder", 1),
        ("reminder", 3),
    ]


_SIZES = [cause(figures=(5.0, 17.5 + 10 * size, 17.5, 2.0)) for size in (0.1, 0.6, 2.0)]
_TURNS = st.lists(
    st.tuples(
        st.integers(1, 40),
        st.sampled_from(STATIONS),
        st.sampled_from([*_SIZES, MISSING]),
        st.sampled_from(["pane", "over", "silence", "unsilence", "ack"]),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(_TURNS)
def test_there_are_never_more_messages_than_the_schedule_allows(turns: list[tuple[int, str, Cause, str]]) -> None:
    """Whatever slices do and people silence: of an incident that lasts for t, 1 + 2 + t / gather + reminders + 1."""
    run = Run()
    acts = 0
    run.pane(candidate("__all__"))  # one that never ends
    for hours, name, of, what in turns:
        run.panes(hours)
        if what == "pane":
            run.pane(candidate(name, of))
        elif what == "over":
            run.end(name)
        elif what == "ack":
            acts += len(run.act("ack", run.said[0].id, by=name))
        elif what == "silence":
            now = START + run.now * HOUR
            run.act("silence", id=f"of {name}", from_ms=now, to_ms=now + 40 * HOUR)
        else:
            run.act("unsilence", f"of {name}")
    people = [of for of in run.said if not isinstance(of, SilencedIncident)]
    silenced = [of for of in run.said if isinstance(of, SilencedIncident)]
    for messages in (people, silenced):
        for id_ in {of.id for of in messages}:
            _within_the_schedule([of for of in messages if of.id == id_], run.config.alerts, acts)
    silences = sum(1 for turn in turns if turn[3] == "silence")
    assert Counter(of.reason for of in silenced)["action"] <= silences + len(people) + acts


def _within_the_schedule(messages: list[Incident], alerts: AlertsConfig, acts: int) -> None:
    lasted = messages[-1].pane_end_ms - messages[0].pane_end_ms
    openings = sum(1 for of in messages if of.reason in ("opened", "again", "ended"))
    most = openings + 2 + lasted // alerts.gather + slots(alerts, lasted) + acts
    actions = sum(1 for of in messages if of.reason == "action") if isinstance(messages[0], SilencedIncident) else 0
    assert len(messages) <= most + actions
    assert sum(1 for of in messages if of.reason == "severity") <= 2


def test_what_comes_and_goes_is_told_ever_less_often() -> None:
    """Evidence that turns once a day for a month."""
    run = Run(config(alerts={"gather": "1d", "join_within": "7d"}))
    for _ in range(28):
        run.pane(candidate("Dongsi"))
        run.panes(11)
        run.end()
        run.panes(11)
    ends = [of for of in run.said if of.reason == "ended"]
    assert len({of.id for of in run.said}) == 1
    assert len(ends) <= 2, told(run.said)
    run.panes(24 * 8)
    assert run.said[-1].reason == "ended", "and at last it is over"
