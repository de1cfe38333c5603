"""When a change hurts the model in service, and which spans a model may learn."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import IncidentSpan
from stream_app.stages.judge.candidates import Candidate
from stream_app.stages.judge.harm import Tally
from stream_app.stages.judge.incidents import Incidents
from stream_app.stages.judge.spans import NAMES_MAX, SPANS_MAX
from stream_app.stages.snapshot import pack, unpack
from tests.stages.judge.making import DAY, HOUR, START, Run, candidate, cause, config, fault, told

ORDINARY: dict[str, Any] = {"scored": 1_000, "alarms": 10}
BURST: dict[str, Any] = {"scored": 1_000, "alarms": 300}
FEW: dict[str, Any] = {"scored": 3, "alarms": 3}


@pytest.mark.parametrize(
    ("of", "asks", "burst"),
    [
        (candidate(**ORDINARY), False, False),
        (candidate(scored=1_000, alarms=18), False, False),
        (candidate(scored=1_000, alarms=0), True, False),
        (candidate(scored=300, alarms=0), False, False),
        (candidate(**BURST), False, True),
        (candidate(**FEW), False, False),
        (candidate("Dongsi", cause("likelihood", measure="", unit=""), **ORDINARY), True, False),
        (candidate("Dongsi", cause("likelihood", measure="", unit=""), **BURST), False, True),
    ],
)
def test_a_model_is_asked_for_where_the_one_in_service_is_hurt_and_it_is_no_burst(
    of: Candidate, asks: bool, burst: bool
) -> None:
    run = Run()
    (opened,) = run.pane(of)
    assert bool(run.incidents.asking({"drift"})) == asks
    _, unjudged = run.incidents.of_request(START + HOUR)
    assert [span.kind for span in unjudged] == (["burst"] if burst else [])
    assert ("a new model is asked for" in opened.summary) == asks
    assert ("until somebody accepts it" in opened.summary) == burst
    assert ("is not hurt by it so far" in opened.next) == (not asks and not burst)


def test_alarms_that_come_in_clumps_count_as_fewer() -> None:
    """A tenth of the panes have all of them: 30 of 1,000 independent ones would be a burst."""
    even, clumped = Tally(), Tally()
    for k in range(10):
        even.take(3, 100)
        clumped.take(0 if k else 30, 100)
    assert even.share == clumped.share == 0.03
    assert (even.is_burst, clumped.is_burst) == (True, False)
    assert clumped.interval[0] < 0.01


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=20))
def test_a_tally_stays_a_tally(panes: list[tuple[int, int]]) -> None:
    of = Tally()
    for alarms, more in panes:
        of.take(alarms, alarms + more)
    low, high = of.interval
    assert 0.0 <= low <= of.share <= high <= 1.0
    assert of.design >= 1.0
    assert not (of.is_burst and of.is_low)


def test_a_newer_model_is_hurt_by_its_own_alarms() -> None:
    run = Run()
    run.pane(candidate(alarms=0, scored=900))
    run.pane(candidate(model_id="m2", **ORDINARY), service="m2")
    assert run.incidents.asking({"drift"}) == []


def test_a_fault_is_unjudged_until_it_is_accepted_and_asks_for_no_model() -> None:
    run = Run()
    (opened,) = run.pane(fault("Dongsi"))
    run.panes(3)
    _, unjudged = run.incidents.of_request(START + 4 * HOUR)
    assert [(span.incident_id, span.kind, span.slices) for span in unjudged] == [(opened.id, "fault", ["Dongsi"])]
    assert unjudged[0].to_ms == START + 4 * HOUR
    (accepted,) = run.act("accept", opened.id)
    assert not accepted.next.startswith("A new model")
    assert run.incidents.of_request(START + 5 * HOUR) == ([], [])
    assert run.incidents.spans.asking == []


def test_what_ends_by_itself_stays_unjudged_within_reach_and_what_a_model_has_learned_does_not() -> None:
    run = Run(config(retrain={"reference": "10d", "calibration": "1d"}))
    run.pane(candidate("Dongsi", **BURST))
    run.end()
    run.panes(3)
    (span,) = run.incidents.of_request(START + 5 * HOUR)[1]
    assert (span.slices, span.to_ms) == (["Dongsi"], run.said[-1].pane_end_ms)
    assert told(run.said)[-1] == ("resolve", "ended")
    assert run.incidents.of_request(span.to_ms + 10 * DAY)[1] == []
    learned = Run()
    learned.pane(candidate("Dongsi", **BURST))
    learned.end(model_id="m2")
    assert learned.said[-1].state == "handover"
    assert learned.incidents.of_request(START + 5 * HOUR)[1] == []


def test_what_comes_again_is_one_span() -> None:
    run = Run()
    (opened,) = run.pane(candidate("Dongsi", **BURST))
    run.end()
    run.panes(2)
    run.pane(candidate("Dongsi", **BURST))
    assert run.said[-1].id == opened.id
    (span,) = run.incidents.of_request(START + 10 * HOUR)[1]
    assert span.to_ms == START + 10 * HOUR


def test_what_a_person_has_accepted_asks_once_and_goes_on_until_a_newer_model_is_in_service() -> None:
    run = Run()
    (opened,) = run.pane(candidate("Dongsi", **BURST))
    (accepted,) = run.act("accept", opened.id)
    assert accepted.next.startswith("A new model is asked for")
    assert run.incidents.spans.asking == [("Dongsi", opened.id)]
    run.incidents.restore(unpack(pack(run.incidents.to_state())))
    run.incidents.spans.asked()
    assert run.incidents.spans.asking == []
    run.panes(5)
    (span,) = run.incidents.of_request(START + 6 * HOUR)[0]
    assert (span.kind, span.from_ms, span.to_ms) == ("burst", opened.since_ms, START + 6 * HOUR)
    run.pane(service="m2")
    run.panes(3, service="m2")
    (span,) = run.incidents.of_request(START + 10 * HOUR)[0]
    assert span.to_ms == START + 7 * HOUR


def test_what_nobody_had_judged_when_it_ended_can_be_accepted_still() -> None:
    run = Run()
    (burst,) = run.pane(candidate("Dongsi", **BURST))
    run.end()
    run.panes(3)
    (wrong,) = run.pane(fault("Gucheng"))
    run.end()
    run.panes(3)
    assert {span.incident_id for span in run.incidents.of_request(START + DAY)[1]} == {burst.id, wrong.id}
    assert run.act("accept", wrong.id) == []
    assert (run.incidents.spans.asking, run.incidents.spans.judged) == ([], [wrong.id])
    run.act("accept", burst.id)
    run.act("accept", burst.id)
    accepted, unjudged = run.incidents.of_request(START + DAY)
    assert ([span.incident_id for span in accepted], unjudged) == ([burst.id], [])
    assert run.incidents.spans.asking == [("Dongsi", burst.id)]
    assert run.incidents.spans.judged == [wrong.id, burst.id]


def test_after_a_restart_people_answer_for_the_model_that_is_in_service() -> None:
    run = Run()
    (opened,) = run.pane(candidate("Dongsi", **BURST))
    run.incidents.restore(unpack(pack(run.incidents.to_state())))
    run.act("accept", opened.id)
    run.panes(3)
    (span,) = run.incidents.of_request(START + 4 * HOUR)[0]
    assert span.to_ms == START + 4 * HOUR, "no newer model has come"


def test_what_does_not_hurt_asks_for_no_model_when_it_is_accepted() -> None:
    run = Run()
    (opened,) = run.pane(candidate("Dongsi", **ORDINARY))
    (accepted,) = run.act("accept", opened.id)
    assert not accepted.next.startswith("A new model")
    assert run.incidents.spans.asking == []
    off = Run(config(retrain={"enabled": False}))
    (opened,) = off.pane(candidate("Dongsi", **BURST))
    off.act("accept", opened.id)
    assert off.incidents.spans.asking == []


def test_however_many_bursts_nobody_judges_none_of_their_events_is_forgotten() -> None:
    """An attacker could make room for another one."""
    incidents = Incidents(config())
    spans, each = incidents.spans, 3 * HOUR
    names = ["\U0001f600" * 190 + f"{i:04d}" for i in range(80)]
    made = [
        IncidentSpan(
            incident_id=f"i{k}",
            kind="burst",
            slicing="station",
            slices=names,
            from_ms=START + k * each,
            to_ms=START + k * each + HOUR,
        )
        for k in range(SPANS_MAX + 300)
    ]
    spans.restore(msgspec.to_builtins([made, [], []]))
    _, unjudged = spans.of_request((), made[-1].to_ms)
    assert len(unjudged) == SPANS_MAX
    for one in made:
        assert any(
            of.from_ms <= one.from_ms and one.to_ms <= of.to_ms and (not of.slices or {*of.slices} >= {*one.slices})
            for of in unjudged
        )
    assert sum(len(name) for of in unjudged for name in of.slices) <= NAMES_MAX
    assert len(msgspec.json.encode(unjudged)) < 400_000
