"""Sentences that an operator reads once: whole ones, of every detector, as they are sent."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.pane_layout import TOGETHER
from stream_app.stages.detection.detectors import DETECTORS
from stream_app.stages.judge import words
from stream_app.stages.judge.candidates import Candidate, Cause
from tests.stages.judge.making import MISSING, NAN, STATIONS, VOLUME, Run, candidate, cause, config, fault

NOTHING = (NAN,) * 4
SILENCE = cause(
    "silence",
    direction="down",
    measure="events a pane",
    figures=(1.0, 0.0, 5.0, 2.0),
    says="no events come any more",
    unit="",
)
STRANGERS = cause(
    "strangers",
    "station",
    measure="share of events without a slice of their own",
    figures=(60.0, 30.0, 0.6, NAN),
    says="the field station has about 1,200 values that are new, such as x1, x2, x3; their slices have no place",
    unit="",
)
SENTENCES: list[tuple[list[Candidate], str]] = [
    (
        [candidate(name) for name in STATIONS[3:6]],
        "Dongsi, Guanyuan and Gucheng: TEMP is 4.1 σ higher than usual (12.3 against 3.5 °C for these hours) since "
        "4 Mar 2017 00:00 UTC; 25 % of all events; a new model is asked for.",
    ),
    (
        [candidate(name) for name in STATIONS[:10]],
        "Aotizhongxin, Changping and 8 more stations: TEMP is 4.1 σ higher than usual (12.3 against 3.5 °C for these "
        "hours) since 4 Mar 2017 00:00 UTC; 83 % of all events; a new model is asked for.",
    ),
    (
        [candidate(name) for name in STATIONS],
        "all 12 stations: TEMP is 4.1 σ higher than usual (12.3 against 3.5 °C for these hours) since 4 Mar 2017 00:00 "
        "UTC; 100 % of all events; a new model is asked for.",
    ),
    (
        [
            candidate(
                "Dongsi",
                cause(direction="down", figures=(5.0, -20.0, 17.5, 2.0)),
                cause("location", "DEWP", weight=15.0),
            )
        ],
        "Dongsi: TEMP is 3.8 σ lower than usual (-4 against 3.5 °C for these hours); also DEWP since 4 Mar 2017 00:00 "
        "UTC; 8.3 % of all events; a new model is asked for.",
    ),
    (
        [candidate("Dongsi", cause(figures=(5.0, 17.6, 17.5, 2.0)))],
        "Dongsi: TEMP is higher than the other columns let expect (3.52 against 3.5 °C for these hours) since "
        "4 Mar 2017 00:00 UTC; 8.3 % of all events; a new model is asked for.",
    ),
    (
        [candidate("Dongsi", cause("location", "PRES", unit="hPa", figures=(5.0, 5_044.5, 5_018.0, 8.0)))],
        "Dongsi: PRES is 0.7 σ higher than usual (1,008.9 against 1,003.6 hPa for these hours) since "
        "4 Mar 2017 00:00 UTC; 8.3 % of all events; a new model is asked for.",
    ),
    (
        [candidate("__all__", cause(figures=NOTHING), events=60)],
        "all stations together: TEMP is higher than usual since 4 Mar 2017 00:00 UTC; 100 % of all events; a new model "
        "is asked for.",
    ),
    (
        [candidate("all", cause("likelihood", says="events are stranger than usual", figures=NOTHING), slicing="all")],
        "all events: events are stranger than usual since 4 Mar 2017 00:00 UTC; a new model is asked for.",
    ),
    (
        [fault("Dongsi", VOLUME)],
        "Dongsi: only 1 event an hour (5 are usual) since 4 Mar 2017 00:00 UTC; 8.3 % of all events; this looks like a "
        "fault of the data.",
    ),
    (
        [fault("Dongsi", SILENCE, events=0), fault("Tiantan", SILENCE, events=0)],
        "Dongsi and Tiantan: no events come any more (5 an hour are usual) since 4 Mar 2017 00:00 UTC; 14 % of all "
        "events; this looks like a fault of the data.",
    ),
    (
        [fault("Dongsi", MISSING)],
        "Dongsi: PRES: more values are missing than usual: 60 % instead of 1 % since 4 Mar 2017 00:00 UTC; 8.3 % of "
        "all events; this looks like a fault of the data.",
    ),
    (
        [
            candidate(
                "Dongsi",
                cause("scale", "PRES", measure="spread", says="spreads more than usual", figures=(5.0, 22.0, 5.0, 1.0)),
            )
        ],
        "Dongsi: PRES spreads 2.1 times as widely as usual since 4 Mar 2017 00:00 UTC; 8.3 % of all events; a new "
        "model is asked for.",
    ),
    (
        [fault("__other__", STRANGERS, rule="slices", events=30, share=1.0)],
        "stations without a place of their own: the field station has about 1,200 values that are new, such as x1, x2, "
        "x3; their slices have no place: 50 % instead of 1 % since 4 Mar 2017 00:00 UTC; 50 % of all events; this "
        "looks like a fault of the data.",
    ),
]


@pytest.mark.parametrize(("candidates", "expected"), SENTENCES)
def test_a_sentence_says_where_what_how_much_since_when_and_what_next(
    candidates: list[Candidate], expected: str
) -> None:
    (opened,) = Run().pane(*candidates)
    assert opened.summary == expected


def test_a_sentence_at_the_end_says_what_was_and_how_long() -> None:
    run = Run()
    run.pane(candidate("Dongsi"))
    run.panes(20)
    assert run.end()[0].summary == (
        "Over, all is as before: Dongsi: TEMP was 4.1 σ higher than usual (12.3 against 3.5 °C for these hours), "
        "from 4 Mar 2017 00:00 to 5 Mar 2017 03:00 UTC."
    )


def test_times_are_on_the_stream_s_own_clock() -> None:
    (opened,) = Run(config(event={"timezone": "Asia/Shanghai"})).pane(candidate("Dongsi"))
    assert "since 4 Mar 2017 08:00 Asia/Shanghai" in opened.summary


@pytest.mark.parametrize(
    ("kind", "retrain", "state", "expected"),
    [
        ("drift", True, "open", "A new model is asked for. It ends by itself once a model takes this for normal"),
        ("drift", False, "open", "No model is asked for. It ends by itself once all is as before."),
        ("fault", True, "open", "No model is asked for, it would learn the fault."),
        ("drift", True, "resolve", "Nothing. Should it come back within 7 days, it goes on as this."),
        ("drift", True, "handover", "Nothing: what the new model has learned is normal from now on."),
    ],
)
def test_what_happens_next(kind: str, retrain: bool, state: str, expected: str) -> None:
    run = Run(config(retrain={"enabled": retrain}))
    run.pane(candidate("Dongsi") if kind == "drift" else fault("Dongsi"))
    if state != "open":
        run.end(model_id="m2" if state == "handover" else "m1")
    assert run.said[-1].state == state
    assert expected in run.said[-1].next


def test_who_looks_after_it_is_named() -> None:
    run = Run()
    (opened,) = run.pane(candidate("Dongsi"))
    assert f"driftflow ack {opened.id}" in opened.next
    (acked,) = run.act("ack", opened.id, by="Li")
    assert "Li looks after it." in acked.next
    assert "driftflow ack" not in acked.next
    (accepted,) = run.act("accept", opened.id, by="Wang")
    assert accepted.summary.startswith("Accepted as the new normal by Wang: Dongsi: TEMP was 4.1 σ higher")


def test_several_that_need_less_each_are_counted_in_the_promise() -> None:
    (opened,) = Run(config(alerts={"false_incidents_per_month": 2.0})).pane(*(candidate(of) for of in STATIONS[:3]))
    assert opened.promise == (
        "At most 2 false incidents a month are expected on the whole stream while nothing changes: one slice alone "
        "needs evidence of 25,920 = 720 panes a month × 3 rules × 24 (parts of the promise, shared by slices and "
        "groups) / 2 incidents a month; 3 with the same cause need 1/3 of it each."
    )


def test_the_figures_of_the_promise_multiply() -> None:
    for a_month in (0.5, 1.0, 3.0):
        (opened,) = Run(config(alerts={"false_incidents_per_month": a_month})).pane(candidate("Dongsi"))
        numbers = [float(of.replace(",", "")) for of in re.findall(r"[\d,]*\.?\d+", opened.promise)]
        _, whole, *factors = numbers
        per_month = factors.pop() if a_month != 1.0 else 1.0
        assert math.prod(factors) / per_month == pytest.approx(whole, rel=1e-3)


@pytest.mark.parametrize("name", DETECTORS)
def test_every_measure_of_a_detector_makes_a_sentence(name: str) -> None:
    """With figures and without."""
    for measure in ("mean", "spread", "share", "share missing", "events a pane", ""):
        for figures in ((5.0, 22.0, 5.0, 1.0), (5.0, 0.0, 0.0, 0.0), NOTHING):
            of: Cause = cause(name, "TEMP", measure=measure, says="it has changed", figures=figures)
            run = Run()
            run.pane(candidate("Dongsi", of))
            for message in [*run.said, *run.end()]:
                assert "TEMP" in message.summary or measure == "events a pane"
                assert "nan" not in message.summary
                assert "  " not in message.summary


@given(st.floats(-1e12, 1e12))
def test_figures_have_three_digits_that_count(value: float) -> None:
    text = words.figure(value)
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.006, abs=1e-9)
    assert len(re.sub(r"\D", "", text.split("e")[0]).strip("0")) <= 3


@given(st.floats(0, 1))
def test_shares_are_percent(value: float) -> None:
    text = words.share(value)
    assert text.endswith(" %")
    if not text.startswith("less"):
        assert float(text[:-2]) / 100 == pytest.approx(value, abs=0.00501)


def test_many_names_are_counted_and_few_are_named() -> None:
    assert words.listed(["a"], 1, "station") == "a and 1 more station"
    run = Run()
    (opened,) = run.pane(candidate("Dongsi"), candidate("Tiantan"), candidate("Wanliu"), fault("Gucheng", cause()))
    assert opened.summary.startswith("Dongsi, Tiantan and 2 more stations: ")


def test_what_is_over_is_told_in_the_past_and_a_stuck_value_by_itself() -> None:
    says = "its value does not change any more"
    stuck = cause("stuck", "PRES", direction="", unit="hPa", figures=(5.0, 5_017.0, 5_015.0, 2.0), says=says)
    run = Run()
    (opened,) = run.pane(fault("Dongsi", stuck))
    assert "PRES: its value does not change any more (at 1,003.4 hPa)" in opened.summary
    (ended,) = run.end()
    assert "PRES: its value did not change (at 1,003.4 hPa)" in ended.summary


def test_all_slices_together_are_no_slice_more() -> None:
    """Of four shops all of which have changed the subject was "north, south and 3 more slices"."""
    run = Run()
    run.pane(*(candidate(name) for name in (*STATIONS[:4], TOGETHER)))
    subject = run.said[-1].summary.split(": ")[0]
    assert subject == f"{STATIONS[0]}, {STATIONS[1]} and 2 more stations", run.said[-1].summary
