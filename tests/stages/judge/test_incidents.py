"""One cause, one thread: what opens, goes on, ends, comes again, and what it carries."""

from __future__ import annotations

import math

import pytest

from schemas.codecs import Envelope, decode_event, encode_event
from schemas.incidents import EXAMPLES_MAX, MEMBERS_MAX
from stream_app.stages.snapshot import pack
from tests.stages.judge.making import (
    DAY,
    HOUR,
    MISSING,
    NAN,
    SHARE,
    START,
    STATIONS,
    VOLUME,
    Run,
    candidate,
    cause,
    config,
    fault,
    over,
    threshold,
    told,
    top_event,
)


def test_slices_that_move_together_are_one_incident_with_one_message() -> None:
    run = Run()
    (opened,) = run.pane(*(candidate(name) for name in STATIONS[:10]))
    assert told([opened]) == [("open", "opened")]
    assert opened.number == 1
    assert (opened.member_count, opened.slice_count) == (10, 10)
    assert opened.share == pytest.approx(50 / 60)
    assert (opened.kind, opened.severity, opened.detector, opened.feature) == ("drift", "critical", "location", "TEMP")
    assert (opened.since_ms, opened.opened_pane_ms, opened.pane_end_ms) == (START - 6 * HOUR, START, START + HOUR)
    assert run.panes(20) == []
    (ended,) = run.end()
    assert (ended.id, ended.number, ended.state, ended.reason) == (opened.id, 2, "resolve", "ended")
    assert all(member.over for member in ended.members)
    assert ended.severity == "critical"
    assert run.incidents.members == set()


def test_a_message_has_what_people_need() -> None:
    run = Run(config(alerts={"console_url": "http://c:8765/", "grafana_url": "http://g/d/driftflow"}))
    run.act("mark", at_ms=START - 20 * HOUR, why="release 4.2")
    run.act("mark", at_ms=START - 40 * HOUR, why="long ago")
    (opened,) = run.pane(candidate(), top=[top_event(), top_event("Tiantan", offset=1)])
    assert opened.evidence.startswith("betting odds")
    assert opened.threshold == pytest.approx(threshold(run.config))
    assert "51,840 = 720 panes a month × 3 rules × 24" in opened.promise
    assert [mark.text for mark in opened.marks] == ["release 4.2"]
    assert [(of.topic, of.partition, of.offset, of.slice) for of in opened.examples] == [("air.events", 2, 0, "Dongsi")]
    assert opened.links["console"] == f"http://c:8765/#incident={opened.id}"
    assert opened.links["grafana"] == (
        "http://g/d/driftflow?var-stream=air&var-slicing=station&var-slice=Dongsi"
        f"&from={START - 6 * HOUR - DAY}&to={START + HOUR}"
    )
    assert f"driftflow accept {opened.id}" in opened.next
    (finding,) = opened.findings
    assert (finding.seen, finding.expected, finding.unit, finding.events) == (12.3, 3.5, "°C", 5)
    assert finding.size_sd == pytest.approx(8.8 / 2.15)
    assert opened.summary == (
        "Dongsi: TEMP is 4.1 σ higher than usual (12.3 against 3.5 °C for these hours) since 4 Mar 2017 00:00 UTC; "
        "8.3 % of all events; near its beginning: release 4.2; a new model is asked for."
    )


def test_every_message_fits_on_the_wire() -> None:
    run = Run()
    long = "x" * 200
    river = cause("adwin", says="finds", measure="", figures=(NAN,) * 4)
    run.pane(candidate(long), fault(long, MISSING), candidate("__all__", river, statistic=float("inf")))
    run.act("silence", from_ms=0, to_ms=2 * START)
    run.end()
    for number, message in enumerate(run.said):
        encoded = encode_event(Envelope(message, f"e{number}", "/driftflow/air/judge", message.pane_end_ms, ""))
        assert decode_event(encoded.value, encoded.headers) == message


