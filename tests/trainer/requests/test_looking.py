"""What is at the ends of a request's ranges: how far the log reaches, and how late it is there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kafka.errors import KafkaTimeoutError

from flowlib.table import DAY_MS
from stream_app.config import Config, EventConfig, TopicsConfig
from stream_app.trainer.requests import looking
from stream_app.trainer.requests.checking import Held, Seen
from stream_app.trainer.requests.looking import look, newest
from tests.trainer.asking import range_of
from tests.trainer.fakes import FakeConsumer

CONFIG = Config(
    stream="s",
    topics=TopicsConfig(events="e"),
    event=EventConfig(time_field="t", numeric=["x"], time_format="epoch_ms"),
)
MINUTE = 60_000


def body(offset: int) -> bytes:
    return b'{"t":%d,"x":1}' % (DAY_MS + offset * MINUTE)


def seen_of(monkeypatch: pytest.MonkeyPatch, consumer: FakeConsumer, *ranges: Any) -> Seen:
    monkeypatch.setattr(looking, "KafkaConsumer", lambda **_: consumer)
    seen = look(CONFIG, {}, list(ranges))
    assert consumer.closed
    return seen


@pytest.mark.parametrize(("end", "newest_offset"), [(100, 100), (199, 199), (200, 199), (1, 1)])
def test_the_time_at_the_end_of_a_range_is_that_of_the_row_behind_it(
    monkeypatch: pytest.MonkeyPatch, end: int, newest_offset: int
) -> None:
    """That row has closed the pane; a range that ends with the log has none."""
    log: dict[int, list[bytes | None]] = {0: [body(offset) for offset in range(200)]}
    seen = seen_of(monkeypatch, FakeConsumer(log, a_poll=7), range_of(0, 0, end))
    assert seen == Seen(1, {0: Held(0, 200)}, DAY_MS + newest_offset * MINUTE)


def test_ranges_that_cannot_be_right_have_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    log: dict[int, list[bytes | None]] = {0: [body(0)], 1: [body(number) for number in range(9)], 2: []}
    consumer = FakeConsumer(log, beginning={1: 5})
    seen = seen_of(monkeypatch, consumer, range_of(0, 0, 7), range_of(1, 0, 3), range_of(2, 0, 0), range_of(8, 0, 1))
    assert seen == Seen(3, {0: Held(0, 1), 1: Held(5, 9), 2: Held(0, 0)}, None)
    assert seen_of(monkeypatch, FakeConsumer(log), range_of(8)) == Seen(3, {}, None)


def test_rows_that_are_no_events_are_looked_past(monkeypatch: pytest.MonkeyPatch) -> None:
    log: dict[int, list[bytes | None]] = {0: [body(0), body(1), b"junk", None, b"junk"]}
    assert seen_of(monkeypatch, FakeConsumer(log), range_of(0, 0, 5)).newest_ms == DAY_MS + MINUTE


def test_a_few_dates_far_ahead_make_no_date_right() -> None:
    times = np.arange(50, dtype=np.int64) * MINUTE
    assert newest(times, DAY_MS) == 49 * MINUTE
    ahead = np.array([400, 900, 900, 1_400], dtype=np.int64) * DAY_MS
    assert newest(np.concatenate([times, ahead]), DAY_MS) == 49 * MINUTE
    assert newest(np.concatenate([times, ahead, ahead[:1]]), DAY_MS) == 400 * DAY_MS, "as many as that are believed"
    assert newest(times[:0], DAY_MS) is None


def test_the_row_that_closed_a_pane_is_believed_after_a_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a year before, sent late, and the row of now that closed the pane: its date is the request's."""
    backlog = [b'{"t":%d,"x":1}' % (DAY_MS + offset) for offset in range(60)]
    now = b'{"t":%d,"x":1}' % (400 * DAY_MS)
    log: dict[int, list[bytes | None]] = {0: [*backlog, now, now]}
    assert seen_of(monkeypatch, FakeConsumer(log), range_of(0, 0, 60)).newest_ms == 400 * DAY_MS


def test_a_broker_that_does_not_answer_is_an_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, clock = FakeConsumer({0: [body(0)]}), iter(range(0, 1_000, 5))
    monkeypatch.setattr(consumer, "highwater", lambda _: None)
    monkeypatch.setattr(looking.time, "monotonic", lambda: float(next(clock)))
    with pytest.raises(KafkaTimeoutError, match="no answer for 20 s about e/0"):
        seen_of(monkeypatch, consumer, range_of(0))
