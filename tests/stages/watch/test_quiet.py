"""Panes without events: slices are silent in them, the same whichever order markers came in, and not for ever."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.codecs import Partial
from stream_app.config.registries import DetectorName
from stream_app.stages.detection.detectors.simulated import PANE_MS, START_MS, Change, World
from stream_app.stages.outputs import Outputs
from stream_app.stages.snapshot import pack, unpack
from stream_app.stages.watch import finals, stage
from stream_app.stages.watch.checking import Known
from stream_app.stages.watch.state import WatchState
from tests.stages.watch.blocks import Watching, block, config_of, marker, panes

WORLD = World(d=1, k=0, slices=3)
CONFIG = config_of(WORLD)
REFERENCES = {"m": WORLD.fitted[1]}


def test_a_slice_that_falls_silent_is_found_while_others_go_on() -> None:
    watch = Watching(CONFIG, REFERENCES)
    watch.feed([*panes(WORLD, 20, 1), *panes(WORLD, 10, 2, {1: Change(rate=0.0)}, first=20)])
    (pane, state, slice_, detector), *rest = watch.told()
    assert (state, slice_, detector) == ("found", "s0001", "silence")
    assert pane - 20 < 3
    assert rest == [], "followed while it lasts"
    assert {word.rule for word in watch.words} == {"fault"}
    assert watch.words[-1].pane == 29


def test_it_ends_when_events_come_again() -> None:
    watch = Watching(CONFIG, REFERENCES)
    watch.feed(
        [*panes(WORLD, 20, 1), *panes(WORLD, 10, 2, {1: Change(rate=0.0)}, first=20), *panes(WORLD, 30, 3, first=30)]
    )
    assert [(state, slice_) for _, state, slice_, _ in watch.told()] == [("found", "s0001"), ("over", "s0001")]
    assert 30 <= watch.told()[1][0] < 45, "by evidence, not at once and not by forgetting"


@pytest.mark.parametrize("rules", [["missing", "stuck", "silence", "volume"], ["intake", "volume", "silence"]])
def test_silence_never_ends_it_however_long_it_lasts(rules: list[DetectorName]) -> None:
    """Neither weeks of it, nor a gap in which nothing at all comes, nor a model of the others that knows it no more."""
    config = msgspec.structs.replace(
        CONFIG, rules={"fault": msgspec.structs.replace(CONFIG.rules["fault"], detectors=rules)}
    )
    others = World(d=1, k=0, slices=1)
    watch = Watching(config, REFERENCES | {"m2": others.fitted[1]})
    silent = {1: Change(rate=0.0), 2: Change(rate=0.0)}
    watch.feed([*panes(WORLD, 20, 1), *panes(WORLD, 2_000, 2, silent, first=20), marker(4_500)], size=50)
    watch.feed(panes(WORLD, 300, 3, silent, first=4_600, model="m2"), size=50)
    opened = [(state, slice_) for _, state, slice_, _ in watch.told() if slice_ != "s0000"]
    assert opened == [("found", "s0001"), ("found", "s0002")]
    watch.feed(panes(WORLD, 60, 4, first=4_900), size=50)
    ended = {slice_ for _, state, slice_, _ in watch.told() if state == "over"}
    assert ended >= {"s0001", "s0002"}, "events have come again"


def test_where_nothing_comes_at_all_every_slice_is_silent() -> None:
    """No block says so, markers alone: another source partition, or the newest event, closes the panes."""
    watch = Watching(CONFIG, REFERENCES)
    watch.feed([*panes(WORLD, 20, 1), marker(60)])
    assert {(state, slice_, detector) for _, state, slice_, detector in watch.told()} == {
        ("found", name, "silence") for name in WORLD.names
    }
    assert all(20 <= pane < 24 for pane, *_ in watch.told())


def test_an_unknown_slice_is_never_silent() -> None:
    small = World(d=1, k=0, slices=2, panes=120)
    watch = Watching(CONFIG, {"m": small.fitted[1]})
    watch.feed([*panes(WORLD, 20, 1), *panes(WORLD, 30, 2, {2: Change(rate=0.0)}, first=20)])
    assert watch.told() == []


GAP = 14


def in_order(order: list[int], steps: dict[int, list[int]]) -> list[Partial]:
    """Two source partitions: ten panes with blocks from each, a gap with markers in some of its panes, and one more."""
    rows = WORLD.rows(WORLD.events(12, 4), 12)
    left: list[list[Partial]] = []
    for p in range(2):
        own: list[Partial] = []
        for number in range(10):
            own += [block(WORLD, number, rows[number], partition=p), marker(number, p)]
        own += [marker(number, p) for number in steps[p]]
        own += [block(WORLD, 10 + GAP, rows[10], partition=p), marker(10 + GAP, p), marker(12 + GAP, p)]
        left.append(own)
    out = [left[p].pop(0) for p in order if left[p]]
    return [*out, *left[0], *left[1]]


STEPS = st.lists(st.integers(10, 9 + GAP), unique=True, max_size=6).map(sorted)


@pytest.fixture(params=["panes", "slices"])
def few(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    """Quiet panes that are gone through: so many, or as many as three slices may have."""
    if request.param == "panes":
        monkeypatch.setattr(stage, "QUIET_PANES_MAX", 5)
    else:
        monkeypatch.setattr(stage, "QUIET_SLICE_PANES_MAX", 5 * 3)
    return 5


def chosen(rng: random.Random) -> dict[int, list[int]]:
    """Panes of the gap that each source partition has markers of."""
    return {p: sorted(rng.sample(range(10, 10 + GAP), rng.randrange(6))) for p in range(2)}


def fed(order: list[int], steps: dict[int, list[int]], size: int = 1) -> tuple[Watching, Outputs]:
    watch = Watching(CONFIG, REFERENCES, 2)
    return watch, watch.feed(in_order(order, steps), size)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("chance", range(8))
def test_the_order_of_markers_does_not_matter(chance: int) -> None:
    rng = random.Random(chance)
    steps = chosen(rng)
    expected, whole = fed([], steps)
    other, got = fed([rng.randrange(2) for _ in range(60)], steps, rng.choice([1, 3, 50]))
    assert got.messages == whole.messages, f"seed {chance}"
    assert got.points == whole.points, f"seed {chance}"
    assert expected.told()
    assert pack(other.state.to_state()) == pack(expected.state.to_state()), f"seed {chance}"
    ends = [(closed.pane_end_ms - START_MS) // PANE_MS - 1 for closed in other.closed]
    assert ends == sorted({*ends}), f"seed {chance}: each pane once, in order"
    assert {*ends} >= {*steps[0], *steps[1]}, f"seed {chance}: JUDGE is told how far the gap reaches"


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("chance", range(8))
def test_the_number_of_markers_does_not_matter_to_what_is_found(chance: int) -> None:
    rng = random.Random(chance)
    expected, whole = fed([], {0: [], 1: []})
    other, got = fed([rng.randrange(2) for _ in range(60)], chosen(rng))
    assert got.points == whole.points, f"seed {chance}"
    assert repr(other.words) == repr(expected.words), f"seed {chance}"
    a, b = (watch.state.to_state() for watch in (expected, other))
    for name in ("rules", "windows", "final_ms", "busy_ms"):
        assert pack(a[name]) == pack(b[name]), f"seed {chance}: {name}"


def test_only_the_first_quiet_panes_of_a_gap_are_gone_through(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[int] = []
    add = finals.FinalPanes.add
    monkeypatch.setattr(
        finals.FinalPanes, "add", lambda self, start_ms, *rest: starts.append(start_ms) or add(self, start_ms, *rest)
    )
    watch = Watching(CONFIG, REFERENCES)
    watch.feed(
        [*panes(WORLD, 3, 1), *(marker(number) for number in range(3, 30)), *panes(WORLD, 1, 2, first=30), marker(40)]
    )
    numbers = [(start - START_MS) // PANE_MS for start in starts]
    assert numbers == [0, 1, 2, *range(3, 3 + few), 30, *range(31, 31 + few)]
    assert watch.state.final_ms == START_MS + 41 * PANE_MS
    assert watch.state.busy_ms == START_MS + 31 * PANE_MS


def test_slices_that_come_before_a_gap_count_whether_or_not_their_pane_is_final_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pane with one slice and one with three, closed in one step or in two."""
    monkeypatch.setattr(stage, "QUIET_SLICE_PANES_MAX", 12)
    rows = WORLD.rows(WORLD.events(2, 4), 2)
    one = rows[0].copy()
    one[1:] = WORLD.layout.blank(2)
    blocks = [block(WORLD, 0, one), block(WORLD, 1, rows[1])]
    together, apart = Watching(CONFIG, REFERENCES), Watching(CONFIG, REFERENCES)
    together.feed([*blocks, marker(40)])
    apart.feed([blocks[0], marker(0), blocks[1], marker(1), marker(40)])
    assert pack(together.state.to_state()["rules"]) == pack(apart.state.to_state()["rules"])


