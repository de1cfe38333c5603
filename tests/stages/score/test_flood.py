"""A flood of new names through SCORE: what WATCH gets of slices that the model knows, and of the flood."""

from __future__ import annotations

import numpy as np
import pytest

from flowlib.density import Density
from schemas.codecs import decode_partial
from schemas.pane_layout import OTHER
from schemas.records import PaneBlock, PaneClosed
from stream_app.config import Config
from stream_app.stages.outputs import Outgoing
from tests.stages.streams import PANE, STATIONS, channels, config, cut, event, pipeline, raw, score_all

PANES = 20


def flood(seed: int) -> list[tuple[int, str]]:
    """Times and stations: from the first event on five new names for each that the model knows."""
    rng = np.random.default_rng(seed)
    names = [STATIONS[i // 6 % 3] if i % 6 == 0 else f"attack {i}" for i in range(900)]
    return list(zip(np.sort(rng.integers(0, PANES * PANE, len(names))).tolist(), names, strict=True))


def bounded() -> Config:
    """Twice as many places as there are stations."""
    return config(windows={"max_slices": 2 * len(STATIONS)}, event_rule={"follow": "adaptive", "alpha": 0.2})


def bodies(seed: int) -> list[bytes]:
    """The events of a flood."""
    rng = np.random.default_rng(seed)
    return [event(t, i, station=name, x=float(rng.normal())) for i, (t, name) in enumerate(flood(seed))]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sizes", [[1], [7, 31], [400]])
def test_neither_batches_nor_a_restart_make_a_difference(model: Density, seed: int, sizes: list[int]) -> None:
    values, half = bodies(seed), 450
    whole, parts = pipeline(bounded(), [model]), pipeline(bounded(), [model])
    expected = score_all(whole, 0, values, [1_000]).messages
    got = score_all(parts, 0, values[:half], sizes).messages
    parts.open_score(0, parts.snapshot_score(0))
    for a, b in cut(half, sizes):
        got += parts.score(raw(0, values[half + a : half + b], half + a)).messages
    assert channels(got) == channels(expected)
    assert parts.snapshot_score(0) == whole.snapshot_score(0)


def counts(messages: list[Outgoing]) -> tuple[dict[tuple[int, str], int], dict[int, PaneClosed]]:
    """Events by pane and station, and the markers of one partition by pane."""
    seen, closed = dict[tuple[int, str], int](), dict[int, PaneClosed]()
    for message in messages:
        partial = decode_partial(message.value, dict(message.headers)) if message.role == "partials" else None
        if isinstance(partial, PaneBlock) and partial.slicing == "station":
            numbers = np.frombuffer(partial.columns["seen"], "<i8").tolist()
            seen |= {(partial.pane_start_ms, name): n for name, n in zip(partial.slices, numbers, strict=True)}
        elif isinstance(partial, PaneClosed):
            assert closed.setdefault(partial.pane_start_ms, partial) == partial, "the same on every partition"
    return seen, closed


@pytest.mark.parametrize("seed", range(3))
def test_known_slices_are_whole_in_every_pane_and_the_marker_tells_of_the_rest(model: Density, seed: int) -> None:
    seen, closed = counts(score_all(pipeline(bounded(), [model]), 0, bodies(seed), [100]).messages)
    assert len(closed) >= PANES - 1
    for start, marker in closed.items():
        there = [name for time_ms, name in flood(seed) if time_ms // PANE * PANE == start]
        assert {name: seen.get((start, name), 0) for name in STATIONS} == {n: there.count(n) for n in STATIONS}
        strangers = [name for name in there if (start, name) not in seen]
        told = [(one.names, one.events, one.field) for one in marker.strangers]
        n = len(strangers)
        assert told == ([(n, n, "station")] if n else [])
        assert seen.get((start, OTHER), 0) == n


def test_names_without_end_leave_as_much_behind_as_some(model: Density) -> None:
    """Every event is a slice of its own: what is remembered does not grow, nor does a pane, and all are counted."""
    cfg = config(windows={"max_slices": 40, "newcomer_panes": 2})
    made, n, followed = pipeline(cfg, [model]), 6_000, 2_000
    values = [event(i * PANE // 300, i, station=f"order {i}") for i in range(3 * n)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("stream_app.stages.score.admission.FOLLOWED_MIN", followed)
        sizes, blocks = list[int](), dict[tuple[int, str], int]()
        for first in range(0, 3 * n, n):
            for a, b in cut(n, [600]):
                seen, _ = counts(made.score(raw(0, values[first + a : first + b], first + a)).messages)
                blocks |= seen
            sizes.append(len(made.snapshot_score(0)))
    table = made.score_states[0].places.tables[0]
    assert len(table.places) <= 40
    assert len(table.newcomers) <= followed
    assert sizes[2] < 1.1 * sizes[1]
    by_pane: dict[int, int] = {}
    for (start, _), count in blocks.items():
        by_pane[start] = by_pane.get(start, 0) + count
    assert set(list(by_pane.values())[1:]) == {300}, "every event is counted in its pane"
    assert max(sum(one == start for one, _ in blocks) for start in by_pane) <= 41
    assert sum(count for (_, name), count in blocks.items() if name == OTHER) > 0.95 * sum(by_pane.values())
