"""What several partitions have said, in the order of its times."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from stream_app.kafka import in_time as module
from stream_app.kafka.in_time import in_time
from stream_app.kafka.types import ConsumerRecord
from tests.worker.making import record


def said(partition: int, offset: int, at_s: int | None) -> ConsumerRecord:
    headers = [("ce_time", datetime.fromtimestamp(at_s, UTC).isoformat().encode())] if at_s is not None else []
    return record(TopicPartition("s", partition), offset, b"{}", headers)


def places(records: list[ConsumerRecord]) -> list[tuple[int, int]]:
    return [(one.partition, one.offset) for one in in_time(records)]


def test_partitions_that_were_read_in_turn_come_by_time() -> None:
    assert places([said(0, 0, 10), said(0, 1, 30), said(1, 0, 5), said(1, 1, 20)]) == [(1, 0), (0, 0), (1, 1), (0, 1)]


def test_what_has_no_time_or_one_that_goes_back_stays_behind_what_was_before_it() -> None:
    assert places([said(0, 0, 50), said(0, 1, None), said(0, 2, 1), said(1, 0, 40)]) == [(1, 0), (0, 0), (0, 1), (0, 2)]
    junk = record(TopicPartition("s", 1), 0, b"junk", [("ce_time", b"\xff yesterday")])
    assert places([said(0, 0, 5), junk]) == [(1, 0), (0, 0)]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.one_of(st.none(), st.integers(0, 99))), max_size=40), st.integers(1, 50)
)
def test_nothing_is_lost_and_each_partition_keeps_its_order_whatever_waits(
    rows: list[tuple[int, int | None]], most: int
) -> None:
    records = [said(partition, offset, at_s) for offset, (partition, at_s) in enumerate(rows)]
    before, module.WAITING_MAX = module.WAITING_MAX, most
    try:
        found = places(records)
    finally:
        module.WAITING_MAX = before
    assert sorted(found) == sorted((one.partition, one.offset) for one in records)
    for partition in range(3):
        own = [offset for p, offset in found if p == partition]
        assert own == sorted(own)
