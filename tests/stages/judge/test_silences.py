"""Silences keep messages from people and never from the audit; marks appear where they may explain something."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.incidents import Action, Incident, SilencedIncident
from stream_app.stages.judge import silences
from stream_app.stages.judge.silences import NEAR_MAX, Marks, Silences, fits
from stream_app.stages.snapshot import pack, unpack
from tests.stages.judge.making import (
    DAY,
    HOUR,
    MISSING,
    NAN,
    START,
    STATIONS,
    Run,
    candidate,
    cause,
    config,
    fault,
    told,
)

FOREVER = {"from_ms": 0, "to_ms": 2 * START}


def silenced(messages: list[Incident]) -> list[bool]:
    return [isinstance(of, SilencedIncident) for of in messages]


@pytest.mark.parametrize(
    ("pattern", "slicing", "slice_", "expected"),
    [
        ("Dongsi", "station", "Dongsi", True),
        ("Dong*", "station", "Dongsi", True),
        ("*si", "station", "Dongsi", True),
        ("D*g*i", "station", "Dongsi", True),
        ("*", "station", "Dongsi", True),
        ("Dong", "station", "Dongsi", False),
        ("dong*", "station", "Dongsi", False),
        ("station=Dong*", "station", "Dongsi", True),
        ("city=Dong*", "station", "Dongsi", False),
        ("country=DE", "country+city", "DE|Berlin", True),
        ("city=DE", "country+city", "DE|Berlin", False),
        ("Berlin", "country+city", "DE|Berlin", True),
        ("DE|Ber*", "country+city", "DE|Berlin", True),
        ("a=b", "station", "a=b", True),
        ("[ab].c", "station", "[ab].c", True),
        ("[ab].c", "station", "a.c", False),
        ("a.c", "station", "abc", False),
        ("station=x|y", "station", "x|y", True),
        ("country=DE", "station", "__all__", False),
        ("__all__", "station", "__all__", True),
    ],
)
def test_patterns_of_slices(pattern: str, slicing: str, slice_: str, expected: bool) -> None:
    assert fits(pattern, slicing, slice_) == expected


@given(st.text(max_size=20))
def test_every_name_fits_itself_and_the_star(name: str) -> None:
    assert fits("*", "station", name)
    assert "*" in name or fits(name, "station", name)
    assert fits(f"{name[:3]}*", "station", name)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=8))
def test_a_star_stands_for_any_text(pattern: str, name: str) -> None:
    expected = re.fullmatch(pattern.replace("*", ".*"), name) is not None
    assert fits(pattern, "station", name) == expected


def test_no_pattern_takes_long() -> None:
    """Whoever tries every way to fit the stars is not done within a year."""
    assert not fits("*a" * 100 + "*b", "station", "a" * 200)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({}, True),
        ({"slices": ["Dong*"]}, True),
        ({"slices": ["Dong*", "Tian*"]}, False),
        ({"channel": "location"}, True),
        ({"channel": "TEMP"}, True),
        ({"channel": "location TEMP"}, True),
        ({"channel": "scale"}, False),
        ({"channel": "PRES"}, False),
        ({"direction": "up"}, True),
        ({"direction": "down"}, False),
        ({"below_sd": 5.0}, True),
        ({"below_sd": 4.0}, False),
        ({"from_ms": START + HOUR}, False),
        ({"to_ms": START + HOUR - 1}, False),
        ({"to_ms": START + HOUR}, True),
        ({"to_ms": 0}, False),
    ],
)
def test_all_that_a_silence_names_has_to_fit(given_: dict[str, Any], expected: bool) -> None:
    """4.1 σ higher TEMP at Dongsi, in the pane from START on."""
    run = Run()
    run.act("silence", **FOREVER | given_)
    (opened,) = run.pane(candidate("Dongsi"))
    assert isinstance(opened, SilencedIncident) == bool(opened.silenced_by) == expected
    assert told([opened]) == [("open", "opened")]


def test_a_fault_without_a_size_in_sd_is_not_below_one() -> None:
    run = Run()
    run.act("silence", below_sd=3.0, **FOREVER)
    assert silenced(run.pane(fault("Dongsi", MISSING))) == [False]


@pytest.mark.parametrize("channel", ["dependence", "TEMP", "PRES", "dependence PRES", "dependence TEMP PRES"])
def test_a_channel_of_two_columns(channel: str) -> None:
    run = Run()
    run.act("silence", channel=channel, **FOREVER)
    pair = cause("dependence", "TEMP", "PRES", measure="", figures=(NAN,) * 4)
    assert silenced(run.pane(candidate("Dongsi", pair))) == [True]


def test_every_member_has_to_be_covered() -> None:
    run = Run()
    run.act("silence", slices=["Dongsi"], **FOREVER)
    assert silenced(run.pane(candidate("Dongsi"))) == [True]
    (opened,) = run.pane(candidate("Tiantan"))
    assert (silenced([opened]), told([opened]), opened.number) == ([False], [("open", "opened")], 2)


def test_two_silences_may_cover_one_incident() -> None:
    run = Run()
    run.act("silence", slices=["Dongsi"], **FOREVER)
    run.act("silence", slices=["Tiantan"], **FOREVER)
    assert silenced(run.pane(candidate("Dongsi"), candidate("Tiantan"))) == [True]


def test_people_are_told_once_a_silence_has_ended() -> None:
    """A maintenance window: the audit has all of it, people only what is still so after it."""
    run = Run()
    run.act("silence", from_ms=START, to_ms=START + 10 * HOUR)
    assert silenced(run.pane(candidate("Dongsi"))) == [True]
    assert run.panes(9) == []
    (opened,) = run.pane()
    assert told([opened]) == [("open", "opened")]
    assert (silenced([opened]), opened.number, opened.silenced_by) == ([False], 2, "")


def test_what_was_over_before_the_silence_ended_people_never_hear_of() -> None:
    run = Run()
    run.act("silence", from_ms=START, to_ms=START + 10 * HOUR)
    run.pane(candidate("Dongsi"))
    run.end()
    run.panes(24 * 10)
    assert [(of.state, silenced([of])) for of in run.said] == [("open", [True]), ("resolve", [True])]


def test_unsilence_tells_at_once_what_was_never_told() -> None:
    run = Run()
    run.act("silence", id="of-li", **FOREVER)
    run.pane(candidate("Dongsi"))
    assert run.act("unsilence", "another") == []
    (opened,) = run.act("unsilence", "of-li")
    assert (told([opened]), silenced([opened])) == ([("open", "opened")], [False])


def test_a_silence_over_an_open_incident_counts_at_once() -> None:
    run = Run(config(retrain={"enabled": False}))
    run.pane(candidate("Dongsi"))
    now = START + run.now * HOUR
    (kept,) = run.act("silence", from_ms=now, to_ms=now + 3 * DAY)
    assert (told([kept]), silenced([kept])) == ([("update", "action")], [True])
    assert run.panes(24 * 3) == []  # no reminders
    (told_again,) = run.pane()
    assert (told_again.state, told_again.reason, silenced([told_again])) == ("update", "action", [False])
    assert [of.reason for of in run.panes(24 * 4)] == ["reminder"]


def test_what_happens_under_a_silence_is_in_the_audit() -> None:
    run = Run()
    run.act("silence", **FOREVER)
    run.pane(candidate("Dongsi", cause(figures=(5, 19, 17.5, 2.15))))
    run.pane(*(candidate(name) for name in STATIONS))
    run.end()
    assert [(of.reason, silenced([of])[0]) for of in run.said] == [
        ("opened", True),
        ("severity", True),
        ("ended", True),
    ]
    assert [of.number for of in run.said] == [1, 2, 3]


def test_an_effect_that_swings_about_a_silence_makes_no_messages() -> None:
    """Once it has been larger than the silence allows it stays so for it."""
    run = Run(config(retrain={"enabled": False}))
    run.act("silence", below_sd=2.0, **FOREVER)
    for k in range(200):
        run.pane(candidate("Dongsi", cause(figures=(500, 500 * (3.5 + (10 if k % 2 else 1)), 500 * 3.5, 2.0))))
    assert silenced(run.said) == [True, False, False, False, False]
    assert [of.reason for of in run.said] == ["opened", "opened", *["reminder"] * 3]


def action(verb: str, id_: str, **given_: Any) -> Action:
    return Action(id=id_, stream="air", verb=verb, by="Li", **{"at_ms": 0} | given_)


def test_silences_are_bounded_and_those_that_have_ended_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silences, "SILENCES_MAX", 3)
    kept = Silences()
    for k, end in enumerate((50, 40, 30, 60)):
        kept.add(action("silence", f"s{k}", to_ms=end))
    assert [of["id"] for of in kept.to_state()] == ["s0", "s1", "s3"]
    kept.forget(40)
    assert [of["id"] for of in kept.to_state()] == ["s0", "s3"]


def test_marks_near_the_beginning_of_an_incident() -> None:
    run = Run()
    since = START - 6 * HOUR
    for hours, text in ((-25, "early"), (-23, "before"), (0, "at"), (23, "after"), (25, "late")):
        run.act("mark", at_ms=since + hours * HOUR, why=text, by="Wang")
    (opened,) = run.pane(candidate("Dongsi"))
    assert [(of.text, of.by) for of in opened.marks] == [("before", "Wang"), ("at", "Wang"), ("after", "Wang")]
    assert "; near its beginning: at;" in opened.summary


def test_a_mark_cannot_break_the_sentence() -> None:
    run = Run()
    run.act("mark", at_ms=START - 6 * HOUR, why="a\nb\tc " + "x" * 10_000)
    (opened,) = run.pane(candidate("Dongsi"))
    assert "near its beginning: a b c" in opened.summary
    assert len(opened.summary) < 400


def test_marks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silences, "MARKS_MAX", 20)
    marks = Marks()
    for k in range(30):
        marks.add(action("mark", f"m{k}", at_ms=k, why=f"{k}"))
    assert [key for key, _ in marks.to_state()] == [f"m{k}" for k in range(10, 30)]
    assert [of.text for of in marks.near(29)] == [f"{k}" for k in range(30 - NEAR_MAX, 30)]
    restored = Marks()
    restored.restore(unpack(pack(marks.to_state())))
    assert restored.near(15) == marks.near(15)
