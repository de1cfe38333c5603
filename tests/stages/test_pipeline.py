"""The pipeline's outputs are a function of its inputs: not of batches, crashes, interleaving or the hour of day."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowlib.density import Density
from flowlib.explain.blame import blame
from flowlib.table import Floats, Table
from schemas.codecs import decode_event, decode_partial
from schemas.incidents import Incident
from schemas.records import Activation, DeadLetter, EventAnomaly, PaneBlock, RetrainRequest
from stream_app.stages import decisions
from stream_app.stages.decisions import Activated
from stream_app.stages.outputs import Outgoing
from stream_app.stages.pipeline import Pipeline
from stream_app.stages.score import scoring
from stream_app.stages.score.state import COUNTERS
from tests.stages import streams
from tests.stages.streams import PANE, channels, config, decoded, event, pipeline, raw, score_all, watch_all

FEW = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
PUBLISHED = {"alpha": 0.01, "publish": True}
MIXED = [
    b"nope",
    None,
    *streams.bodies(11, 60, 6_000),
    b"[1]",
    event(10**12),
    event(3_000, x=1e300),
    event("x"),
    event(9_999),
]


def records(messages: list[Outgoing]) -> list[object]:
    return [decode_event(m.value, m.headers) for m in messages if m.role in ("signals", "dead_letters")]


def blocks(messages: list[Outgoing]) -> list[PaneBlock]:
    decoded = [decode_partial(m.value, dict(m.headers)) for m in messages if m.role == "partials"]
    return [record for record in decoded if isinstance(record, PaneBlock)]


@pytest.mark.parametrize("sizes", [[7], [100], [1_000], [1, 50, 3]])
def test_batch_sizes_do_not_matter(model: Density, sizes: list[int]) -> None:
    values = [*streams.bodies(3, 150, 8_000), *MIXED]
    one, other = pipeline(config(), [model]), pipeline(config(), [model])
    expected, got = score_all(one, 0, values, [1]), score_all(other, 0, values, sizes)
    assert channels(got.messages) == channels(expected.messages)
    assert sorted(map(repr, got.points)) == sorted(map(repr, expected.points))
    assert other.snapshot_score(0) == one.snapshot_score(0)
    assert {role for role, _ in channels(expected.messages)} == {"partials", "signals", "dead_letters"}


@FEW
@given(st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_any_split_gives_the_same_bytes(model: Density, sizes: list[int]) -> None:
    one, other = pipeline(config(), [model]), pipeline(config(), [model])
    expected, got = score_all(one, 0, MIXED, [1_000]), score_all(other, 0, MIXED, sizes)
    assert channels(got.messages) == channels(expected.messages)
    assert other.snapshot_score(0) == one.snapshot_score(0)


@FEW
@given(st.integers(0, len(MIXED)), st.integers(0, 30), st.integers(1, 20))
def test_a_source_restored_at_any_row_goes_on_the_same(model: Density, at: int, again: int, size: int) -> None:
    """Rows from ``again`` rows before the snapshot come a second time, as after a crash, and do nothing."""
    whole, first = pipeline(config(), [model]), pipeline(config(), [model])
    expected = channels(score_all(whole, 0, MIXED, [1_000]).messages)
    before = score_all(first, 0, MIXED[:at], [13]).messages
    second = pipeline(config(), [model])
    second.open_score(0, first.snapshot_score(0))
    start, after = max(at - again, 0), []
    for a, b in streams.cut(len(MIXED) - start, [size]):
        after += second.score(raw(0, MIXED[start + a : start + b], start + a)).messages
    assert channels([*before, *after]) == expected
    assert second.snapshot_score(0) == whole.snapshot_score(0)


def test_rows_that_are_done_with_are_skipped(model: Density) -> None:
    made = pipeline(config(), [model])
    score_all(made, 0, MIXED, [1_000])
    before = made.snapshot_score(0)
    out = made.score(raw(0, MIXED))
    assert (out.messages, out.points) == ([], [])
    assert made.snapshot_score(0) == before


@pytest.fixture(scope="module")
def partials(model: Density) -> list[Outgoing]:
    """Partials of one source for partition 0: enough for evidence that an incident needs."""
    return channels(score_all(pipeline(config(), [model]), 0, streams.bodies(3, 400, 20_000), [100]).messages)[
        "partials", 0
    ]


def test_judge_finds_the_drift(model: Density) -> None:
    made = pipeline(config(), [model])
    scored = score_all(made, 0, streams.bodies(3, 400, 20_000, gaps=False), [100])
    out = streams.judge_all(made, scored.messages)
    incidents = [record for record in records(out.messages) if isinstance(record, Incident)]
    assert {(one.state, one.kind) for one in incidents[:1]} == {("open", "drift")}
    assert all(one.pane_start_ms >= 9_000 for one in incidents)
    found = {(member.rule, member.detector, member.feature) for one in incidents for member in one.members}
    assert ("drift", "location", "x") in found
    finding = incidents[0].findings[0]
    assert (finding.feature, finding.direction, finding.measure) == ("x", "up", "mean")
    assert finding.seen == pytest.approx(3.0, abs=1.0), "in the column's own unit"
    assert finding.expected == pytest.approx(0.0, abs=0.5)
    assert not any(isinstance(record, RetrainRequest) for record in records(out.messages)), "nobody has accepted it"
    assert {point.measurement for point in out.points} >= {"windows", "incidents"}


@FEW
@given(st.integers(0, 40), st.integers(0, 10))
def test_a_watcher_restored_at_any_message_goes_on_the_same(
    model: Density, partials: list[Outgoing], at: int, again: int
) -> None:
    whole, first, second = (pipeline(config(), [model]) for _ in range(3))
    at = min(at, len(partials))
    expected = watch_all(whole, 0, partials)
    before = watch_all(first, 0, partials[:at])
    second.open_watch(0, first.snapshot_watch(0))
    start = max(at - again, 0)
    after = watch_all(second, 0, partials[start:], start)
    assert before.messages + after.messages == expected.messages
    assert before.points + after.points == expected.points
    assert second.snapshot_watch(0) == whole.snapshot_watch(0)


def test_a_block_sent_twice_counts_once(model: Density, partials: list[Outgoing]) -> None:
    """A crash between sending and the snapshot: SCORE sends its blocks again under new offsets."""
    once, twice = pipeline(config(), [model]), pipeline(config(), [model])
    repeated = [copy for message in partials for copy in (message, message)]
    assert watch_all(twice, 0, repeated).messages == watch_all(once, 0, partials).messages


BAD = {
    "text": b"nope",
    "empty": b"",
    "tombstone": None,
    "array": b"[]",
    "number": b"7",
    "null": b"null",
    "wrong type": event(3_000, x="cold"),
    "nested": event(3_000, x=[[1]]),
    "nan": b'{"t":3000,"x":NaN}',
    "infinity": b'{"t":3000,"x":Infinity}',
    "minus infinity": b'{"t":3000,"x":-Infinity}',
    "no time": b'{"x":1}',
    "null time": event(None),
    "text time": event("soon"),
    "negative time": event(-5),
    "bool time": event(True),
    "year 4000": event(64_060_588_800_000),
    "huge time": b'{"t":1' + b"0" * 60 + b"}",
    "huger time": b'{"t":1' + b"0" * 600 + b"}",
    "float32 overflow": event(3_000, x=1e300),
    "float64 overflow": b'{"t":3000,"x":1e999}',
    "too large": event(3_000, pad="x" * 3_000),
    "deep": b'{"t":3000,"q":' + b"[" * 900 + b"]" * 900 + b"}",
    "unclosed": b"[" * 1_900,
    "utf-8": b'{"t":3000,"c":"\xff\xfe"}',
    "surrogate": b'{"t":3000,"station":"\\ud800"}',
    "nul bytes": b"\0" * 20,
    "nothing known": b'{"t":3000,"x":null,"y":null,"v":null}',
}
ODD = {
    "huge x": b'{"t":3000,"x":1' + b"0" * 30 + b"}",
    "huge station": b'{"t":3000,"x":1,"station":1' + b"0" * 60 + b"}",
    "long station": event(3_000, station="s" * 1_500),
    "empty station": event(3_000, station=""),
    "nul": event(3_000, station="\0"),
    "numeric station": event(3_000, station=1.5),
    "unseen category": event(3_000, c="zzz"),
    "no category": event(3_000, c=None),
    "extra keys": event(3_000, extra={"a": [1]}),
    "other name": event(3_000, station="__other__"),
    "epoch": event(0),
    "duplicate keys": b'{"t":3000,"x":1,"x":2}',
    "float time": event(3_000.7),
    "far future": event(20_000_000),
    "tiny": event(3_000, x=1e-300, y=-1e-300),
}


def counters(made: Pipeline) -> dict[str, int]:
    return made.score_states[0].counters


def check_conservation(made: Pipeline) -> None:
    counted = counters(made)
    assert set(counted) == set(COUNTERS)
    assert counted["received"] == sum(counted[name] for name in COUNTERS if name != "received")
    assert counted["held"] == len(made.score_states[0].timing.held)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_rejected_alone(model: Density, name: str) -> None:
    made, good = pipeline(config(), [model]), [event(3_000 + i, i) for i in range(3)]
    out = score_all(made, 0, [*good[:2], BAD[name], good[2]], [100])
    assert counters(made) == {"received": 4, "windowed": 3, "late": 0, "rejected": 1, "duplicate": 0, "held": 0}
    letters = [record for record in records(out.messages) if isinstance(record, DeadLetter)]
    assert [(letter.offset, letter.size) for letter in letters] == [(2, len(BAD[name] or b""))]
    assert letters[0].body == (BAD[name] or b"")[:4_096]
    assert letters[0].reason
    assert letters[0].detail


@pytest.mark.parametrize("name", ODD)
def test_an_odd_row_is_counted_once_and_reaches_watch(model: Density, name: str) -> None:
    made = pipeline(config(), [model])
    out = score_all(made, 0, [ODD[name], event(3_500, 1), event(5_000, 2), event(9_000, 3)], [100])
    assert counters(made)["received"] == 4
    check_conservation(made)
    for q in range(2):
        watch_all(made, q, channels(out.messages).get(("partials", q), []))


ROWS = st.one_of(
    st.sampled_from(list(BAD.values())),
    st.sampled_from(list(ODD.values())),
    st.builds(event, st.integers(0, 12_000), st.integers(0, 6)),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(ROWS, max_size=40), st.lists(st.integers(1, 20), min_size=1, max_size=3))
def test_nothing_gets_lost(model: Density, rows: list[bytes | None], sizes: list[int]) -> None:
    made, sent = pipeline(config(), [model]), []
    for a, b in streams.cut(len(rows), sizes):
        sent += made.score(raw(0, rows[a:b], a)).messages
        check_conservation(made)
    counted = counters(made)
    assert counted["received"] == len(rows)
    assert sum(isinstance(record, DeadLetter) for record in records(sent)) == counted["rejected"]


def test_blocks_hold_every_windowed_row(model: Density) -> None:
    made = pipeline(config(), [model])
    out = score_all(made, 0, [*streams.bodies(5, 200, 9_000), event(60_000)], [50])
    for slicing in ("station", "all"):
        seen = [np.frombuffer(b.columns["seen"], "<i8").sum() for b in blocks(out.messages) if b.slicing == slicing]
        assert sum(seen) == counters(made)["windowed"] - 1  # the last event's pane is open


def given_back(made: Pipeline) -> list[decisions.Decision]:
    """The decisions as a log on disk would give them back."""
    return decoded(b"".join(decisions.encode(one) for one in made.decisions))


def test_given_decisions_repeat_the_run(model: Density, other_model: Density) -> None:
    values, first, out = streams.bodies(9, 120, 8_000), Pipeline(config(), 1), []
    for one in (model, other_model):
        first.models.add(one)
    first.open_score(0)
    for at, (a, b) in enumerate(streams.cut(len(values), [40])):
        chosen = first.decide_activation(0, (model if at != 1 else other_model).model_id)
        if chosen is not None:
            first.apply(chosen)
        out += first.score(raw(0, values[a:b], a)).messages
    assert len(first.decisions) == 3
    replay = Pipeline(config(), 1, given_back(first), make_decisions=False)
    for one in (model, other_model):
        replay.models.add(one)
    replay.open_score(0)
    assert replay.decide_activation(0, "other") is None
    assert channels(score_all(replay, 0, values, [1_000]).messages) == channels(out)


def test_a_model_takes_over_at_a_pane_boundary(model: Density, other_model: Density) -> None:
    made = pipeline(config(), [model, other_model])
    out = score_all(made, 0, [event(t, t) for t in (100, 900, 1_700, 1_800)], [10])
    decided = made.decide_activation(0, other_model.model_id)
    assert decided == Activated(0, 2_000, other_model.model_id, other_model.engine.name)
    made.apply(decided)
    assert made.decide_activation(0, other_model.model_id) is None
    later = [event(t, t) for t in (1_900, 2_100, 1_950, 3_200, 4_800, 9_000)]
    out.messages += made.score(raw(0, later, 4)).messages
    of_pane = {block.pane_start_ms: block.model_id for block in blocks(out.messages)}
    old, new = model.model_id, other_model.model_id
    assert of_pane == {0: old, PANE: old, 2 * PANE: new, 3 * PANE: new, 4 * PANE: new}
    told = [(r.pane_start_ms, r.model_id) for r in records(out.messages) if isinstance(r, Activation)]
    assert told == [(0, old), (2_000, new)]
    watch_all(made, 0, channels(out.messages)["partials", 0])
    assert made.missing_for_watch(0) == set()


def test_anomalies_are_the_rows_with_a_small_p(model: Density) -> None:
    values = [event(1_000 + i, i) for i in range(20)] + [event(1_500, 99, x=40.0, y=-40.0)]
    out = score_all(pipeline(config(event_rule=PUBLISHED), [model]), 0, values, [5])
    found = [record for record in records(out.messages) if isinstance(record, EventAnomaly)]
    assert [record.offset for record in found] == [20]
    assert found[0].p_value <= found[0].threshold
    assert {blame.feature for blame in found[0].blame} >= {"x", "y"}
    assert sum(blame.weight for blame in found[0].blame) <= 1 + 1e-9
    assert msgspec.json.decode(msgspec.json.encode(found[0]))["slice"] == "north"


@pytest.mark.parametrize(
    "most", [{"EVENTS_BLAMED_MAX": 2}, {"EVENTS_BLAMED_LEAST": 2, "_COLUMNS": 0}], ids=["few", "wide"]
)
def test_the_first_flagged_events_of_a_pane_are_explained_whatever_the_batches(
    model: Density, monkeypatch: pytest.MonkeyPatch, most: dict[str, int]
) -> None:
    asked: list[int] = []

    def counting(density: Density, table: Table) -> Floats:
        asked.append(len(table))
        return blame(density, table)

    monkeypatch.setattr(scoring, "blame", counting)
    for name, number in most.items():
        monkeypatch.setattr(scoring, name, number)
    values = [event(at, x=30.0 + i) for at in (100, 1_100) for i in range(5)]
    made = [pipeline(config(event_rule=PUBLISHED), [model]) for _ in range(2)]
    whole, single = (score_all(made[i], 0, values, [size]) for i, size in enumerate((1_000, 1)))
    assert sum(asked) == 2 * 4
    assert channels(whole.messages) == channels(single.messages)
    found = [record for record in records(whole.messages) if isinstance(record, EventAnomaly)]
    assert len(found) == 10
    assert all(record.blame[0].feature == "x" for record in found)
