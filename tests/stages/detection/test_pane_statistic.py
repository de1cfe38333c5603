"""river's detectors on the mean surprise of panes, for those who want them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stream_app.config import RuleConfig
from stream_app.config.registries import DETECTOR_KINDS
from stream_app.stages.detection.detectors import Part
from stream_app.stages.detection.detectors.simulated import Change, World, some, with_events
from stream_app.stages.detection.pane_statistic import MAKERS, PaneStatistic
from stream_app.stages.snapshot import pack, unpack

WORLD = World(slices=3, rate=20.0, seed=2)
OPTIONS = {"adwin": {"delta": 0.05}, "page_hinkley": {"threshold": 3.0}, "kswin": {"window": 40.0, "alpha": 1e-6}}
EVERY = pytest.mark.parametrize("name", MAKERS)


def made(name: str, **options: float) -> PaneStatistic:
    chosen = OPTIONS[name] | {"hold": 4.0} | options
    return PaneStatistic(WORLD.config, RuleConfig(detectors=[name], options=chosen), WORLD.layout)  # type: ignore[list-item]


def stream(quiet: int = 60, moved: int = 60) -> list[Part]:
    """Slice 1 is stranger from a pane on."""
    parts = [*WORLD.parts(quiet, 3), *WORLD.parts(moved, 4, {1: Change(stranger=2.0)})]
    return [with_events(part) for part in parts]


def take(of: PaneStatistic, part: Part, slices: int = 3) -> None:
    assert len(list(of.update([part], [], slices))) == 1


def feed(of: PaneStatistic, parts: list[Part]) -> list[list[float]]:
    out = []
    for part in parts:
        take(of, part)
        out.append(of.statistics().tolist())
    return out


@EVERY
def test_it_reacts_to_a_step_on_its_slice_and_holds(name: str) -> None:
    path = np.array(feed(made(name), stream()))
    assert set(np.unique(path)) <= {0.0, 1.0}
    assert not path[:, [0, 2]].any(), "the slices that stay as they are"
    assert not path[:60, 1].any()
    first = int(path[:, 1].argmax())
    assert 60 <= first < 90
    assert path[first : first + 4, 1].all()


@EVERY
@pytest.mark.parametrize("cut", [0, 5, 61, 70, 100])
def test_restored_it_goes_on_the_same(name: str, cut: int) -> None:
    parts = stream()
    whole, first, second = (made(name) for _ in range(3))
    expected = feed(whole, parts)
    feed(first, parts[:cut])
    second.restore(unpack(pack(first.to_state())))
    assert feed(second, parts[cut:]) == expected[cut:]
    assert pack(second.to_state()) == pack(whole.to_state())


@EVERY
def test_slices_do_not_depend_on_each_other(name: str) -> None:
    together, alone = made(name), made(name)
    expected = [row[1] for row in feed(together, stream())]
    assert [row[1] for row in feed(alone, [some(part, part.slices == 1) for part in stream()])] == expected


@EVERY
def test_panes_without_events_are_passed_over(name: str) -> None:
    of = made(name)
    part = WORLD.parts(1, 5)[0]
    empty = Part(part.layout, part.start_ms, part.reference, part.known, part.slices, part.layout.blank(3))
    before = pack(of.to_state())
    take(of, empty, 0)
    assert pack(of.to_state()) == before


@EVERY
def test_more_panes_than_are_kept_are_no_break(name: str) -> None:
    """Old values are dropped at pane 1,025: seen from memory or from a snapshot alike."""
    rng, whole, other = np.random.default_rng(12), made(name), made(name)
    for value in rng.standard_normal(1_026) * 0.1:
        whole._feed(1, float(value))
    assert len(whole.to_state()["seen"][0][1]) < 1_024
    other.restore(unpack(pack(whole.to_state())))
    tail: list[Any] = []
    for of in (whole, other):
        rest = np.random.default_rng(13)
        left = []
        for value in 2.0 + rest.standard_normal(60) * 0.1:
            of._feed(1, float(value))
            left.append(of._left[1])
        tail.append(left)
    assert tail[0] == tail[1]
    assert sum(tail[0]) > 0


@EVERY
def test_it_says_what_it_saw_and_that_it_is_over(name: str) -> None:
    of, told = made(name), []
    for part in [*stream(), *stream(60, 0)]:
        speaks = list(of.update([part], [], 3))
        found = of.settle()
        assert speaks == [len(found.numbers) > 0]
        told.append((int(part.start_ms[0]), found))
    said = [(start, found.columns) for start, found in told if len(found.numbers)]
    assert {number for _, found in told for number in found.numbers.tolist()} == {1}
    start, first = said[0]
    assert [list(DETECTOR_KINDS)[i] for i in first.detector[0].tolist() if i >= 0] == [name]
    assert (first.statistic[0], first.remaining[0], first.since_ms[0]) == (1.0, 1.0, start)
    assert np.allclose(first.odds.sum(axis=2), [[1.0, 0.0, 0.0]])
    ends = [columns for _, columns in said if columns.remaining[0] == 0.0]
    assert ends, "it says that it is over"
    assert all(columns.statistic[0] == 0.0 for columns in ends)


@EVERY
def test_slices_that_leave_take_their_values_along(name: str) -> None:
    parts, whole, kept = stream(), made(name), made(name)
    feed(whole, parts[:70])
    feed(kept, parts[:70])
    kept.keep(np.array([1, 2]))
    for part in parts[70:]:
        own = some(part, part.slices > 0)
        take(whole, own)
        take(kept, replace(own, slices=own.slices - 1), 2)
        assert whole.statistics()[1:].tolist() == kept.statistics().tolist()
        assert kept.settle().columns.encode() == whole.settle().columns.encode()
