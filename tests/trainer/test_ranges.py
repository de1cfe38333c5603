"""Exactly the offsets that are asked for, as far as the topic still holds them."""

from __future__ import annotations

import pytest

from schemas.records import OffsetRange
from stream_app.config import Config, EventConfig, TopicsConfig
from stream_app.errors import DriftflowError
from stream_app.trainer import ranges
from stream_app.trainer.ranges import read_ranges
from tests.trainer.fakes import FakeConsumer

CONFIG = Config(
    stream="s",
    topics=TopicsConfig(events="e"),
    event=EventConfig(time_field="t", numeric=["x"], time_format="epoch_ms"),
)
LOG = {p: [b'{"t":%d,"x":%d}' % (offset, p) for offset in range(20)] for p in (0, 1)}


def read(
    monkeypatch: pytest.MonkeyPatch, consumer: FakeConsumer, wanted: dict[int, tuple[int, int]]
) -> dict[int, list[int]]:
    """Offsets by partition that were read."""
    monkeypatch.setattr(ranges, "KafkaConsumer", lambda **_: consumer)
    parts = [OffsetRange("e", p, start, end, 0, 100) for p, (start, end) in wanted.items()]
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


def test_rows_that_cannot_be_decoded_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    log = {0: [LOG[0][0], b"nonsense", LOG[0][2]]}
    assert read(monkeypatch, FakeConsumer(log), {0: (0, 3)}) == {0: [0, 2]}


def test_a_topic_that_hands_out_nothing_more_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1_000, 20))
    monkeypatch.setattr(ranges.time, "monotonic", lambda: float(next(clock)))
    with pytest.raises(DriftflowError, match="no rows for 30 s while reading e/0 up to 30: does the topic still hold"):
        read(monkeypatch, FakeConsumer(LOG), {0: (0, 30)})