@pytest.mark.usefixtures("few")
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.integers(0, 60), STEPS)
def test_a_restart_in_the_middle_of_a_gap_goes_on_the_same(at: int, steps: list[int]) -> None:
    messages = in_order([], {0: steps, 1: steps})
    whole, first = (Watching(CONFIG, REFERENCES, 2) for _ in range(2))
    whole.feed(messages)
    first.feed(messages[:at])
    first.state = WatchState.from_state(CONFIG, unpack(pack(first.state.to_state())))
    first.feed(messages[at:])
    assert first.told() == whole.told()
    assert pack(first.state.to_state()) == pack(whole.state.to_state())


def test_quiet_panes_wait_for_the_model_that_slices_are_silent_by() -> None:
    """After a restart the old models come one after the other: what is said must not depend on how fast."""
    watch = Watching(CONFIG, REFERENCES)
    watch.feed(panes(WORLD, 20, 1))
    known, watch.known = watch.known, Known({})
    watch.feed([marker(40)])
    assert watch.state.needed_models() == {"m"}
    assert watch.state.final_ms == START_MS + 20 * PANE_MS
    watch.known = known
    watch.feed([])
    out = watch.stage.step(watch.state, 0, [], known)
    assert watch.state.final_ms == START_MS + 41 * PANE_MS
    assert out.messages
