"""How precise the rules are: the last verdict on each incident, for every rule and channel that had part in it."""

from __future__ import annotations

import pytest

from flowlib.intervals import wilson
from schemas.incidents import Action
from stream_app.offline.feedback import last_verdicts, parts_of, parts_told, precision
from stream_app.operators.reading import Told
from tests.people import action, incident, member, strange


def said(name: str, verdict: str) -> Action:
    return action("feedback", f"{name}{verdict}", incident_id=name, verdict=verdict)


def test_the_last_verdict_on_an_incident_counts() -> None:
    actions = [said("a", "noise"), action("ack", "1", incident_id="a"), said("a", "useful"), said("b", "noise")]
    assert last_verdicts(actions) == {"a": "useful", "b": "noise"}


def test_a_rule_and_channel_counts_once_for_an_incident_however_many_slices() -> None:
    members = [member(slice_="n"), member(slice_="s"), member("fault", detector="silence", feature="")]
    assert parts_of(incident(members=members)) == {("drift", "location TEMP"), ("fault", "silence")}
    pair = [member(detector="dependence", feature="TEMP, PRES")]
    assert parts_of(incident(members=pair)) == {("drift", "dependence TEMP PRES")}


def test_every_channel_has_its_share_with_an_interval() -> None:
    told = Told(
        incidents={
            "a": incident("a", members=[member(), member(feature="PRES")]),
            "b": incident("b"),
            "c": incident("c"),
            "d": incident("d"),
        },
        strange={"e": strange("e")},
    )
    verdicts = {"a": "useful", "b": "wrong-owner", "c": "noise", "e": "noise", "gone": "noise"}
    rows = {(row.rule, row.channel): row for row in precision(parts_told(told), verdicts)}
    assert list(rows)[:2] == [("all", "all"), ("drift", "location TEMP")], "all first, then the most judged"
    assert rows["all", "all"].judged == 4
    temp = rows["drift", "location TEMP"]
    assert (temp.useful, temp.wrong_owner, temp.noise, temp.judged) == (1, 1, 1, 3)
    assert temp.precision == pytest.approx(2 / 3), "told to somebody else, and real all the same"
    low, high = wilson(2, 3)
    assert (temp.low, temp.high) == (float(low), float(high))
    assert rows["drift", "location PRES"].precision == 1.0
    assert rows["", "single events"].precision == 0.0
    assert precision({}, verdicts) == []
