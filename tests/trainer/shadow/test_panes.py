"""Panes of events that come from several partitions, each at its own pace."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from stream_app.trainer.shadow.panes import LAG, OPEN_MAX, OpenPanes

PANE = 100


def scores(n: int, log_prob: float = 0.0, p: float = 0.5, scorable: bool = True) -> Any:
    return SimpleNamespace(
        log_prob=np.full(n, log_prob), p_value=np.full(n, p), scorable=np.full(n, scorable, dtype=bool)
    )


def add(panes: OpenPanes, partition: int, start: int, end: int, step: int = 10, **new: Any) -> None:
    """Events of a partition, every ``step`` from ``start`` on."""
    times = np.arange(start, end, step, dtype=np.int64)
    panes.add(partition, times, scores(len(times), **new), scores(len(times)))


def test_a_pane_is_over_once_every_partition_with_more_to_read_is_past_it() -> None:
    panes = OpenPanes(PANE)
    add(panes, 0, 0, 1_000)
    assert panes.take(behind=[0, 1]) == [], "nobody knows where partition 1 is"
    add(panes, 1, 0, 300)
    assert [pane.events for pane in panes.take(behind=[0, 1])] == [20, 20], "its clock is the median of its last times"
    add(panes, 1, 300, 1_000)
    taken = panes.take(behind=[])
    assert [pane.events for pane in taken] == [20] * len(taken)
    now_ms = panes.now_ms
    assert now_ms is not None
    assert len(taken) + 2 == now_ms // PANE - LAG


def test_no_event_is_lost_and_none_counts_twice_whatever_the_order() -> None:
    panes, taken = OpenPanes(PANE), 0
    g = np.random.default_rng(3)
    for _ in range(200):
        start = int(g.integers(0, 50_000))
        add(panes, int(g.integers(3)), start, start + 300)
        taken += sum(pane.events for pane in panes.take(behind=[]))
    assert taken + sum(pane.events for pane in panes.open.values()) == 200 * 30


def test_a_wrong_date_closes_nothing_and_open_panes_are_bounded() -> None:
    panes = OpenPanes(PANE)
    add(panes, 0, 0, 200)
    panes.add(0, np.array([10**12]), scores(1), scores(1))
    assert panes.take(behind=[]) == []
    for number in range(OPEN_MAX + 50):
        panes.add(0, np.array([10**9 * (number + 2)]), scores(1), scores(1))
        panes.take(behind=[])
    assert len(panes.open) <= OPEN_MAX


def test_differences_are_clipped_and_what_only_the_one_in_service_scores_counts_against_the_candidate() -> None:
    panes = OpenPanes(PANE)
    panes.add(0, np.arange(4), scores(4, log_prob=50.0, p=0.005), scores(4))
    panes.add(0, np.arange(3), scores(3, scorable=False), scores(3))
    panes.add(0, np.arange(2), scores(2), scores(2, scorable=False))
    (sums,) = panes.open.values()
    assert (sums.events, sums.compared, sums.scored, sums.alarms, sums.old_alarms) == (9, 7, 6, 4, 0)
    assert sums.gain == pytest.approx(4.0 - 3.0)


def test_sums_do_not_depend_on_how_reading_was_cut(seed: int) -> None:
    """They stand in the manifest of the model, whose id is a hash of that."""
    g = np.random.default_rng(seed)
    gains = g.normal(0.0, 0.5, 1_000)
    found = set()
    for size in (1, 7, 333, 1_000):
        panes = OpenPanes(PANE)
        for start in range(0, 1_000, size):
            part = gains[start : start + size]
            panes.add(0, np.zeros(len(part), dtype=np.int64), scores(len(part), log_prob=part), scores(len(part)))
        found.add(panes.open[0].gain)
    assert len(found) == 1
    assert found.pop() == pytest.approx(np.clip(gains, -1.0, 1.0).sum(), abs=1e-3)


def test_a_state_that_was_written_down_goes_on_as_if_it_had_not_been() -> None:
    one = OpenPanes(PANE)
    for start in range(0, 5_000, 70):
        add(one, 0, start, start + 70)
    other = OpenPanes(PANE)
    for start in range(0, 5_000, 70):
        add(other, 0, start, start + 70)
        other = msgspec.msgpack.decode(msgspec.msgpack.encode(other), type=OpenPanes)
    assert one == other
    assert one.take(behind=[]) == other.take(behind=[])
