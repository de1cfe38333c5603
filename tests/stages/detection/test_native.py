"""What is done in C++ for each slice of a pane gives the bits of its form in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.table import Floats
from stream_app.stages.detection import mixture, peaks, tables
from stream_app.stages.detection.causes import Found
from stream_app.stages.detection.detectors import DETECTORS, Evidence, Part, counting, fast
from stream_app.stages.detection.detectors.simulated import CHANGES, World, with_events
from stream_app.stages.detection.mixture import Mixture
from stream_app.stages.detection.peaks import LARGEST, STEPS, Peaks, steps_of
from stream_app.stages.detection.tables import Given, Steps, Table
from stream_app.stages.snapshot import pack
from tests.stages.detection.mixtures import mixture as rule

WORLDS = [World(slices=7, seed=3), World(d=5, k=2, slices=40, rate=0.7, seed=4)]
pytest.importorskip("stream_app.native._panes")
NEWS = np.ones((1, 100_000), dtype=bool)


def plainly(do: Callable[[], Any]) -> Any:
    """What comes of something without the C++."""
    with ExitStack() as patched:
        for module in (tables, fast, counting, peaks):
            patched.enter_context(mock.patch.object(module, "_panes", None))
        return do()


@pytest.mark.parametrize("world", WORLDS, ids=["two columns", "five columns"])
@pytest.mark.parametrize("name", list(DETECTORS))
def test_evidence(world: World, name: str) -> None:
    parts = [with_events(part) for part in world.parts(6, 2, {1: CHANGES["location"]})]

    def evidence() -> list[tuple[bytes, bytes]]:
        made = DETECTORS[name](world.config, world.layout)
        return [bits(made.evidence(copied(part))) for part in parts]

    assert evidence() == plainly(evidence)


def bits(of: Evidence) -> tuple[bytes, bytes]:
    return of.log_e.tobytes(), of.news.tobytes()


def copied(part: Part) -> Part:
    """It remembers nothing of what was worked out of it."""
    return part.take(slice(None))


@pytest.mark.parametrize("world", WORLDS, ids=["two columns", "five columns"])
def test_deviations(world: World) -> None:
    for part in world.parts(4, 9):
        quick, plain = copied(part), copied(part)
        plainly(partial(getattr, plain, "deviations"))
        for one, other in zip(quick.deviations, plain.deviations, strict=True):
            assert one.tobytes() == other.tobytes()


def test_a_rule() -> None:
    world = WORLDS[0]
    parts = world.parts(40, 5, {1: CHANGES["location"]})

    def state() -> bytes:
        made = rule(world=world, floor=50.0)
        for part in parts:
            for speaks in made.update([copied(part)], [], 7):
                if speaks:
                    made.settle()
        return pack(made.to_state())

    assert state() == plainly(state)


def shaken(seed: int, scale: float) -> tuple[Mixture, Evidence]:
    """A rule whose bets stand anywhere, and evidence of its slices."""
    made, rng = rule(["location", "scale"]), np.random.default_rng(seed)
    made._table.grow(5)
    made._table.steps[:] = rng.integers(0, rng.choice([3, 400, 9_000, LARGEST + 1]), made._table.steps.shape)
    made._table.seen[:] = rng.random(5) < 0.5
    detector = made.detectors[0]
    log_e = rng.normal(-0.1 * scale, scale, (5, detector.channels, detector.bets))
    log_e[rng.random(log_e.shape) < 0.1] = 0.0
    return made, Evidence(log_e, rng.random(log_e.shape[:2]) < 0.8)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.01, 1.0, 30.0, 1e3, 1e9]))
def test_bets(seed: int, scale: float) -> None:
    def steps() -> bytes:
        made, evidence = shaken(seed, scale)
        made._runs = slice(0, evidence.log_e[0].size), made._runs[1]
        given = Given(0, True, np.array([4, 0, 1, 3, 2]), np.array([0, 3, 3, 5]), [evidence])
        followed = np.array([], dtype=np.int64) if seed % 2 else np.array([1, 4])
        walked = made._walk([given], np.array([90, 90, 91]), 0, 3, followed)
        n = min(walked.last + 1, 3)
        return pack(
            [walked.last, walked.steps[:n], walked.calm[:n], made._table.steps, made._table.calm, made._table.seen]
        )

    assert steps() == plainly(steps)


def test_steps_are_rounded_down_as_they_are_exactly() -> None:
    """Beside every border between two steps."""
    borders = np.arange(1, 4_000) / STEPS
    log_r = np.concatenate([np.log(np.expm1(borders)) + off for off in (-1e-9, -1e-15, 0.0, 1e-15, 1e-9)])
    steps, calm = np.zeros((1, len(log_r)), dtype=np.uint16), np.zeros((1, len(log_r)), dtype=np.uint16)
    mix(steps, calm, log_r)
    exact: Floats = np.floor(np.logaddexp(0.0, log_r) * STEPS)
    assert np.array_equal(steps[0], exact)
    assert np.array_equal(steps[0], steps_of(log_r))


def test_what_is_no_number_does_no_harm() -> None:
    steps, calm = np.full((1, 9), 700, dtype=np.uint16), np.zeros((1, 9), dtype=np.uint16)
    mix(steps, calm, np.array([np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0, 0.0, 0.0, 0.0]))
    assert steps[0, 1:5].tolist() == [LARGEST, 0, LARGEST, 0]


def mix(steps: Steps, calm: Steps, log_e: Floats) -> None:
    """Evidence of one slice into its bets."""
    w = steps.shape[1]
    given = Given(0, False, np.zeros(1, np.int64), np.array([0, 1]), [Evidence(log_e[None, :, None], NEWS[:, :w])])
    tables.walk(Table(steps, calm, np.ones(1, dtype=bool), 0, 1), [given], np.array([1]), 0, 1)


@pytest.mark.parametrize(
    ("slices", "first", "edges", "words"),
    [
        ([2], 0, [0, 1], "a place that is not there"),
        ([-1], 0, [0, 1], "a place that is not there"),
        ([0], 1, [0, 1], "bets beyond the row"),
        ([0], -1, [0, 1], "bets beyond the row"),
        ([0], 0, [0, 2], "not ascending places"),
        ([0], 0, [1, 0], "not ascending places"),
        ([0], 0, [0], "another length"),
    ],
)
def test_a_place_that_is_not_there_is_refused(slices: list[int], first: int, edges: list[int], words: str) -> None:
    steps, calm = np.zeros((2, 4), dtype=np.uint16), np.zeros((2, 4), dtype=np.uint16)
    table = Table(steps, calm, np.zeros(2, dtype=bool), 0, 1)
    given = Given(first, True, np.array(slices), np.array(edges), [Evidence(np.zeros((1, 2, 2)), NEWS[:, :2])])
    with pytest.raises(ValueError, match=words):
        tables.walk(table, [given], np.array([1]), 0, 1)


def test_panes_together_are_as_one_by_one() -> None:
    """In C++ and in Python, however they are cut: evidence, its end, and what is said of each pane."""
    world = WORLDS[0]
    parts = [with_events(part) for part in [*world.parts(30, 5, {1: CHANGES["location"]}), *world.parts(30, 6)]]

    def said(cuts: list[int]) -> tuple[bytes, list[dict[str, bytes]]]:
        made, out = rule(world=world, floor=50.0), list[Found | None]()
        for a, b in pairwise(cuts):
            for speaks in made.update([joined(parts[a:b])], [], 7):
                out.append(made.settle() if speaks else None)
        return pack(made.to_state()), [of.columns.encode() for of in out if of is not None and len(of.numbers)]

    single = said(list(range(61)))
    assert single[1], "something is found"
    assert any(np.frombuffer(of["remaining"]).min() < 0.1 for of in single[1]), "and is over"
    for cuts in ([0, 60], [0, 7, 8, 31, 60]):
        assert said(cuts) == single
        assert plainly(partial(said, cuts)) == single


def test_evidence_that_is_taken_down_in_the_middle_of_panes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes near the end of its scale again and again, and the panes after it count from there."""
    monkeypatch.setattr(mixture, "HIGH", 2_000)
    monkeypatch.setattr(peaks, "HIGH", 2_000)
    test_panes_together_are_as_one_by_one()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_what_remains(seed: int) -> None:
    """Of slices that are followed, over panes in which bets go up, down, and stay."""
    rng = np.random.default_rng(seed)
    weights, first = np.full(9, 1 / 9), np.array([0, 2, 3])
    steps = np.maximum(np.cumsum(rng.integers(-700, 700, (12, 3, 9)) * (rng.random((12, 3, 9)) < 0.7), axis=0), 0)

    def remaining() -> bytes:
        made = Peaks(float(rng.choice([2.0, 50.0])), weights, first, 3)
        made.add(np.array([1, 4, 6]))
        parts, now = made.parts(steps.reshape(-1, 9))
        found = made.through(now.reshape(12, 3, -1), parts.reshape(12, 3, -1), steps)
        return pack([*found, made.to_state()])

    state = rng.bit_generator.state
    quick = remaining()
    rng.bit_generator.state = state
    assert quick == plainly(remaining)


def joined(parts: list[Part]) -> Part:
    """Panes one after the other."""
    names = ("start_ms", "known", "slices", "rows")
    start_ms, known, slices, rows = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
    edges = np.cumsum([0, *(len(part.rows) for part in parts)]).tolist()
    return Part(parts[0].layout, start_ms, parts[0].reference, known, slices, rows, edges)
