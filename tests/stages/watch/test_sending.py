"""What goes on with a pane: where it ends in the logs, its strangest events, what has no place. A function of what
arrived, however the source partitions interleave.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.table import Ints
from schemas.codecs import Partial, encode_partials
from schemas.evidence import CAUSES_MAX, FIGURES, EvidenceClosed, EvidenceColumns
from schemas.names import slice_name
from schemas.pane_layout import OTHER
from schemas.records import TOP_MAX, PaneBlock, PaneClosed, Strangers, TopEvent
from stream_app.stages.batches import PartialMessage
from stream_app.stages.detection.causes import Found, Stack
from stream_app.stages.detection.detectors import DETECTORS
from stream_app.stages.detection.detectors.simulated import PANE_MS, START_MS, World
from stream_app.stages.outputs import Outputs
from stream_app.stages.snapshot import pack, unpack
from stream_app.stages.watch.checking import Known
from stream_app.stages.watch.sending import SLICES_MAX, PaneMessages
from stream_app.stages.watch.stage import WatchStage
from stream_app.stages.watch.state import WatchState
from tests.stages.watch.blocks import block, config_of, marker, words_of

WORLD = World(d=1, k=0, slices=3)
CONFIG = config_of(WORLD)
KNOWN = Known({"m": [WORLD.fitted[1]]})
ROWS = WORLD.rows(WORLD.events(12, 4), 12)
SOURCES = 3


def closing(number: int, partition: int, **changes: Any) -> PaneClosed:
    """A marker whose offset tells whose it is."""
    return msgspec.structs.replace(marker(number, partition), offset_end=100 * number + partition, **changes)


def strangers(number: int, partition: int) -> Strangers:
    return Strangers(
        slicing="slice", names=number + 1, events=7, field="slice", values=number + 1, examples=[f"new-{partition}"]
    )


def event(p_value: float, partition: int, offset: int) -> TopEvent:
    return TopEvent(
        partition=partition,
        offset=offset,
        event_time_ms=START_MS,
        slice="s0000",
        model_id="m",
        log_prob=-9.0,
        p_value=p_value,
        blame=[],
    )


def of_source(rng: random.Random, partition: int) -> list[Partial]:
    """Twelve panes of a source partition: some skipped, some empty, some with strange events and names that wait."""
    out: list[Partial] = []
    for number in sorted(rng.sample(range(12), rng.randrange(4, 12))):
        if rng.random() < 0.6:
            made = block(WORLD, number, ROWS[number], partition=partition)
            top = [event(rng.choice([0.001, 0.002]), partition, 10 * number + i) for i in range(rng.randrange(3))]
            out.append(msgspec.structs.replace(made, top=top))
        new = [strangers(number, partition)] if rng.random() < 0.3 else []
        out.append(closing(number, partition, strangers=new))
    return [*out, closing(12, partition)]


def interleaved(rng: random.Random, sources: list[list[Partial]]) -> list[Partial]:
    """Each source in its order."""
    turns, left = [p for p, own in enumerate(sources) for _ in own], [list(own) for own in sources]
    rng.shuffle(turns)
    return [left[p].pop(0) for p in turns]


def watched(
    partials: Sequence[Partial],
    size: int = 1,
    partition: int = 0,
    cut: int = -1,
    passed: tuple[int, int, int] | None = None,
) -> tuple[WatchState, Outputs]:
    """WATCH over messages, restarted before one of them; a source partition may be passed over from the start."""
    stage, state, all_ = WatchStage(CONFIG), WatchState.empty(CONFIG, SOURCES), Outputs()
    if passed is not None:
        source, first, end = passed
        stage.pass_over(state, source, START_MS + first * PANE_MS, START_MS + end * PANE_MS)
    messages = [PartialMessage(i, m.value, m.headers) for i, m in enumerate(encode_partials(partials))]
    for at in range(0, len(messages), size):
        if at <= cut < at + size:
            passed_over = state.passed_over
            state = WatchState.from_state(CONFIG, unpack(pack(state.to_state())))
            assert state.passed_over == passed_over
        out = stage.step(state, partition, messages[at : at + size], KNOWN)
        all_.messages += out.messages
        all_.points += out.points
    return state, all_


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 40), st.sampled_from([1, 2, 7, 50]), st.booleans())
def test_the_same_bytes_however_the_sources_interleave(seed: int, cut: int, size: int, passes: bool) -> None:
    rng = random.Random(seed)
    sources = [of_source(rng, p) for p in range(SOURCES)]
    passed = (rng.randrange(SOURCES), rng.randrange(6), rng.randrange(6, 12)) if passes else None
    whole, expected = watched([part for own in sources for part in own], passed=passed)
    state, got = watched(interleaved(rng, sources), size, 0, cut, passed)
    assert got.messages == expected.messages
    assert got.points == expected.points
    snapshots = [of.to_state() | {"next_offset": 0, "late_blocks": 0} for of in (state, whole)]
    assert pack(snapshots[0]) == pack(snapshots[1])
    ends = [closed.pane_end_ms for closed in words_of(expected.messages)[1]]
    assert ends == sorted({*ends}), "each pane once, in order"
    assert ends[-1] == START_MS + 13 * PANE_MS


def marks(closed: list[EvidenceClosed]) -> list[tuple[int, list[tuple[int, int, int]]]]:
    """Number of each pane, and the marks with it: source partition, number of the pane that ends there, offset."""
    return [
        (
            (of.pane_start_ms - START_MS) // PANE_MS,
            [(mark.partition, (mark.pane_end_ms - START_MS) // PANE_MS - 1, mark.offset_end) for mark in of.marks],
        )
        for of in closed
    ]


def test_a_mark_goes_with_the_first_pane_that_it_is_known_in_for_certain() -> None:
    """Source 0 closes every pane, source 1 jumps over three, source 2 over all."""
    partials = [*(closing(k, 0) for k in range(6)), *(closing(k, 1) for k in (0, 4, 5)), closing(7, 2)]
    _, out = watched(partials)
    assert marks(words_of(out.messages)[1]) == [
        (0, [(0, 0, 0), (1, 0, 1), (2, 7, 702)]),
        (1, [(0, 1, 100), (1, 4, 401)]),
        (2, [(0, 2, 200)]),
        (3, [(0, 3, 300)]),
        (4, [(0, 4, 400)]),
        (5, [(0, 5, 500), (1, 5, 501)]),
    ]


def test_what_a_source_said_of_a_span_that_is_passed_over_goes_with_the_first_pane_behind_it() -> None:
    partials = [*(closing(k, p) for p in (0, 1) for k in range(8)), *(closing(k, 2) for k in (0, 1, 2, 3, 6, 7))]
    _, out = watched(partials, passed=(2, 1, 5))
    of_last = [(pane, [mark for mark in of if mark[0] == 2]) for pane, of in marks(words_of(out.messages)[1])]
    assert of_last[:5] == [(0, [(2, 0, 2)]), (1, []), (2, []), (3, []), (4, [])]
    assert of_last[5] == (5, [(2, 1, 102), (2, 2, 202), (2, 3, 302), (2, 6, 602)])
    assert of_last[6:] == [(6, []), (7, [(2, 7, 702)])]


def test_marks_and_strangers_go_with_one_partials_partition_alone() -> None:
    partials: list[Partial] = [closing(0, p, strangers=[strangers(0, p)]) for p in range(SOURCES)]
    for partition in (0, 1):
        _, out = watched(partials, partition=partition)
        (closed,) = words_of(out.messages)[1]
        assert closed.partition == partition
        assert len(closed.marks) == (SOURCES if partition == 0 else 0)
        assert [of.examples for of in closed.strangers] == ([["new-2"]] if partition == 0 else [])
        assert {(message.role, message.partition, message.key) for message in out.messages} == {("evidence", 0, None)}


def test_a_marker_fits_into_a_message_whatever_a_source_has_closed_while_it_was_passed_over() -> None:
    new = [msgspec.structs.replace(strangers(0, 0), examples=["\u5317" * 200] * 5)]
    markers = [closing(k, p, strangers=new) for p in range(2) for k in range(40_001)]
    (message,) = PaneMessages(CONFIG, 0, START_MS).close({}, 0, [], (), markers)
    assert len(message.value) < 2**20
    (closed,) = words_of([message])[1]
    assert {p: max(of.offset_end for of in closed.marks if of.partition == p) for p in range(2)} == {
        p: markers[-1].offset_end - 1 + p for p in range(2)
    }
    few = PaneMessages(CONFIG, 0, START_MS).close({}, 0, [], (), markers[:100])
    assert len(words_of(few)[1][0].marks) == 100


def test_evidence_fits_into_a_message_whatever_slices_are_called() -> None:
    bets = max(made(CONFIG, WORLD.layout).bets for made in DETECTORS.values())
    whole, several = np.zeros(SLICES_MAX, dtype=np.int64), np.zeros((SLICES_MAX, CAUSES_MAX), dtype=np.int64)
    odds, figures = np.zeros((SLICES_MAX, CAUSES_MAX, bets)), np.zeros((SLICES_MAX, CAUSES_MAX, len(FIGURES)))
    columns = EvidenceColumns(
        whole.astype(float), whole.astype(float), whole, whole, several, several, several.astype(float), odds, figures
    )
    names = [slice_name([f"{i:05d}" + "\U0001f600" * 300]) for i in range(SLICES_MAX)]
    send = PaneMessages(CONFIG, 0, START_MS)
    send.found(
        "drift",
        "slice",
        Found(np.arange(SLICES_MAX), lambda: Stack(columns)),
        names,
        ["m" * 64] * SLICES_MAX,
        np.zeros((SLICES_MAX, 2), dtype=np.int64),
    )
    evidence, _ = send.close({"slice": SLICES_MAX}, 1, ["m"])
    assert len(evidence.value) < 2**20


@pytest.mark.parametrize("most", [2, 3])
def test_the_totals_of_each_model_are_those_of_its_rows(most: int) -> None:
    """Two sources are scored by two models; with room for two slices the third shares a row with others."""
    config = msgspec.structs.replace(CONFIG, windows=msgspec.structs.replace(CONFIG.windows, max_slices=most))
    stage, state = WatchStage(config), WatchState.empty(config, 2)
    partials: list[Partial] = []
    for p, model in ((0, "m"), (1, "n")):
        partials += [block(WORLD, 0, ROWS[0], model, partition=p), closing(0, p)]
    messages = [PartialMessage(i, m.value, m.headers) for i, m in enumerate(encode_partials(partials))]
    out = stage.step(state, 0, messages, Known({"m": [WORLD.fitted[1]], "n": [WORLD.fitted[1]]}))
    (closed,) = words_of(out.messages)[1]
    rows, layout = ROWS[0], WORLD.layout
    scored, alarms = int(layout.get(rows, "scored").sum()), int(layout.get(rows, "p_le")[:, 4].sum())
    log_prob = layout.get(rows, "log_prob_sum").sum() / 2**16
    for model, of in zip(("m", "n"), closed.models, strict=True):
        assert (of.model_id, of.seen, of.scored, of.unscorable, of.alarms) == (model, scored, scored, 0, alarms)
        assert of.log_prob_sum == pytest.approx(log_prob)


def test_evidence_says_how_many_events_were_scored_and_are_alarms() -> None:
    partials = [
        part for k in range(12) for part in (block(WORLD, k, ROWS[k]), *(closing(k, p) for p in range(SOURCES)))
    ]
    _, out = watched(partials)
    evidence, _ = words_of(out.messages)
    layout, seen = WORLD.layout, 0
    for of in evidence:
        rows = dict(zip(WORLD.names, ROWS[(of.pane_start_ms - START_MS) // PANE_MS], strict=True))
        for name, scored, alarms in zip(of.slices, of.scored, of.alarms, strict=True):
            assert scored == layout.get(rows[name], "scored")
            assert alarms == layout.get(rows[name], "p_le")[4]
            seen += scored
    assert seen or not evidence


@pytest.mark.parametrize("seed", range(3))
def test_of_the_strange_events_the_strangest_go_on(seed: int) -> None:
    rng = random.Random(seed)
    events = [event(0.001 * (1 + i % 7), p, i) for p in range(SOURCES) for i in range(40)]
    expected = sorted(events, key=lambda of: (of.p_value, of.partition, of.offset))[:TOP_MAX]
    rng.shuffle(events)
    partials: list[Partial] = []
    for p in range(SOURCES):
        own = [of for of in events if of.partition == p]
        for i in (0, 1):
            made = block(WORLD, 0, ROWS[0], partition=p)
            partials.append(msgspec.structs.replace(made, index=i, top=own[20 * i : 20 * (i + 1)]))
    _, out = watched([*partials, *(closing(0, p) for p in range(SOURCES))])
    (closed,) = words_of(out.messages)[1]
    assert closed.top == expected


def other(made: PaneBlock, rows: Ints) -> PaneBlock:
    """A block with ``__other__`` beside its slices."""
    more = WORLD.layout.encode(rows)
    both = {name: made.columns[name] + more[name] for name in made.columns}
    return msgspec.structs.replace(made, slices=[*made.slices, OTHER], columns=both)


def test_what_has_no_place_goes_on_in_one_row_and_is_no_slice() -> None:
    of_all = ROWS[0][:1]
    partials: list[Partial] = [
        *(other(block(WORLD, 0, ROWS[0], partition=p), of_all) for p in range(2)),
        *(closing(0, p) for p in range(SOURCES)),
    ]
    state, out = watched(partials)
    (closed,) = words_of(out.messages)[1]
    (row,) = closed.other
    assert (row.slicing, row.model_id) == ("slice", "m")
    seen = int(of_all[0, 0])
    assert WORLD.layout.get(np.frombuffer(row.row, "<i8"), "seen") == 2 * seen
    assert OTHER not in state.windows["slice"].index
    assert closed.slices == {"slice": 3}
    assert closed.events == 2 * (seen + int(ROWS[0][:, 0].sum()))
    assert {dict(point.tags)["slice"] for point in out.points if "slice" in dict(point.tags)} == {*WORLD.names}