def test_figures_are_of_all_panes_and_slices_since_they_spoke() -> None:
    run = Run()
    run.pane(candidate("Dongsi", cause(figures=(5, 50, 20, 2)), statistic=10.0), allowed="")
    run.pane(candidate("Dongsi", cause(figures=(5, 70, 20, 2))), candidate("Tiantan", cause(figures=(10, 100, 10, 4))))
    (opened,) = run.said
    (finding,) = opened.findings
    assert finding.events == 20
    assert finding.seen == pytest.approx((50 + 70 + 100) / 20)
    assert finding.expected == pytest.approx(50 / 20)
    assert finding.size_sd == pytest.approx((11 - 2.5) / ((10 * 4 + 10 * 16) / 20) ** 0.5)


def test_what_comes_after_the_change_does_not_dilute_its_figures() -> None:
    """Evidence takes some panes to turn; those panes are as usual, and are no figures of what was."""
    run = Run()
    run.pane(candidate())
    for remaining in (0.05, 0.01, 0.001):
        run.pane(candidate("Dongsi", cause(figures=(5, 17.5, 17.5, 2.15)), remaining=remaining))
    (ended,) = run.end()
    assert ended.findings[0].seen == pytest.approx(12.3)
    assert "TEMP was 4.1 σ higher than usual" in ended.summary


def test_what_has_little_part_in_the_evidence_is_no_finding_and_has_no_figures_there() -> None:
    """A column that is named third in each pane, for want of another, and moves at last."""
    run = Run()
    usual = cause("location", "PRES", weight=1.0, figures=(5.0, 5_000.0, 5_000.0, 8.0), unit="hPa")
    moved = cause("location", "PRES", weight=14.0, figures=(5.0, 5_100.0, 5_000.0, 8.0), unit="hPa")
    (opened,) = run.pane(candidate("Dongsi", cause(), usual))
    assert [of.feature for of in opened.findings] == ["TEMP"]
    run.panes(20)
    run.pane(candidate("Dongsi", cause(), moved))
    (ended,) = run.end()
    assert [(of.feature, of.seen, of.events) for of in ended.findings] == [
        ("TEMP", pytest.approx(12.3), 22 * 5),
        ("PRES", pytest.approx(1_020.0), 5),
    ]


def test_it_began_when_what_opened_it_began() -> None:
    """What joins later may be something else, which began long before."""
    run = Run()
    run.pane(candidate("Dongsi", since_ms=START - 9 * HOUR))
    run.pane(fault("Dongsi", cause("missing", "TEMP"), since_ms=START - 100 * DAY))
    (ended,) = run.end()
    assert ended.since_ms == START - 9 * HOUR
    assert min(of.since_ms for of in ended.members) == START - 100 * DAY


def test_what_a_newer_model_finds_usual_is_no_figure_of_the_change() -> None:
    run = Run()
    run.pane(candidate())
    run.pane(candidate("Dongsi", cause(figures=(5, 61.5, 61.5, 2)), model_id="m2", remaining=0.5))
    (ended,) = run.end(model_id="m2")
    assert ended.findings[0].expected == pytest.approx(3.5)


def test_an_incident_ends_by_name_where_a_newer_model_takes_it_for_normal() -> None:
    run = Run()
    run.pane(candidate("Dongsi"), candidate("Tiantan"))
    run.pane(candidate("Dongsi", model_id="m2", remaining=0.3), candidate("Tiantan", model_id="m2", remaining=0.3))
    (ended,) = run.end(model_id="m2")
    assert (ended.state, ended.model_id, ended.successor_id) == ("handover", "m1", "m2")
    assert ended.summary.startswith("Over, the new model takes it for normal: ")


def test_what_is_still_so_under_a_newer_model_and_then_over_is_as_before() -> None:
    run = Run()
    run.pane(candidate())
    run.pane(candidate(model_id="m2"))  # its evidence is larger than ever, under the newer model
    (ended,) = run.end(model_id="m2")
    assert (ended.state, ended.successor_id) == ("resolve", "")


def test_a_fault_ends_as_before_whatever_the_model() -> None:
    run = Run()
    run.pane(fault())
    (ended,) = run.end(model_id="m2")
    assert (ended.state, ended.kind) == ("resolve", "fault")


