"""Exactly the offsets that are asked for, as far as the topic still holds them."""

from __future__ import annotations

from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError

from schemas.records import OffsetRange
from stream_app.config import Config, EventConfig, TopicsConfig
from stream_app.stages.dropped import Dropped
from stream_app.trainer import ranges
from stream_app.trainer.data.rows import RecordKeys, gather
from stream_app.trainer.ranges import RangesGone, read_ranges
from stream_app.trainer.stopping import Stopped, Stopping
from tests.trainer.fakes import FakeConsumer

CONFIG = Config(
    stream="s",
    topics=TopicsConfig(events="e"),
    event=EventConfig(time_field="t", numeric=["x"], time_format="epoch_ms"),
)
LOG = {p: [b'{"t":%d,"x":%d}' % (offset, p) for offset in range(20)] for p in (0, 1)}


def range_of(partition: int, start: int, end: int) -> OffsetRange:
    return OffsetRange(topic="e", partition=partition, start=start, end=end, start_ms=0, end_ms=100)


def read(
    monkeypatch: pytest.MonkeyPatch, consumer: FakeConsumer, wanted: dict[int, tuple[int, int]]
) -> dict[int, list[int]]:
    """Offsets by partition that were read."""
    monkeypatch.setattr(ranges, "KafkaConsumer", lambda **_: consumer)
    parts = [range_of(p, start, end) for p, (start, end) in wanted.items()]
    offsets: dict[int, list[int]] = {}
    for batch in read_ranges(CONFIG, parts, {}):
        offsets.setdefault(batch.partition, []).extend(batch.offsets.tolist())
    assert consumer.closed
    return offsets


@pytest.mark.parametrize("a_poll", [1, 3, 50])
def test_each_range_from_its_start_to_its_end(monkeypatch: pytest.MonkeyPatch, a_poll: int) -> None:
    consumer = FakeConsumer(LOG, a_poll=a_poll)
    assert read(monkeypatch, consumer, {0: (2, 9), 1: (0, 20)}) == {0: list(range(2, 9)), 1: list(range(20))}


def test_an_empty_range_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, FakeConsumer(LOG), {0: (5, 5), 1: (7, 8)}) == {1: [7]}


def test_what_retention_has_left_is_read(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    consumer = FakeConsumer(LOG, beginning={0: 6, 1: 12})
    assert read(monkeypatch, consumer, {0: (2, 9), 1: (0, 12)}) == {0: [6, 7, 8]}
    assert "e/1: retention has deleted every offset asked for (below 12)" in caplog.text


def test_offsets_that_retention_has_deleted_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the reading begins, and while it goes on; only those that were asked for."""
    consumer, went = FakeConsumer(LOG, beginning={0: 6, 1: 12}), Dropped()
    poll = consumer.poll

    def shrinking(timeout_ms: int) -> Any:
        fetched = poll(timeout_ms)
        consumer.beginning = {0: 15}
        return fetched

    monkeypatch.setattr(consumer, "poll", shrinking)
    monkeypatch.setattr(ranges, "KafkaConsumer", lambda **_: consumer)
    asked = [range_of(0, 2, 20), range_of(1, 0, 12)]
    assert sum(map(len, read_ranges(CONFIG, asked, {}, None, went))) == 3 + 5
    assert [(reason.name, reason.rows) for reason in went] == [("deleted", 4 + 12 + 6)]
    assert "e/0 up to offset 6" in went.says()


def test_record_keys_of_what_was_decoded_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    log: dict[int, list[bytes | None]] = {0: [LOG[0][0], b"nonsense", None, LOG[0][3]]}
    monkeypatch.setattr(ranges, "KafkaConsumer", lambda **_: FakeConsumer(log))
    keys = RecordKeys()
    rows = gather(read_ranges(CONFIG, [range_of(0, 0, 4)], {}, keys=keys), 0, 100, keys)
    assert rows.keys is not None
    assert rows.keys.tolist() == [b"k0", b"k3"]


def test_rows_that_cannot_be_decoded_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    log = {0: [LOG[0][0], b"nonsense", LOG[0][2]]}
    assert read(monkeypatch, FakeConsumer(log), {0: (0, 3)}) == {0: [0, 2]}


def test_offsets_without_a_record_at_the_end_of_a_range_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The marker of a transaction, or what compaction has removed: the position passes it, no record does."""
    log = {0: [*LOG[0][:5], None, None]}
    assert read(monkeypatch, FakeConsumer(log, a_poll=1), {0: (2, 7)}) == {0: [2, 3, 4]}


def test_what_retention_deletes_meanwhile_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = FakeConsumer(LOG)
    poll = consumer.poll

    def shrinking(timeout_ms: int) -> Any:
        fetched = poll(timeout_ms)
        consumer.beginning = {0: 15}
        return fetched

    monkeypatch.setattr(consumer, "poll", shrinking)
    assert read(monkeypatch, consumer, {0: (0, 20)}) == {0: [0, 1, 2, *range(15, 20)]}


def test_a_topic_that_hands_out_nothing_more_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1_000, 20))
    monkeypatch.setattr(ranges.time, "monotonic", lambda: float(next(clock)))
    with pytest.raises(RangesGone, match="no rows came for 30 s while reading e/0 from 20 to 30"):
        read(monkeypatch, FakeConsumer(LOG), {0: (0, 30)})


def test_a_broker_that_is_away_is_no_fault_of_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, consumer = iter(range(0, 1_000, 20)), FakeConsumer(LOG)
    monkeypatch.setattr(ranges.time, "monotonic", lambda: float(next(clock)))
    answers = iter([dict.fromkeys([("e", 0)], 0)])

    def ask(_: Any, timeout_ms: int | None = None) -> Any:
        for answer in answers:
            return answer
        raise KafkaTimeoutError("no answer")

    monkeypatch.setattr(consumer, "beginning_offsets", ask)
    with pytest.raises(KafkaTimeoutError):
        read(monkeypatch, consumer, {0: (0, 30)})


def test_reading_ends_when_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "KafkaConsumer", lambda **_: FakeConsumer(LOG, a_poll=1))
    stopping = Stopping()
    rows = read_ranges(CONFIG, [range_of(0, 0, 20)], {}, stopping)
    next(rows)
    stopping.set()
    with pytest.raises(Stopped):
        next(rows)


def test_rows_that_cannot_be_decoded_are_counted_with_the_first_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    log = {0: [LOG[0][0], b"nonsense", b'{"t":2,"x":{}}', b'{"t":3,"x":[]}']}
    monkeypatch.setattr(ranges, "KafkaConsumer", lambda **_: FakeConsumer(log))
    went = Dropped()
    assert sum(map(len, read_ranges(CONFIG, [range_of(0, 0, 4)], {}, None, went))) == 1
    (most, other) = went
    assert (most.name, most.field, most.rows, most.example[:6]) == ("wrong_type", "x", 2, "e/0@2:")
    assert (other.name, other.rows, other.example[:6]) == ("not_json", 1, "e/0@1:")
