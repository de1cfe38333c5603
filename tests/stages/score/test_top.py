"""Strange events that go with the blocks of a pane: the same however rows are cut, bounded, each with its slice."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import TOP_MAX, Blame, EventAnomaly, TopEvent
from stream_app.stages.partitioning import slice_partition
from stream_app.stages.score.top import TOP_BYTES, Tops, of_block
from stream_app.stages.snapshot import pack, unpack

TARGETS = 3


def anomaly(offset: int, p_value: float, detail: str = "value 1") -> EventAnomaly:
    return EventAnomaly(
        id=str(offset),
        stream="s",
        topic="e",
        partition=1,
        offset=offset,
        event_time_ms=10 * offset,
        slice="its own",
        model_id="m",
        log_prob=-9.0,
        p_value=p_value,
        pooled=False,
        threshold=0.01,
        blame=[Blame(feature="x", weight=0.5, detail=detail)],
    )


Flagged = list[tuple[int, str, EventAnomaly]]
FLAGGED: st.SearchStrategy[Flagged] = st.lists(
    st.tuples(st.sampled_from([0, 1_000]), st.sampled_from("abcdefg"), st.integers(1, 9)), max_size=400
).map(lambda rows: [(start, name, anomaly(i, p / 1_000)) for i, (start, name, p) in enumerate(rows)])


def taken(flagged: Flagged, cuts: list[int]) -> Tops:
    tops = Tops()
    for a, b in pairwise(sorted({0, len(flagged), *(min(cut, len(flagged)) for cut in cuts)})):
        tops.take("station", TARGETS, flagged[a:b])
    return tops


@settings(deadline=None)
@given(FLAGGED, st.lists(st.integers(0, 400), max_size=6))
def test_the_strangest_are_kept_however_the_rows_are_cut(flagged: Flagged, cuts: list[int]) -> None:
    tops = taken(flagged, cuts)
    assert tops == taken(flagged, [])
    for start in (0, 1_000):
        for target in range(TARGETS):
            there = [
                one for one in flagged if one[0] == start and slice_partition("station", one[1], TARGETS) == target
            ]
            expected = sorted((event.p_value, event.offset, name) for _, name, event in there)[:TOP_MAX]
            kept = tops.panes.get(start, {}).get(target, [])
            assert [(event.p_value, event.offset, event.slice) for event in kept] == expected
    assert Tops.from_state(unpack(pack(tops.to_state()))) == tops


def test_what_is_kept_of_closed_panes_goes() -> None:
    tops = taken([(0, "a", anomaly(1, 0.1)), (1_000, "a", anomaly(2, 0.1))], [])
    tops.forget_closed(1_000, 1_000)
    assert list(tops.panes) == [1_000]


def test_a_block_has_the_events_of_its_slices_in_their_order_and_no_more_bytes_than_fit() -> None:
    names = ("a", "b", "c")
    tops = taken([(0, names[i % 3], anomaly(i, (50 - i) / 100)) for i in range(50)], [])
    every = [event for events in tops.panes[0].values() for event in events]
    for name in names:
        block = of_block([event for event in every if event.slice == name], {name})
        assert [event.offset for event in block] == [i for i in range(49, -1, -1) if names[i % 3] == name]
    long = taken([(0, "a", anomaly(i, 0.01, "x" * 5_000)) for i in range(TOP_MAX)], [])
    (events,) = long.panes[0].values()
    cut = of_block(events, {"a"})
    assert cut == events[: len(cut)]
    assert TOP_BYTES - 6_000 < len(msgspec.msgpack.encode(cut)) < TOP_BYTES + 100


def test_a_top_event_says_what_the_anomaly_does() -> None:
    fields = set(TopEvent.__struct_fields__)
    assert fields <= set(EventAnomaly.__struct_fields__)
    (event,) = taken([(0, "a", anomaly(7, 0.002))], []).panes[0][slice_partition("station", "a", TARGETS)]
    said = msgspec.structs.asdict(anomaly(7, 0.002))
    assert msgspec.structs.asdict(event) == {**{name: said[name] for name in fields}, "slice": "a"}
