"""What is written of a partition stays in proportion to what it takes in, however large its state."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.types import TopicPartition
from stream_app.stages.pipeline import Pipeline
from stream_app.worker import budget
from stream_app.worker.budget import Budget
from stream_app.worker.files import FileStore
from stream_app.worker.partitions import Partitions

SIZE = 200_000
"""Bytes of the state."""


@pytest.fixture
def partitions(config: Config, source: TopicPartition, monkeypatch: pytest.MonkeyPatch) -> Partitions:
    """One open source partition with a large state, and a checkpoint every half a second."""
    seconds: Iterator[float] = iter(0.5 * n for n in range(10**9))
    pipeline = Pipeline(config, 2)
    monkeypatch.setattr(pipeline, "snapshot_score", lambda partition: bytes(SIZE))
    made = Partitions(config, FileStore(config), pipeline, lambda: next(seconds))
    made.open(source)
    return made


def run(partitions: Partitions, source: TopicPartition, checkpoints: int, rows: int) -> int:
    """So many checkpoints with so many rows each; the bytes that were written."""
    state, before = partitions._pipeline.score_states[0], partitions.written["score"]
    for _ in range(checkpoints):
        state.next_offset += rows
        partitions.earn(source, budget.EVENT_BYTES * rows)
        partitions.save(source)
    return partitions.written["score"] - before


def test_bytes_an_event_are_bounded(partitions: Partitions, source: TopicPartition) -> None:
    first = run(partitions, source, 1, 1)
    assert first > SIZE, "the first base at once"
    checkpoints, rows = 400, 2_000
    written = run(partitions, source, checkpoints, rows)
    assert SIZE < written <= 20 * checkpoints * rows
    assert run(partitions, source, 3, 100) < 3 * 1_000, "heads alone"


def test_a_partition_that_is_given_away_has_a_base_of_all_where_it_is_small(
    config: Config, partitions: Partitions, source: TopicPartition
) -> None:
    run(partitions, source, 2, 10)
    partitions.save(source, last=True)
    saved = FileStore(config).take("source-0")
    assert saved is not None
    assert (saved.head.next_offset, saved.head.mark.done) == (20, 20)


def test_a_base_is_due_by_what_came_in_not_before_two_seconds_and_not_after_a_quarter_of_an_hour() -> None:
    one = Budget()
    assert one.is_due(0.0)
    one.spend(1_000, 0.0)
    assert not one.is_due(100.0)
    one.earn(999)
    assert not one.is_due(100.0)
    one.earn(1)
    assert (one.is_due(1.9), one.is_due(2.0)) == (False, True)
    one.spend(10**9, 2.0)
    assert (one.is_due(901.0), one.is_due(902.0), one.is_due(3.0, last=True)) == (False, True, False)
    one.forced = True
    assert one.is_due(2.0)


def test_a_partition_that_nobody_has_since_one_that_was_believed_dead_took_it_ends_the_worker(
    config: Config, source: TopicPartition
) -> None:
    """It took it when the group had given it to another one long ago: that one would be idle without a word."""
    now_s, other = [0.0], FileStore(config)
    partitions = Partitions(config, FileStore(config), Pipeline(config, 2), lambda: now_s[0])
    partitions.open(source)
    other.take("source-0")
    partitions.save(source)
    assert source not in partitions
    now_s[0] = config.kafka.session_timeout.seconds
    partitions.check_owned([source])
    now_s[0] += 1.0
    partitions.check_owned([])
    with pytest.raises(DriftflowError, match="the group gives it to this one: that one was believed dead"):
        partitions.check_owned([source])
    partitions.close(source)
    partitions.check_owned([source])
