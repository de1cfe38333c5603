"""Blocks of points are the points that they were made of."""

from __future__ import annotations

import numpy as np
import pytest

from stream_app.stages.outputs import Point, Points
from stream_app.stages.point_blocks import BLOCK_POINTS, WindowBlock
from stream_app.stages.points import PaneWindows, window_points
from stream_app.stages.summary import WIDTH


def windows(cells: int, seed: int = 0) -> PaneWindows:
    """Cells of two spans, some without a score, of two models."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 5, (2, cells, WIDTH))
    notices = {"smallest_shift_day": np.where(rng.random(cells) < 0.5, np.inf, 0.25)}
    names, models = [f"s{i}" for i in range(cells)], [f"m{i % 2}" for i in range(cells)]
    return PaneWindows("station", [60_000] * cells, names, models, ["pane", "7d"], rows, notices)


@pytest.mark.parametrize("cells", [0, 1, 7, BLOCK_POINTS + 3])
def test_a_block_unfolds_to_its_points_after_a_file_too(cells: int) -> None:
    made = windows(cells)
    blocks = list(WindowBlock.of("s", made))
    assert max((len(block) for block in blocks), default=0) <= BLOCK_POINTS
    found = [point for block in blocks for point in WindowBlock.unpacked(block.packed()).points()]
    assert sorted(map(repr, found)) == sorted(map(repr, window_points("s", made)))
    assert sum(len(block) for block in blocks) == len(found) == 2 * cells


def test_points_are_read_one_by_one_whatever_they_are_kept_in() -> None:
    made, single = windows(3), Point("models", (), 1, (("n", 1),))
    points = Points([single])
    points += WindowBlock.of("s", made)
    points.append(single)
    expected = [single, *window_points("s", made), single]
    assert (list(points), len(points)) == (expected, len(expected))
    assert points == Points(expected)
    assert points + Points([single]) == Points([*expected, single])
    assert not Points()
    assert points != Points()