def test_it_ends_only_when_all_members_are_over() -> None:
    run = Run()
    run.pane(candidate("Dongsi"), candidate("Tiantan"))
    assert run.end("Dongsi") == []
    assert run.incidents.members == {("drift", "station", "Tiantan")}
    assert told(run.end("Tiantan")) == [("resolve", "ended")]


def test_a_member_that_nothing_is_heard_of_for_the_longest_span_is_over() -> None:
    run = Run(config(retrain={"enabled": False}))
    run.pane(candidate())
    run.standing.clear()
    assert run.panes(24 * 28) == []  # nobody knows whether it is still so
    assert told(run.pane()) == [("resolve", "ended")]


def test_accepted_is_over_for_people_and_does_not_open_again_while_its_evidence_stays() -> None:
    """A lasting change of volume: no model is asked for, so its evidence may stay for ever."""
    run = Run()
    (opened,) = run.pane(fault("Dongsi", VOLUME), fault("Tiantan", VOLUME))
    (accepted,) = run.act("accept", opened.id)
    assert (accepted.state, accepted.reason, accepted.acked_by, accepted.number) == ("accepted", "action", "Li", 2)
    assert run.panes(24 * 40) == []  # WATCH goes on to speak of it
    assert run.incidents.members == {("fault", "station", "Dongsi"), ("fault", "station", "Tiantan")}
    assert run.act("accept", opened.id) == []
    run.end()
    assert run.incidents.members == set()  # the evidence has gone: what comes from now on is new
    (again,) = run.pane(fault("Dongsi", VOLUME, since_ms=START + run.now * HOUR))
    assert told([again]) == [("open", "opened")]
    assert again.id != opened.id


def test_another_change_where_one_was_accepted_needs_evidence_of_its_own() -> None:
    run = Run()
    (opened,) = run.pane(fault("Dongsi", VOLUME))
    run.act("accept", opened.id)
    weak, strong = (cause("missing", "PRES", measure="share missing", says="gaps", weight=of) for of in (9.0, 12.0))
    assert run.pane(fault("Dongsi", VOLUME, weak)) == []
    (other,) = run.pane(fault("Dongsi", VOLUME, strong))
    assert (other.state, other.detector, other.id != opened.id) == ("open", "missing", True)
    assert other.since_ms == START + HOUR  # the first pane in which anything but the accepted was heard
    assert [of.detector for of in other.findings] == ["missing"]
    assert other.statistic == pytest.approx(math.exp(12.0))  # of what was accepted nothing counts
    assert run.pane(fault("Dongsi", VOLUME)) == []
    (reminder, ended) = run.panes(24)
    assert (reminder.reason, ended.state) == ("reminder", "resolve")  # for a day only the accepted has been heard
    assert run.panes(24 * 40) == []
    (back,) = run.pane(fault("Dongsi", VOLUME, strong))
    assert back.state == "open"


def test_the_same_id_goes_on_where_it_comes_again_soon() -> None:
    run = Run()
    (opened,) = run.pane(candidate())
    run.end()
    run.panes(24 * 6)
    (again,) = run.pane(candidate())
    assert (again.id, again.state, again.reason, again.number) == (opened.id, "update", "again", 3)
    run.end()
    run.panes(24 * 9)  # a day of them until people are told that it is over
    (new,) = run.pane(candidate(since_ms=START + run.now * HOUR))
    assert (new.state, new.number, new.id != opened.id) == ("open", 1, True)


def test_what_may_only_join_does_not_bring_an_ended_incident_back() -> None:
    run = Run()
    run.pane(candidate())
    run.end()
    assert run.pane(candidate(), allowed="join") == []


def test_the_strangest_events_of_its_slices_are_kept_while_it_is_open() -> None:
    run = Run()
    run.pane(candidate("Dongsi"), top=[top_event("Dongsi", 1e-3, k) for k in range(10)])
    run.pane(top=[top_event("Dongsi", 1e-5, 77), top_event("Wanliu", 1e-9, 78)])
    (ended,) = run.end()
    assert len(ended.examples) == EXAMPLES_MAX
    assert (ended.examples[0].offset, ended.examples[0].p_value) == (77, 1e-5)
    assert {of.slice for of in ended.examples} == {"Dongsi"}


