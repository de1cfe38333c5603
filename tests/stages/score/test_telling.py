"""Streams whose events go wrong on the way: each is told, in the stream's own words, and told once."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from flowlib.density import Density
from schemas.codecs import decode_event
from schemas.incidents import Incident
from stream_app.stages.outputs import Outputs
from stream_app.stages.score.totals import UNSAID_MAX
from tests.stages.streams import channels, config, event, pipeline, raw, score_all

DAY = 86_400_000


def incidents(out: Outputs) -> list[Incident]:
    """Of the intake, in order."""
    records = [decode_event(one.value, one.headers) for one in out.messages if one.role == "signals"]
    return [record for record in records if isinstance(record, Incident)]


def said(out: Outputs) -> list[tuple[str, str]]:
    return [(one.detector, one.state) for one in incidents(out)]


def counted(out: Outputs) -> list[dict[str, Any]]:
    return [dict(point.fields) for point in out.points if point.measurement == "counters"]


def good(n: int, first: int = 0, **others: Any) -> list[bytes | None]:
    """Events a tenth of a second apart: ten a pane."""
    rng = np.random.default_rng(first)
    return [
        event(i * 100, i, x=float(rng.normal()), y=float(rng.normal()), station="north", **others)
        for i in range(first, first + n)
    ]


def test_a_stream_without_fault_is_told_of_nothing(model: Density) -> None:
    out = score_all(pipeline(config(), [model]), 0, good(6_000), [700])
    assert said(out) == []


def test_every_event_undecodable_is_told_at_once_and_the_counters_move(model: Density) -> None:
    """An upstream release: no event can be read any more, no pane closes, for as long as it lasts."""
    made = pipeline(config(), [model])
    score_all(made, 0, good(300), [100])
    broken = Outputs()
    for first in range(300, 10_300, 500):
        step = made.score(raw(0, [b"<event/>"] * 500, first))
        broken.messages += step.messages
        broken.points += step.points
    opened = incidents(broken)[0]
    assert (opened.detector, opened.state, opened.kind, opened.rules) == ("rejected", "open", "fault", ["intake"])
    assert "17 of 17 events since e/0@300 are rejected as not_json" in opened.summary
    assert "it begins like XML" in opened.summary
    assert [one.state for one in incidents(broken)] == ["open", "update", "update"]
    reports = counted(broken)
    assert len(reports) == 10_000 // UNSAID_MAX
    assert [report["rejected"] for report in reports] == list(range(UNSAID_MAX, 10_001, UNSAID_MAX))
    times = [point.time_ms for point in broken.points if point.measurement == "counters"]
    assert times == sorted(set(times))


def test_it_is_over_once_events_can_be_read_again(model: Density) -> None:
    values = [*good(300), *([b"nope"] * 100), *good(2_000, 300)]
    assert said(score_all(pipeline(config(), [model]), 0, values, [150])) == [
        ("rejected", "open"),
        ("rejected", "resolve"),
    ]


def test_incidents_at_one_offset_of_a_topic_that_was_made_anew_are_two(model: Density) -> None:
    made, told = pipeline(config(), [model]), Outputs()
    for _ in range(2):
        told.messages += score_all(made, 0, [*good(300), *[b"nope"] * 40, *good(7_000, 340)], [500]).messages
        made.score_states[0].next_offset = 0
    rejected = [one for one in incidents(told) if one.detector == "rejected"]
    assert [one.state for one in rejected] == ["open", "resolve"] * 2
    assert "e/0@300" in rejected[0].summary
    assert "e/0@300" in rejected[2].summary
    assert rejected[0].id == rejected[1].id != rejected[2].id == rejected[3].id


def test_from_day_60_on_nan_literals_and_from_day_75_on_numbers_as_text(model: Density) -> None:
    """30 % of the bodies carry a NaN literal, then numbers come as text: all are read, and it is told of both."""
    days, a_day = 90, 40
    values: list[bytes | None] = []
    rng = np.random.default_rng(7)
    for i in range(days * a_day):
        day = i // a_day
        body = json.loads(event(i * 100, i, x=float(rng.normal()), y=float(rng.normal())))
        if 60 <= day < 75 and rng.random() < 0.3:
            body["x"] = float("nan")
        if day >= 75:
            body = {**body, "x": str(body["x"]), "y": str(body["y"])}
        values.append(json.dumps(body).encode())
    made = pipeline(config(), [model])
    out = score_all(made, 0, values, [400])
    assert made.score_states[0].counters["rejected"] == 0
    first = incidents(out)[0]
    assert (first.detector, first.state) == ("coerced", "open")
    assert first.feature == "x"
    assert "x is nan" in first.summary
    assert "event.policy" in first.summary
    assert 60 * a_day <= int(first.summary.split("e/0@")[1].split()[0]) < 60 * a_day + 20
    strict = config(event={"policy": {"*": "strict"}})
    refused = incidents(score_all(pipeline(strict, [model]), 0, values, [400]))[0]
    assert (refused.detector, refused.feature) == ("rejected", "x")


def test_late_duplicate_and_unscorable_events_are_told_each_for_itself(model: Density) -> None:
    start = good(300)
    late = [event(1_000, 10_000 + i) for i in range(40)]
    copies = [start[-1]] * 40
    empty = [event(30_000, 20_000 + i, x=None, y=None, v=None) for i in range(40)]
    out = score_all(pipeline(config(), [model]), 0, [*start, *late, *copies, *empty], [90])
    opened = {one.detector: one.summary for one in incidents(out) if one.state == "open"}
    assert opened.keys() == {"late", "duplicate", "unscorable"}
    assert "since e/0@300 came late" in opened["late"]
    assert "id '299'" in opened["duplicate"]
    assert "every numeric field is missing" in opened["unscorable"]


def test_a_backfill_in_bulk_is_told_as_one_and_live_events_go_on(model: Density) -> None:
    live, old = good(2_000, 3_000), good(1_000)
    mixed = [row for pair in zip(live[300:1_300], old, strict=True) for row in pair]
    made = pipeline(config(), [model])
    out = score_all(made, 0, [*live[:300], *mixed, *live[1_300:]], [170])
    assert [one.detector for one in incidents(out) if one.state == "open"] == ["late"]
    assert "It is a backfill" in incidents(out)[0].summary
    assert (
        "dated 1970-01-01 00:00 to 1970-01-01 00:00 when event time was at 1970-01-01 00:05"
        in incidents(out)[0].summary
    )
    assert made.score_states[0].counters["late"] == 1_000


def test_events_far_ahead_are_told_as_held_and_a_stream_that_slept_as_a_jump(model: Density) -> None:
    mixed: list[bytes | None] = []
    for i, body in enumerate(good(1_500)):
        mixed += [body, event(5 * DAY + i * DAY, 60_000 + i)] if i % 10 == 0 and i > 300 else [body]
    wrong = incidents(score_all(pipeline(config(), [model]), 0, mixed, [170]))
    assert [one.detector for one in wrong if one.state == "open"] == ["held"]
    assert "which are held back (dated 197" in wrong[0].summary
    assert "windows.max_future" in wrong[0].summary
    made = pipeline(config(), [model])
    slept = score_all(made, 0, [*good(300), *(event(10 * DAY + i * 100, 50_000 + i) for i in range(2_000))], [170])
    jump = incidents(slept)[0]
    assert (jump.detector, jump.state) == ("held", "open")
    assert "the event time of e/0 has jumped 10.0 days ahead" in jump.summary
    assert "The stream has slept" in jump.summary
    assert [one.state for one in incidents(slept)] == ["open", "resolve"]
    assert made.score_states[0].counters["windowed"] == 2_300


@pytest.mark.parametrize("sizes", [[170], [7], [2_000]])
def test_a_few_events_of_setting_up_long_before_a_stream_begins_are_no_jump(model: Density, sizes: list[int]) -> None:
    made = pipeline(config(), [model])
    tried = [event(i * 10, i) for i in range(24)]
    begun = [event(10 * DAY + i * 100, 50_000 + i) for i in range(600)]
    assert incidents(score_all(made, 0, [*tried, *begun], sizes)) == []


def test_events_that_become_few_at_night_are_no_jump(model: Density) -> None:
    """The clock is the middle of the last events: of few it is far behind the newest, none of which lies far behind the
    one before it.
    """
    day = [event(i * 100, i) for i in range(600)]
    night = [event(60_000 + i * 19_000, 1_000 + i) for i in range(120)]
    steps = np.cumsum(np.random.default_rng(5).exponential(6_000, 400)).astype(int).tolist()
    for later in (night, [event(60_000 + at, 1_000 + i) for i, at in enumerate(steps)]):
        made = pipeline(config(), [model])
        assert incidents(score_all(made, 0, [*day, *later], [170])) == []
        assert made.score_states[0].counters["windowed"] == 600 + len(later)


def test_one_event_of_each_station_far_ahead_is_told_though_twelve_are_few(model: Density) -> None:
    ahead = [event(29 * DAY + k, 50_000 + k, station=f"station {k}") for k in range(12)]
    made = pipeline(config(), [model])
    first = incidents(score_all(made, 0, [*good(300), *ahead, *good(300, 300)], [170]))[0]
    assert (first.detector, first.state, first.feature) == ("held", "open", "t")
    assert "dated 1970-01-30 00:00" in first.summary
    lone = score_all(pipeline(config(), [model]), 0, [*good(300), ahead[0], *good(300, 300)], [170])
    assert said(lone) == []
    assert made.score_states[0].counters["late"] == 0


def test_a_stream_that_sleeps_every_night_is_told_of_once(model: Density) -> None:
    nights = [event(day * DAY + i * 100, day * 1_000 + i) for day in range(12) for i in range(200)]
    made = pipeline(config(), [model])
    out = score_all(made, 0, nights, [170])
    assert said(out) == [("held", "open"), ("held", "resolve")]
    assert made.score_states[0].counters["windowed"] == len(nights)


def test_events_all_of_which_are_far_ahead_and_disagree_are_told_within_two_hundred(model: Density) -> None:
    rng = np.random.default_rng(3)
    values = [*good(300), *(event(int(t), 10_000 + i) for i, t in enumerate(rng.integers(5 * DAY, 9_000 * DAY, 200)))]
    first = incidents(score_all(pipeline(config(), [model]), 0, values, [60]))[0]
    assert (first.detector, first.state) == ("held", "open")


def test_a_field_that_gets_another_name_is_told_with_the_likely_one(model: Density) -> None:
    def renamed(body: bytes | None) -> bytes:
        known = json.loads(body or b"")
        known["x_value"] = known.pop("x")
        return json.dumps(known).encode()

    values = [*good(1_500), *map(renamed, good(200, 1_500)), *good(900, 1_700)]
    first, *others = incidents(score_all(pipeline(config(), [model]), 0, values, [170]))
    assert (first.detector, first.feature) == ("unknown_field", "x")
    assert "it has no 'x', and 'x_value' in its place" in first.summary
    assert [one.state for one in others] == ["resolve"], "it is over after as many good events as any other kind"


def test_events_that_lack_the_time_are_told_with_the_name_it_may_have_now(model: Density) -> None:
    values = [*good(300), *([b'{"tt": 5, "x": 1}'] * 30)]
    first = incidents(score_all(pipeline(config(event={"time_field": "t"}), [model]), 0, values, [170]))[0]
    assert "rejected as missing_time" in first.summary
    assert "did you mean 'tt'?" in first.summary


@pytest.mark.parametrize("sizes", [[1], [7, 300, 41]])
def test_cuts_into_batches_do_not_matter(model: Density, sizes: list[int]) -> None:
    rng = np.random.default_rng(11)
    values: list[bytes | None] = []
    for i, body in enumerate(good(2_600)):
        draw = rng.random() if 400 < i < 1_400 else 1.0
        ahead = event(i * 100 + 3 * DAY + i % 7 * DAY, i)
        bad = [b"{", None, body, ahead, event(0, 90_000 + i), event(i * 100, i, x="1,5")]
        values.append(bad[int(draw * 10)] if draw < 0.6 else body)
    whole, parts = pipeline(config(), [model]), pipeline(config(), [model])
    a, b = score_all(whole, 0, values, [len(values)]), score_all(parts, 0, values, sizes)
    assert channels(a.messages) == channels(b.messages)
    assert len(said(a)) > 4
    key = sorted((point.measurement, point.tags, point.time_ms, point.fields) for point in a.points)
    assert key == sorted((point.measurement, point.tags, point.time_ms, point.fields) for point in b.points)
    assert len({point[:3] for point in key}) == len(key)
    assert whole.snapshot_score(0) == parts.snapshot_score(0)
