"""An incident keeps naming what it is about, whatever leads its evidence later, and says what was added."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.incidents import Incident
from stream_app.stages.judge.figures import FINDINGS_MAX
from stream_app.stages.judge.heard import Sums
from stream_app.stages.judge.incidents import Incidents
from stream_app.stages.judge.naming import LATER_MAX
from stream_app.stages.snapshot import pack, unpack
from tests.stages.judge.making import HOUR, MISSING, NAN, START, Run, candidate, cause, config, fault, over

LIKELY = cause(
    "likelihood",
    measure="",
    weight=40.0,
    figures=(NAN,) * 4,
    says="events are stranger than usual, all columns together",
)
DEWP = cause("location", "DEWP", weight=16.0, figures=(5.0, 80.0, 70.0, 2.0))
OPENED = "TEMP is 4.1 σ higher than usual (12.3 against 3.5 °C for these hours) since 4 Mar 2017 00:00 UTC"
WAS = "TEMP was 4.1 σ higher than usual (12.3 against 3.5 °C for these hours)"

NO_MODEL = config(retrain={"enabled": False})


def after(*causes: Any) -> Run:
    """An incident that opened with TEMP, and of whose slice some causes are named from then on."""
    run = Run(NO_MODEL)
    run.pane(candidate("Dongsi", weighed(0), statistic=1e7))
    run.pane(candidate("Dongsi", *causes, statistic=1e7))
    return run


def weighed(weight: float) -> Any:
    return cause(weight=weight or 14.0)


def test_a_reminder_and_the_end_name_what_it_opened_with_though_something_else_leads_now() -> None:
    run = after(LIKELY, weighed(0))
    run.panes(30)
    opened, reminder = run.said
    assert (opened.detector, opened.feature) == (reminder.detector, reminder.feature) == ("location", "TEMP")
    assert OPENED in opened.summary
    assert reminder.summary.startswith(f"Still so after 1 day: Dongsi: {OPENED}; 8.3 % of all events")
    assert [of.says for of in reminder.findings] == [opened.findings[0].says, LIKELY.says]
    (ended,) = run.end()
    assert (ended.detector, ended.feature) == ("location", "TEMP")
    assert f"Dongsi: {WAS}, from 4 Mar" in ended.summary
    assert [of.says for of in ended.findings] == [WAS, "events were stranger than usual, all columns together"]


def test_what_was_added_is_told_as_later() -> None:
    run = after(weighed(0), DEWP)
    run.panes(30)
    assert f"{OPENED}; later also DEWP; 8.3 % of all events" in run.said[-1].summary
    assert "UTC; later also DEWP." in run.end()[0].summary


def test_a_fault_of_values_that_was_added_is_told_in_words() -> None:
    run = after(weighed(0))
    run.pane(fault("Dongsi", MISSING))
    run.panes(30)
    later = "; later also PRES: more values are missing than usual: 60 % instead of 1 %; 8.3 %"
    assert f"{OPENED}{later}" in run.said[-1].summary


def test_what_it_opened_with_ended_where_its_own_evidence_did() -> None:
    """Another fault of the same slice that began meanwhile is said until it is over, and not the first one."""
    late = cause("intake", measure="share", weight=30.0, says="events come late", figures=(5.0, 2.0, 0.05, NAN))
    turned = cause("intake", measure="share", weight=27.0, says="events come late", figures=(5.0, 0.0, 0.05, NAN))
    run = Run(NO_MODEL)
    run.pane(fault("Dongsi", late))
    run.panes(2)
    run.pane(fault("Dongsi", turned, MISSING))
    run.panes(8)
    (ended,) = run.end()
    assert ended.summary.startswith(
        "Over, all is as before: Dongsi: events came late: 40 % instead of 1 %, from 4 Mar 2017 00:00 to 4 Mar 2017 "
        "09:00 UTC; later also PRES: more values were missing than usual: 60 % instead of 1 %, until 4 Mar 2017"
    )


def test_what_it_opened_with_and_is_so_no_longer_is_said_to_have_been() -> None:
    run = Run(NO_MODEL)
    run.pane(fault("Dongsi", MISSING))
    run.pane(candidate("Dongsi", DEWP))
    run.pane(over(fault("Dongsi", MISSING)))
    said = run.panes(30)
    assert [of.reason for of in said] == ["kind"]
    assert said[0].summary.startswith(
        "Dongsi: DEWP is 1.0 σ higher than usual (16 against 14 °C for these hours); it began 4 Mar 2017 00:00 UTC, "
        "when PRES: more values were missing than usual: 60 % instead of 1 %; 8.3 % of all events"
    )
    assert (said[0].detector, said[0].feature) == ("missing", "PRES")
    assert [of.says.split(" (")[0] for of in said[0].findings] == [
        "PRES: more values were missing than usual: 60 % instead of 1 %",
        "DEWP is 1.0 σ higher than usual",
    ]
    assert said[0].findings[0].weight == 0.0, "it is no part of the evidence any more"


def test_what_is_so_now_comes_before_what_has_been_behind_what_it_opened_with() -> None:
    run = Run(NO_MODEL)
    run.pane(candidate("Dongsi", *[cause("location", name, weight=14.0) for name in ("TEMP", "PRES", "DEWP")]))
    run.pane(candidate("Dongsi", LIKELY, cause("location", "DEWP", weight=30.0)))
    run.panes(30)
    said = [of.says.split(" ")[0:2] for of in run.said[-1].findings]
    assert said == [["TEMP", "was"], ["DEWP", "is"], ["events", "are"], ["PRES", "was"]]


@pytest.mark.parametrize("verb", ["accept", "ack"])
def test_answers_name_it_too(verb: str) -> None:
    run = after(LIKELY)
    (answer,) = run.act(verb, run.said[0].id)
    assert WAS in answer.summary
    assert answer.feature == "TEMP"


def test_a_newer_model_hands_over_what_it_opened_with() -> None:
    run = Run()
    run.pane(candidate("Dongsi"))
    run.pane(candidate("Dongsi", LIKELY, remaining=0.5))
    run.pane(candidate("Dongsi", LIKELY, model_id="m2", remaining=0.3))
    (ended,) = run.end(model_id="m2")
    assert (ended.state, ended.feature) == ("handover", "TEMP")
    assert WAS in ended.summary


def test_the_figures_go_on_while_it_is_so() -> None:
    run = after(cause(figures=(15.0, 150.0, 52.5, 2.15)), LIKELY)
    (ended,) = run.end()
    assert ended.findings[0].seen == pytest.approx(211.5 / 20)
    assert ended.findings[0].events == 20


def test_what_comes_again_opens_with_what_it_comes_with() -> None:
    run = after(LIKELY, weighed(0))
    run.end()
    (again,) = run.pane(candidate("Dongsi", LIKELY))
    assert (again.reason, again.detector) == ("again", "likelihood")


def test_what_comes_again_is_so_since_then_and_not_since_it_first_was() -> None:
    run = Run(NO_MODEL)
    run.pane(candidate("Dongsi"))
    run.end()
    run.panes(30)
    (again,) = run.pane(candidate("Dongsi", since_ms=START + 20 * HOUR))
    assert again.summary.startswith("Back again: Dongsi: TEMP is 4.1 σ higher than usual")
    assert "since 5 Mar 2017 02:00 UTC" in again.summary
    assert again.since_ms == START - 6 * HOUR, "the thread is as old as ever"
    assert "from 5 Mar 2017 02:00 to " in [*run.end(), *run.panes(30)][-1].summary


def test_a_value_that_is_stuck_is_told_without_what_came_after_it() -> None:
    says = "its value does not change any more"
    stuck, moved = (cause("stuck", "PRES", says=says, figures=(5.0, seen, 30.0, 1.0)) for seen in (25.0, 500.0))
    run = Run(NO_MODEL)
    run.pane(fault("Dongsi", stuck))
    run.pane(fault("Dongsi", moved, remaining=0.5))
    assert run.end()[0].findings[0].says == "PRES: its value did not change (at 5 °C)"


def named_anew(k: int) -> Any:
    return cause("scale", f"c{k}", measure="spread", weight=20.0 + k, figures=(5.0, 20.0, 5.0, 1.0), says="spreads")


def story(restart: bool) -> tuple[list[Incident], bytes]:
    """Fifty causes lead, one after the other; with a snapshot between any two panes, or without."""
    run = Run(config(alerts={"reminders": [f"{k}h" for k in range(2, 50)]}, retrain={"enabled": False}))
    run.pane(candidate("Dongsi", *[cause("location", f"x{k}", weight=14.0) for k in range(3)]))
    for k in range(50):
        if restart:
            state = unpack(pack(run.incidents.to_state()))
            run.incidents = Incidents(run.config)
            run.incidents.restore(state)
        run.pane(candidate("Dongsi", named_anew(k)))
    run.end()
    return run.said, pack(run.incidents.to_state())


def test_what_is_kept_is_bounded_and_the_same_after_a_kill_at_any_pane() -> None:
    said, state = story(restart=False)
    assert story(restart=True) == (said, state)
    assert len(said) > 40
    assert max(len(of.findings) for of in said) == 3 + LATER_MAX <= FINDINGS_MAX + LATER_MAX
    assert {(of.detector, of.feature) for of in said} == {("location", "x0")}
    assert {of.findings[0].feature for of in said} == {"x0"}


def test_a_snapshot_from_before_causes_had_an_end_is_taken_back() -> None:
    run = Run(NO_MODEL)
    run.pane(candidate("Dongsi"))
    state = unpack(pack(run.incidents.to_state()))
    for thread in state["open"]:
        for named in thread["about"]:
            del named["found"]["until_ms"]
        for member in thread["members"]:
            for of in member["causes"]:
                del of["until_ms"], of["top"]
    restored = Incidents(NO_MODEL)
    restored.restore(state)
    assert restored.members == run.incidents.members


def test_a_cause_that_loses_little_in_each_pane_is_over_after_the_first_few() -> None:
    """While another one stays as large as ever: a bet that rests loses a step of 1/128 nat at a time."""
    (cause,) = candidate("Dongsi").causes
    of, steps = Sums("missing", 0, ("x0",), "up", "share", "", "says", 0.0), [500, 600, *range(600, 560, -1), 300, 310]
    ends = []
    for pane, step in enumerate(steps):
        of.take(msgspec.structs.replace(cause, weight=step / 128), True, settles=True, adds=False, end_ms=pane)
        ends.append(of.until_ms)
    assert ends == [0, 1, 2, 3, *[3] * (len(steps) - 4)]
    of.take(msgspec.structs.replace(cause, weight=700 / 128), True, settles=True, adds=False, end_ms=99)
    assert (of.top, of.until_ms) == (700 / 128, 99)
    of.take(msgspec.structs.replace(cause, weight=700 / 128 - 200), True, settles=True, adds=False, end_ms=100)
    assert (of.top, of.until_ms) == (700 / 128 - 200, 100)
