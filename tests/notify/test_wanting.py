"""Who is told what: severity, slices, silences, reminders, and the rest of what was begun."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.incidents import Incident
from schemas.records import Health
from stream_app.config.notify import AlertmanagerConfig, ChannelConfig, MailConfig, PagerDutyConfig
from stream_app.notify.wanting import addressed, wants
from tests.notify.receivers import A, B, told
from tests.people import incident, member, silenced, strange

HEALTH = Health(stream="s", source="worker a", part="drainer", state="failing", says="the sink is away", since_ms=5)


def is_told(channel: ChannelConfig, record: Any, known: bool = False) -> bool:
    return wants(channel, told(record), lambda: known)


@pytest.mark.parametrize(
    ("settings", "record", "tells"),
    [
        ({}, incident(), True),
        ({"severity": "critical"}, incident(severity="warning"), False),
        ({"severity": "warning"}, incident(severity="critical"), True),
        ({"slices": ["Dong*"]}, incident(), True),
        ({"slices": ["station=Dongsi"]}, incident(), True),
        ({"slices": ["station=Gucheng", "Wan*"]}, incident(), False),
        ({"slices": ["Wan*"]}, incident(members=[member(), member(slice_="Wanliu")]), True),
        ({"slices": ["Wan*"]}, incident(members=[], slice_count=0), True),
        ({"reminders": False}, incident(number=3, state="update", reason="reminder"), False),
        ({}, incident(number=3, state="update", reason="reminder"), True),
        ({}, strange(), False),
        ({"tell": ["strange"]}, strange(), True),
        ({"tell": ["strange"]}, incident(), False),
        ({"tell": ["health"], "severity": "critical"}, HEALTH, True),
        ({}, HEALTH, False),
        ({}, silenced(incident()), False),
        ({}, silenced(incident(state="resolve", reason="ended")), False),
    ],
)
def test_a_channel_is_told_what_it_asks_for(settings: dict[str, Any], record: Any, tells: bool) -> None:
    assert is_told(MailConfig(**settings), record) == tells


def test_what_was_begun_is_told_to_its_end_whatever_becomes_of_its_severity() -> None:
    channel, over = MailConfig(severity="critical"), incident(number=2, state="resolve", severity="info")
    assert not is_told(channel, over)
    assert is_told(channel, over, known=True)
    batch = [told(incident(A)), told(incident(A, number=2, state="resolve", severity="info")), told(incident(B))]
    assert addressed({"x": channel}, batch, lambda *_: False) == [("x", notice) for notice in batch]


@pytest.mark.parametrize("channel", [AlertmanagerConfig(), PagerDutyConfig()])
def test_what_lasts_elsewhere_ends_there_where_a_silence_hides_it(channel: ChannelConfig) -> None:
    for hidden in (incident(number=2, state="resolve", reason="ended"), incident(number=2, state="update")):
        assert is_told(channel, silenced(hidden), known=True)
        assert not is_told(channel, silenced(hidden), known=False)
    assert not is_told(MailConfig(), silenced(incident(number=2, state="update")), known=True)


@pytest.mark.parametrize(
    ("record", "title"),
    [
        (incident(), "s: critical drift 0f1e2d3c"),
        (incident(state="update", reason="severity"), "s: critical drift 0f1e2d3c"),
        (
            incident(state="update", reason="action", acked_by="anna"),
            "s: critical drift 0f1e2d3c, acknowledged by anna",
        ),
        (incident(state="handover"), "s: critical drift 0f1e2d3c is over"),
        (strange(), "s: strange events 5e5e5e5e"),
        (HEALTH, "s: drainer fails"),
    ],
)
def test_a_title_says_what_it_is_about_in_one_line(record: Incident, title: str) -> None:
    assert told(record).title == title


def test_nothing_of_others_begins_a_line_or_moves_the_cursor() -> None:
    wild = "\x1b[2J\r\nfake" + "x" * 16_000
    notice = told(incident(summary=wild, next=wild, members=[member(slice_="n\r\nBcc: x")] * 40, acked_by=wild[:500]))
    for text in (notice.title, notice.text, notice.next, *notice.lines):
        assert text.isprintable()
        assert len(text) < 10_000
    assert notice.lines[-1].endswith("more slices and rules") or len(notice.lines) <= 13


def test_details_are_bounded_and_what_is_left_out_is_counted() -> None:
    members = [member(slice_=f"n{n}") for n in range(40)]
    lines = told(incident(members=members, member_count=70)).lines
    assert (len(lines), lines[-1]) == (13, "… and 58 more slices and rules")
