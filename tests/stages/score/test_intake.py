"""What becomes of events: each kind of bad row is a channel, and what is told says what, how many, since when."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.table import Ints
from schemas.codecs import Envelope, decode_event, encode_event
from schemas.intake import Refusal, take_in
from stream_app.stages.score.intake import DETECTORS, JUMP, NO_TIME, OTHERS, REASONS_MAX, Bad, Intake, Sample, Told
from stream_app.stages.score.intake_words import incident
from stream_app.stages.score.shares import Bets
from stream_app.stages.snapshot import pack, unpack
from tests.stages.streams import config, cut

BETS = Bets(0.01)
Fate = tuple[str, str, Sample]
"""Detector, reason and what is known of a bad row; None of a good one."""


def taken(fates: list[Fate | None], sizes: list[int], jumps: frozenset[int] = frozenset()) -> tuple[list[Any], bytes]:
    """What rows come to, in batches of these sizes, each from a snapshot; rows are those of the whole."""
    intake, told = Intake(), []
    for a, b in cut(len(fates), sizes):
        intake = Intake.from_state(unpack(pack(intake.to_state())))
        offsets = np.arange(500 + a, 500 + b)
        for one in intake.take(BETS, offsets, (offsets - 500) * 1_000, bad_of(fates[a:b], a, jumps)):
            told.append(Told(a + one.row, *(getattr(one, name) for name in Told.__slots__[1:])))
    return [located(one) for one in told], pack(intake.to_state())


def located(told: Told) -> Any:
    """A message without the place in its batch that the change is at."""
    change = told.change
    return (
        told.row,
        told.detector,
        told.reason,
        change.state,
        change.opened,
        change.since,
        change.until,
        change.hits,
        (change.rows, change.statistic, told.clock_ms, told.opened_ms, told.recent, told.detail),
        (told.number, told.worst, told.before),
    )


def bad_of(fates: list[Fate | None], first: int, jumps: frozenset[int]) -> list[Bad]:
    keys = {fate[:2] for fate in fates if fate}
    bad = []
    for key in sorted(keys):
        rows = [i for i, fate in enumerate(fates) if fate and fate[:2] == key]
        samples = [fate[2] for fate in fates if fate and fate[:2] == key]
        leaps = np.array([i for i in rows if first + i in jumps], dtype=np.int64)
        bad.append(Bad(*key, np.array(rows), samples.__getitem__, None, leaps))
    return bad


def rejected(reason: str, n: int, field: str = "", detail: str = "") -> list[Fate | None]:
    return [("rejected", reason, Sample(field, detail))] * n


def test_each_reason_has_its_channel_and_is_told_with_its_field_and_an_example() -> None:
    cfg = config()
    good: list[Fate | None] = [None] * 400
    fates = (
        good
        + rejected("not_json", 30, "", "invalid character (byte 3)")
        + good
        + rejected("wrong_type", 40, "x", "text")
    )
    told = [one for one in incidents_of(cfg, fates) if one.state == "open"]
    assert [one.detector for one in told] == ["rejected", "rejected"]
    assert told[0].summary == (
        "all events: 17 of 17 events since e/3@900 are rejected as not_json, 100 % where 1 % is tolerated, such as "
        "@916: invalid character (byte 3). Look at what the producer sends (event.format)."
    )
    assert [(one.feature, one.findings[0].feature) for one in told] == [("", ""), ("x", "x")]
    assert "wrong_type" in told[1].findings[0].says
    assert ", such as @1346: x: text. Look at what" in told[1].summary, "of many fields it says which"
    assert len({one.id for one in told}) == 2


def test_a_field_is_named_once_and_no_sentence_ends_twice() -> None:
    detail = "the event has no 't'; did you mean 'T'?"
    (told,) = incidents_of(config(), rejected("missing_time", 30, "t", detail))
    assert ": the event has no 't'; did you mean 'T'? Look at event.time_field." in told.summary


def test_seconds_among_milliseconds_are_no_backfill() -> None:
    """A producer changes the unit of the time: its events are of January 1970."""
    fates: list[Fate | None] = [("late", "", Sample("t", "", second)) for second in range(400, 440)]
    (told,) = incidents_of(config(), [*([None] * 400), *fates])
    assert (
        "look like seconds that are read as milliseconds: look at the producer, or at event.time_format" in told.summary
    )
    assert (
        "backfill"
        in incidents_of(config(), [*([None] * 400), *[("late", "", Sample("t", "", 300_000))] * 40])[0].summary
    )


def shares(record: Any) -> tuple[float, float]:
    (finding,) = record.findings
    return finding.seen, finding.expected


def test_an_incident_says_the_shares_the_last_bad_rows_and_how_severe_it_is() -> None:
    bad: Fate = ("coerced", "", Sample("x", "x is nan", 7_000))
    rare: list[Fate | None] = [None if i % 16 else bad for i in range(2_000)]
    opened, *later = incidents_of(config(), [*([None] * 1_000), *rare, *[bad] * 5_000, *([None] * 9_000)])
    assert (opened.state, opened.reason, opened.severity, opened.number) == ("open", "opened", "info", 1)
    assert shares(opened) == (pytest.approx(1 / 16, rel=0.1), 0.01)
    assert opened.share == opened.findings[0].seen
    assert opened.events == opened.findings[0].events
    assert [one.offset for one in opened.examples] == list(range(opened.examples[0].offset, 0, -16))[:5]
    assert opened.examples[0].blame[0].feature == "x"
    assert "while 1 % of the events or fewer are so" in opened.promise
    assert [(one.state, one.reason, one.severity) for one in later] == [
        ("update", "severity", "warning"),
        ("update", "severity", "critical"),
        ("resolve", "ended", "critical"),
    ]
    assert [one.number for one in later] == [2, 3, 4]
    assert {one.id for one in later} == {opened.id}
    assert opened.next
    assert later[-1].next == ""


def test_an_incident_that_only_lasts_is_said_again_as_a_reminder() -> None:
    told = incidents_of(config(), rejected("not_json", 3_000))
    assert [(one.state, one.reason, one.number) for one in told] == [
        ("open", "opened", 1),
        ("update", "reminder", 2),
        ("update", "reminder", 3),
    ]


def test_partitions_with_the_same_fault_share_its_cause_and_nothing_else() -> None:
    intake, offsets = Intake(), np.arange(40)
    (told,) = intake.take(BETS, offsets, offsets, bad_of(rejected("not_json", 40), 0, frozenset()))
    first, second = (incident(config(), "e", partition, told) for partition in (0, 1))
    assert first.cause_id == second.cause_id
    assert first.id != second.id
    assert first.cause_id != incidents_of(config(), rejected("wrong_type", 30, "x", "text"))[0].cause_id


def test_links_lead_to_the_incident_where_there_is_a_console() -> None:
    fates = rejected("not_json", 30)
    alerts = {"console_url": "https://drift.example/", "grafana_url": "https://grafana.example/d/x"}
    (told,) = incidents_of(config(alerts=alerts), fates)
    assert told.links["console"] == f"https://drift.example/#incident={told.id}"
    assert told.links["grafana"].startswith("https://grafana.example/d/x?var-stream=s&from=0&to=")
    assert incidents_of(config(), fates)[0].links == {}


def incidents_of(cfg: Any, fates: list[Fate | None], sizes: tuple[int, ...] = (4_000,)) -> list[Any]:
    intake, told = Intake(), []
    for a, b in cut(len(fates), sizes):
        offsets = np.arange(500 + a, 500 + b)
        told += intake.take(BETS, offsets, (offsets - 500) * 1_000, bad_of(fates[a:b], a, frozenset()))
    return [incident(cfg, "e", 3, one) for one in told]


@pytest.mark.parametrize("detector", DETECTORS)
def test_every_kind_opens_and_ends_as_a_record_that_our_readers_take_in(detector: str) -> None:
    fates: list[Fate | None] = [(detector, "", Sample("x", "wrong", 5_000))] * 40 + [None] * 3_000
    records = incidents_of(config(), fates)
    assert [record.state for record in records] == ["open", "resolve"]
    assert len({record.id for record in records}) == 1
    for record in records:
        assert (record.rules, record.kind, record.detector, record.members) == (["intake"], "fault", detector, [])
        message = encode_event(Envelope(record, "id", "/driftflow/s/score/3", 0))
        assert not isinstance(take_in("signals", "s", message.value, message.headers), Refusal)
        assert decode_event(message.value, message.headers) == record
    assert "no longer so: " in records[1].summary
    assert "40 of 40 events since e/3@500" in records[1].summary
    assert "the last at @539" in records[1].summary


def test_late_events_are_told_with_their_times_and_the_time_they_came_at() -> None:
    fates: list[Fate | None] = [("late", "", Sample("", "", 86_400_000 + i * 60_000)) for i in range(20)]
    said = incidents_of(config(), fates)[0].summary
    assert "dated 1970-01-02 00:01 to 1970-01-02 00:16 when event time was at 1970-01-01 00:00" in said
    assert "a backfill" in said
    assert "windows.lateness" in said


def test_a_field_is_named_where_half_of_the_last_few_have_it_at_fault() -> None:
    sample = itertools.cycle([Sample("x"), Sample("y"), Sample("x"), Sample("")])
    fates: list[Fate | None] = [("coerced", "", next(sample)) for _ in range(17)]
    told = Intake().take(BETS, np.arange(17), np.arange(17), bad_of(fates, 0, frozenset()))
    assert told[0].field == ("x", 0.5)
    assert told[0].times_ms is None


def test_reasons_beyond_the_bound_share_a_channel() -> None:
    fates = [fate for i in range(REASONS_MAX + 30) for fate in rejected(f"reason-{i}", 1)]
    _, state = taken(fates, [7])
    reasons = [reason for _, reason, *_ in unpack(state)["kinds"]]
    assert len(reasons) == REASONS_MAX + 1
    assert OTHERS in reasons
    assert taken(fates, [100])[1] == state


def test_an_incident_may_open_whatever_the_evidence_and_a_jump_has_words_of_its_own() -> None:
    jump: Fate = ("held", JUMP, Sample("", "10.0 days ahead"))
    fates: list[Fate | None] = [None] * 100 + [("held", "", Sample("", "", 10**9)), None, jump] + [None] * 2_000
    told, _ = taken(fates, [4_000], frozenset({102}))
    assert [(one[2], one[3]) for one in told] == [(JUMP, "open"), (JUMP, "resolve")]
    offsets = np.arange(len(fates))
    first = Intake().take(BETS, offsets, offsets, bad_of(fates, 0, frozenset({102})))[0]
    assert incident(config(), "e", 3, first).summary == (
        "all events: the event time of e/3 has jumped 10.0 days ahead at @102. The stream has slept, or look at the "
        "clock of the producer."
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["", "late", "held", "a", "b", "c"]), st.integers(1, 400)), max_size=12),
    st.lists(st.integers(1, 90), min_size=1, max_size=4),
)
def test_cuts_into_batches_do_not_matter(spells: list[tuple[str, int]], sizes: list[int]) -> None:
    fates: list[Fate | None] = []
    for name, n in spells:
        for i in range(n):
            sample = Sample(f"f{i % 3}", f"detail {i}", i if name == "late" else NO_TIME)
            known = (name, "", sample) if name in ("late", "held") else ("rejected", name, sample)
            fates.append(known if name else None)
    jumps = frozenset(i for i, fate in enumerate(fates) if fate and fate[0] == "held" and i % 97 == 0)
    assert taken(fates, sizes, jumps) == taken(fates, [len(fates) or 1], jumps)


def test_rows_that_were_not_looked_at_say_nothing() -> None:
    """Of every tenth row that is looked at all are bad: 17 of them open, not 17 rows."""
    intake = Intake()
    offsets: Ints = np.arange(1_000)
    looked = offsets[::10]
    told = intake.take(BETS, offsets, offsets, [Bad("unknown_field", "", looked, lambda i: Sample("x"), looked)])
    assert (told[0].row, told[0].change.hits, told[0].change.rows) == (160, 17, 17)