@pytest.mark.parametrize(("slicing", "name"), [("station", "__all__"), ("all", "all")])
def test_every_event_is_an_example_of_what_is_about_all(slicing: str, name: str) -> None:
    (opened,) = Run().pane(candidate(name, slicing=slicing, events=60), top=[top_event("Wanliu")])
    assert [of.slice for of in opened.examples] == ["Wanliu"]


def test_of_a_sensitive_column_no_value_is_told() -> None:
    run = Run(config(event={"sensitive": ["TEMP"]}))
    run.pane(candidate(), fault("Dongsi", cause("unit", "TEMP", says="far off")), top=[top_event()])
    run.end()
    for message in run.said:
        assert [(of.seen, of.expected) for of in message.findings] == [(None, None)] * 2
        assert "12.3" not in repr(message)
        assert "3.5" not in repr(message)
        assert [blame.detail for of in message.examples for blame in of.blame] == [""]
    assert run.said[0].summary.startswith("Dongsi: TEMP is 4.1 σ higher than usual; TEMP: far off since ")


def test_who_asks_for_a_model() -> None:
    run = Run()
    run.pane(candidate("Dongsi"), candidate("Tiantan"), candidate("Wanliu", events=0), fault("Tiantan"))
    (opened,) = (of for of in run.said if of.kind == "drift")
    assert run.incidents.asking({"drift"}) == [("Dongsi", opened.id)]  # Tiantan's values are missing, Wanliu has none
    assert run.incidents.asking({"other"}) == []
    assert "a new model is asked for" in opened.summary
    run.act("accept", opened.id)
    assert run.incidents.asking({"drift"}) == []


def test_slices_with_an_open_incident() -> None:
    run = Run()
    (opened,) = run.pane(candidate("Dongsi"), fault("Dongsi"), candidate("Tiantan", statistic=3.0), allowed="open")
    assert run.incidents.slices == {("station", "Dongsi"), ("station", "Tiantan")}
    run.act("accept", opened.id)
    assert run.incidents.slices == {("station", "Dongsi"), ("station", "Tiantan")}
    run.end()
    assert run.incidents.slices == set()


def test_actions_on_what_is_not_open_have_no_effect() -> None:
    run = Run()
    (opened,) = run.pane(candidate())
    run.end()
    before = pack(run.incidents.to_state())
    for verb in ("accept", "ack", "feedback"):
        assert run.act(verb, opened.id) == run.act(verb, "nobody") == []
    assert pack(run.incidents.to_state()) == before


def test_a_message_lists_a_bounded_number_of_members_and_counts_all() -> None:
    many = [candidate(f"s{k}", share=1e-4, statistic=1e6 + k) for k in range(MEMBERS_MAX + 50)]
    (opened,) = Run().pane(*many, stations=MEMBERS_MAX + 50, events=5 * (MEMBERS_MAX + 50))
    assert len(opened.members) == MEMBERS_MAX
    assert (opened.member_count, opened.slice_count) == (MEMBERS_MAX + 50, MEMBERS_MAX + 50)
    assert opened.members[0].slice == f"s{MEMBERS_MAX + 49}"  # most evidence first
    assert opened.summary.startswith(f"all {MEMBERS_MAX + 50} stations: ")


def test_rules_without_evidence_have_no_promise() -> None:
    rules = {"river": {"detectors": ["adwin"], "open": 1.0, "resolve": 0.5}}
    river = cause("adwin", says="adwin finds a change", measure="", figures=(NAN,) * 4, weight=1.0)
    (opened,) = Run(config(rules=rules)).pane(candidate("Dongsi", river, rule="river", statistic=1.0))
    assert opened.promise.startswith("Nothing is promised")
    assert opened.threshold == 1.0
    assert "adwin finds a change" in opened.summary


def test_the_share_of_a_rule_is_what_its_threshold_follows_from() -> None:
    run = Run()
    run.pane(candidate(share=SHARE / 2), over(candidate("Wanliu")))
    assert run.said[0].threshold == pytest.approx(threshold(run.config, SHARE / 2))
