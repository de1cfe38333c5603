"""Incidents in sentences: what matters most comes first, and nothing in them moves the cursor."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from schemas.incidents import Incident
from stream_app.incident_lines import (
    messages_a_week,
    newest,
    open_first,
    paragraph,
    reaching,
    row,
    sentence,
    show,
    story,
)
from tests.people import HOUR_MS, incident, silenced, strange

WEEK_MS = 7 * 24 * HOUR_MS


def test_the_last_message_of_a_thread_counts_whatever_the_order_and_however_often_it_comes() -> None:
    first, second = incident("a"), incident("a", number=2, state="update")
    other = incident("b")
    for messages in ([first, second, other], [second, first, other], [first, second, other, first, second]):
        assert newest(messages) == {"a": second, "b": other}


def test_open_ones_come_first_the_severest_and_then_the_newest_of_these() -> None:
    over = [incident(name, state="resolve", pane_end_ms=at) for name, at in (("old", 1), ("new", 2))]
    mild = incident("mild", severity="info", opened_pane_ms=99)
    severe = [incident(name, opened_pane_ms=at) for name, at in (("earlier", 5), ("later", 6))]
    ordered = open_first([*over, mild, *severe])
    assert [one.id for one in ordered] == ["later", "earlier", "mild", "new", "old"]


@pytest.mark.parametrize(
    ("fields", "head"),
    [
        ({}, "critical  0f1e2d3c  open since 1970-01-01 06:00; drift, 1 slice"),
        ({"slice_count": 40, "kind": "fault"}, "open since 1970-01-01 06:00; data fault, 40 slices"),
        ({"slice_count": 0, "kind": "fault"}, "open since 1970-01-01 06:00; data fault, events as they arrive"),
        ({"acked_by": "anna"}, "open since 1970-01-01 06:00, acknowledged by anna; drift, 1 slice"),
        ({"state": "resolve"}, "1970-01-01 06:00 to 1970-01-02 06:00: over, as it was before; drift"),
        ({"state": "handover"}, "1970-01-01 06:00 to 1970-01-02 06:00: over, a newer model takes it for normal; drift"),
        ({"state": "accepted"}, "1970-01-01 06:00 to 1970-01-02 06:00: over, accepted as the new normal; drift"),
    ],
)
def test_a_head_says_how_bad_which_one_since_when_and_how_large(fields: dict[str, Any], head: str) -> None:
    lines = paragraph(incident(**fields)).plain.splitlines()
    assert head in lines[0]
    assert lines[1:] == ["  Dongsi: TEMP is lower"]


def test_what_happens_next_is_said_of_what_is_open() -> None:
    said = {"next": "A model is asked for on 3 January."}
    assert paragraph(incident(**said)).plain.splitlines()[2] == "  A model is asked for on 3 January."
    assert len(paragraph(incident(state="resolve", **said)).plain.splitlines()) == 2


@pytest.mark.parametrize(
    ("told", "as_row", "as_sentence"),
    [
        (
            incident(),
            "critical  0f1e2d3c  open      1970-01-01 06:00  drift            1  Dongsi: TEMP is lower",
            "Critical 0f1e2d3c, open since 1970-01-01 06:00; drift, 1 slice: Dongsi: TEMP is lower.",
        ),
        (
            silenced(incident(kind="fault", severity="info", slice_count=1_200, summary="As it was.")),
            "info      0f1e2d3c  silenced  1970-01-01 06:00  data fault   1,200  As it was.",
            "Info 0f1e2d3c, open since 1970-01-01 06:00; data fault, 1,200 slices, silenced (abcdefgh): As it was.",
        ),
    ],
)
def test_an_incident_is_a_row_or_a_sentence(told: Incident, as_row: str, as_sentence: str) -> None:
    assert (row(told).plain, sentence(told).plain) == (as_row, as_sentence)


def test_nothing_in_a_paragraph_moves_the_cursor_or_begins_a_line() -> None:
    wild = "\x1b[2J\r\nfake" + "x" * 16_000
    told = paragraph(incident(summary=wild, next=wild, acked_by=wild[:900])).plain
    assert len(told.splitlines()) == 3
    assert len(told) < 6_000
    assert "\x1b" not in told


def test_a_story_tells_at_most_so_many_and_counts_the_rest() -> None:
    now = [incident(f"open{i}") for i in range(2)]
    past = [incident(f"past{i}", state="resolve") for i in range(5)]
    lines = [part.plain for part in story([*past, *now], [strange(), strange("b", count=4)], most=4)]
    heads = [line for line in lines if line.endswith((".", ":"))]
    assert heads == ["2 incidents are open:", "5 incidents are over:", "7 single strange events, in 2 messages:"]
    assert lines[5].startswith("critical  past")
    assert lines[6] == "  … and 3 more"
    assert [part.plain for part in story([], [], most=4)] == ["No incident is open."]
    assert next(story(now[:1], [], most=4)).plain == "One incident is open:"
    none_left = [part.plain for part in story([*now, *past], [], most=2)]
    assert none_left[-1] == "  … and 5 more"


def test_a_long_line_goes_on_indented_in_a_terminal_and_stays_whole_in_a_pipe() -> None:
    part = paragraph(incident(summary=" ".join(["[bold]TEMP[/]"] * 20)))
    text = io.StringIO()
    show(Console(file=text, width=90, force_terminal=True, color_system=None), part)
    head, *rest = text.getvalue().splitlines()
    assert head.startswith("critical")
    assert len(rest) > 2
    assert all(line.startswith("  [bold]") and len(line) <= 90 for line in rest)
    text = io.StringIO()
    show(Console(file=text, width=90), part)
    assert text.getvalue() == f"{part.plain}\n"


def test_what_reaches_people_is_counted_by_reason() -> None:
    messages = [
        incident("a"),
        silenced(incident("b")),
        incident("a", number=2, reason="members", state="update"),
        incident("a", number=3, reason="reminder", state="update"),
        incident("a", number=4, reason="ended", state="resolve"),
    ]
    assert reaching(messages, [strange()], 10 * WEEK_MS).plain == (
        "People got 5 messages in 70 days, 0.50 a week: 1 opened, 1 changed, 1 reminders, 1 ended, "
        "1 of single strange events."
    )
    assert reaching([], [], WEEK_MS).plain == "People got 0 messages in 7 days, 0.00 a week."
    assert reaching([], [], 0).plain == "People got 0 messages."
    assert messages_a_week(3, 2 * WEEK_MS) == 1.5
    assert messages_a_week(3, 0) is None
