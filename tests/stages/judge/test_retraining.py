"""When a model is asked for, and from which offsets."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.table import Coded
from schemas.names import slice_name
from schemas.records import IncidentSpan, RetrainRequest
from stream_app.config import Duration, WindowsConfig
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.judge import messages
from stream_app.stages.judge.retraining import MARKS_MAX, OffsetMarks, Retraining, thin
from stream_app.stages.score.screening import screen
from stream_app.stages.score.timing import Timing
from stream_app.stages.snapshot import pack, unpack
from tests.stages.streams import PANE, config

MARKS = {1: OffsetMarks([(1_000, 5), (5_000, 40), (9_000, 90)]), 0: OffsetMarks([(2_000, 10), (9_000, 70)])}


def ask(
    of: Retraining, now_ms: int, slices: str = "a", marks: dict[int, OffsetMarks] | None = None
) -> RetrainRequest | None:
    if not of.is_due(now_ms, "m", (), ()):
        return None
    return of.ask(now_ms, [(name, f"alert-{name}") for name in slices], "m", MARKS if marks is None else marks)


def span(incident_id: str) -> IncidentSpan:
    return IncidentSpan(incident_id=incident_id, kind="fault", slicing="s", slices=[], from_ms=0, to_ms=1)


def test_only_rules_that_ask_count() -> None:
    assert Retraining(config()).rules == {"drift"}


def test_the_request_holds_what_the_trainer_needs() -> None:
    made = ask(Retraining(config(retrain={"reference": "4s", "calibration": "1s"})), 9_000, "ba")
    assert made is not None
    assert (made.slices, made.alerts) == (["a", "b"], ["alert-a", "alert-b"])
    assert (made.stream, made.model_id, made.reason, made.requested_pane_ms) == ("s", "m", "drift", 9_000)
    assert made.calibrate_from_ms == 8_000
    assert [(r.topic, r.partition, r.start, r.end, r.start_ms, r.end_ms) for r in made.train] == [
        ("e", 0, 10, 70, 5_000, 9_000),
        ("e", 1, 5, 90, 5_000, 9_000),  # 40 starts at 5,000, and rows may be half a second ahead of it
    ]


def test_the_id_is_a_function_of_the_question() -> None:
    def asked(now: int, slices: str) -> str:
        made = ask(Retraining(config()), now, slices)
        assert made is not None
        return made.id

    assert asked(9_000, "ab") == asked(9_000, "ba")
    assert len({asked(9_000, "ab"), asked(9_000, "a"), asked(8_000, "ab")}) == 3


def test_a_request_fits_into_a_message_whatever_slices_are_called() -> None:
    names = [slice_name([f"{i:05d}" + "\U0001f600" * 195]) for i in range(600)]
    made = Retraining(config()).ask(9_000, [(name, f"{i:032x}") for i, name in enumerate(names)], "m", MARKS)
    assert made is not None
    message = messages.request(config(), made)
    headers = sum(len(name) + len(value) for name, value in message.headers)
    assert len(message.value) + len(message.key or b"") + headers < 2**19


def test_at_most_one_request_a_cooldown() -> None:
    of = Retraining(config(retrain={"cooldown": "10s"}))
    made = [ask(of, now) is not None for now in (1_000, 2_000, 10_999, 11_000, 12_000, 21_000)]
    assert made == [True, False, False, True, False, True]


@pytest.mark.parametrize(
    ("model_id", "accepted", "judged", "again"),
    [
        ("m", [], [], False),
        ("m", [("a", "i")], ["i"], True),
        ("m", [], ["fault"], True),
        ("m", [], ["another"], False),
        ("newer", [("a", "i")], ["i"], False),
        ("newer", [], ["fault"], False),
    ],
)
def test_before_the_cooldown_is_over_only_what_people_judge_asks_again_and_only_where_no_model_has_come(
    model_id: str, accepted: list[tuple[str, str]], judged: list[str], again: bool
) -> None:
    of = Retraining(config(retrain={"cooldown": "10s"}))
    assert of.ask(1_000, [("a", "alert")], "m", MARKS, (), ([], [span("fault")])) is not None
    of.restore(unpack(pack(of.to_state())))
    assert of.is_due(2_000, model_id, accepted, judged) == again
    assert of.is_due(11_000, model_id, accepted, judged)
    off = Retraining(config(retrain={"enabled": False}))
    assert not off.is_due(2_000, "", accepted, judged)


def test_enough_different_slices_must_have_an_alert() -> None:
    of = Retraining(config(retrain={"min_slices": 2}))
    assert ask(of, 1_000, "a") is None
    assert ask(of, 1_000, "aa") is None
    assert ask(of, 1_000, "ab") is not None


def test_a_request_of_ever_so_many_slices_fits_through_a_broker() -> None:
    def asked(count: int) -> RetrainRequest:
        alerts = [(f"{number:06d}{chr(0x1F600) * 194}", f"{number:036d}") for number in range(count)]
        made = Retraining(config()).ask(9_000, alerts, "m", dict.fromkeys(range(500), MARKS[1]))
        assert made is not None
        return made

    assert len(msgspec.json.encode(asked(20_000))) < 1_000_000
    assert asked(20_000).id != asked(19_999).id, "all of them ask"


def test_it_can_be_switched_off() -> None:
    assert ask(Retraining(config(retrain={"enabled": False})), 1_000) is None


def test_early_times_do_not_go_below_zero() -> None:
    made = ask(Retraining(config(retrain={"reference": "400d", "calibration": "400d"})), 3_000)
    assert made is not None
    assert made.calibrate_from_ms == made.train[0].start_ms == 0
    assert [r.start for r in made.train] == [0, 0]


def test_the_cooldown_survives_a_restart() -> None:
    of, back = Retraining(config()), Retraining(config())
    back.restore(unpack(pack(of.to_state())))
    assert ask(back, 1_000) is not None
    again = Retraining(config())
    again.restore(unpack(pack(back.to_state())))
    assert ask(again, 2_000) is None
    assert ask(again, 11_000) is not None


def test_marks_are_thinned_and_never_wrong() -> None:
    marks, true, n = OffsetMarks(), {}, 3 * MARKS_MAX
    for k in range(n):
        true[(k + 1) * PANE] = 3 * (k + 1)
        marks.add([((k + 1) * PANE, 3 * (k + 1))])
        thin([marks], k * PANE)
        assert len(marks.marks) <= MARKS_MAX + 2
    found = [marks.start(at) for at in true]
    assert found == sorted(found)
    assert all(offset <= true[at] for offset, at in zip(found, true, strict=True))
    assert max(true[at] - offset for offset, at in zip(found, true, strict=True)) <= 3 * 64
    assert all(marks.end(at) >= offset for at, offset in true.items())
    assert marks.end(n * PANE) == 3 * n


def test_marks_ahead_of_the_final_pane_are_not_thinned() -> None:
    marks = OffsetMarks([(k * PANE, k) for k in range(1, 2 * MARKS_MAX)])
    thin([marks], 10 * PANE)
    assert len(marks.marks) == 2 * MARKS_MAX - 1


def test_offsets_that_go_back_are_of_a_topic_that_was_made_anew() -> None:
    """Those of the former one would ask for rows that are not there."""
    marks = OffsetMarks([(1_000, 500), (2_000, 900)])
    marks.add([(3_000, 7), (4_000, 12)])
    assert marks.marks == [(3_000, 7), (4_000, 12)]
    assert (marks.start(2_500), marks.end(4_000)) == (0, 12)


def test_markers_sent_twice_change_nothing() -> None:
    once, twice = OffsetMarks(), OffsetMarks()
    for k in range(20):
        once.add([((k + 1) * PANE, 5 * (k + 1))])
        for _ in range(2):
            twice.add([((k + 1) * PANE, 5 * (k + 1))])
    assert once == twice


def test_later_markers_do_not_change_a_request() -> None:
    ahead = {p: OffsetMarks([*marks.marks, (9_500, 200), (20_000, 300)]) for p, marks in MARKS.items()}
    assert ask(Retraining(config()), 9_000, marks=ahead) == ask(Retraining(config()), 9_000)


def test_an_unknown_source_starts_at_the_beginning() -> None:
    assert (OffsetMarks().start(10**12), OffsetMarks().end(10**12)) == (0, 0)


@pytest.mark.parametrize("clock", [1, 16])
@pytest.mark.parametrize("lateness", [0, 500, 3_000])
@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0, 300, 900, 90_000]), st.integers(0, 2_500)), min_size=1, max_size=90),
    st.integers(0, 400_000),
)
def test_no_row_of_the_span_is_left_out(lateness: int, clock: int, steps: list[tuple[int, int]], start_ms: int) -> None:
    """Rows in any order, their real markers: each row at or after the start lies at or after the offset asked for."""
    base = np.cumsum([step for step, _ in steps])
    times = np.maximum(base + [ahead for _, ahead in steps], 0).astype(np.int64)
    n, marks = len(times), OffsetMarks()
    windows = WindowsConfig(pane=Duration(PANE), lateness=Duration(lateness), clock=clock)
    index = np.arange(n, dtype=np.int64)
    batch = EventBatch("e", 0, index, index, times, np.zeros((n, 1)), np.empty((n, 0), object), (Coded.alike(n, "a"),))
    screened = screen(Timing(), windows, batch, RawBatch("e", 0, index, [b"%d" % i for i in range(n)]))
    for i, closed in enumerate(screened.closed_after_ms.tolist()):
        if closed > screened.closed_before_ms[i]:
            marks.add([(closed, int(screened.event[i]))])
    start_ms = start_ms // PANE * PANE
    own = {"lateness": f"{lateness}ms", "clock": clock, "max_future": None}
    cfg = config(windows=own, retrain={"reference": "1000s"})
    made = ask(Retraining(cfg), start_ms + 1_000_000, marks={0: marks})
    assert made is not None
    assert made.train[0].start_ms == start_ms
    offsets = np.array([*range(n), *(held.offset for held in screened.released)])[screened.source]
    wanted = offsets[screened.wanted & (screened.time_ms >= start_ms)]
    assert all(i >= made.train[0].start for i in wanted)
