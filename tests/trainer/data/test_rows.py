"""Rows in one order whoever fetched them, each with its place and its record key."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flowlib.table import Coded
from stream_app.stages.batches import EventBatch
from stream_app.stages.dropped import Dropped
from stream_app.trainer.data.rows import DELETED, RecordKeys, Rows, gather
from tests.trainer.data.worlds import iid


def batch(partition: int, offsets: list[int], times: list[int]) -> EventBatch:
    n = len(offsets)
    return EventBatch(
        topic="e",
        partition=partition,
        rows=np.arange(n),
        offsets=np.array(offsets),
        event_time_ms=np.array(times),
        numeric=np.arange(float(n))[:, None] + 100 * partition,
        categorical=np.zeros((n, 0), object),
        slices=(Coded.alike(n, f"p{partition}"),),
    )


@given(st.permutations(range(6)))
def test_the_order_of_fetching_does_not_matter(order: list[int]) -> None:
    parts = [batch(p, [10 * k, 10 * k + 1], [5 * k, 5 * k + 2]) for p in (0, 1) for k in (0, 1, 2)]
    got = gather([parts[i] for i in order], 2, 11)
    assert got.table.time_ms.tolist() == [2, 2, 5, 5, 7, 7, 10, 10]
    assert got.table.slices.tolist() == ["p0", "p1"] * 4
    assert got.partitions.tolist() == [0, 1] * 4
    assert got.offsets.tolist() == [1, 1, 10, 10, 11, 11, 20, 20]


def test_nothing_to_gather_is_no_rows_and_keeps_what_was_asked_for() -> None:
    went = Dropped()
    went.add(DELETED, "", "e/0 up to offset 7", 7)
    rows = gather([], 0, 10, rejected=went, asked=10)
    assert (len(rows), rows.asked, rows.deleted) == (0, 10, 7)


def test_each_row_has_its_record_key() -> None:
    keys = RecordKeys()
    keys.add(1, np.array([4, 6]), [b"d", None])
    keys.add(0, np.array([0, 1]), [b"a", b"b"])
    rows = gather([batch(0, [0, 1], [0, 3]), batch(1, [4, 6], [1, 2])], 0, 10, keys)
    assert rows.keys is not None
    assert rows.keys.tolist() == [b"a", b"d", None, b"b"]
    assert rows.take(np.array([3, 1])).keys.tolist() == [b"b", b"d"]  # type: ignore[union-attr]


def test_records_without_keys_have_none() -> None:
    keys = RecordKeys()
    keys.add(0, np.array([0, 1]), [None, None])
    assert gather([batch(0, [0, 1], [0, 3])], 0, 10, keys).keys is None


def test_a_row_whose_key_was_not_read_has_none() -> None:
    keys = RecordKeys()
    keys.add(0, np.array([1]), [b"b"])
    assert keys.of(np.array([0, 0, 3]), np.array([0, 1, 1])).tolist() == [None, b"b", None]  # type: ignore[union-attr]


def test_rows_of_a_table_are_as_many_as_were_asked_for() -> None:
    rows = Rows.of(iid(0))
    assert rows.asked == len(rows)
