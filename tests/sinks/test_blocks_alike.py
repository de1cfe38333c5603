"""A block comes to rest as its points would, one by one, in every store; so does what comes before and after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlib.table import DAY_MS
from stream_app.errors import SinkError
from stream_app.sinks.base import Batch, Unwritable
from stream_app.sinks.line_protocol import line_of, lines_of
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.stages.outputs import Block, Point
from stream_app.stages.point_blocks import WindowBlock
from stream_app.stages.points import PaneWindows, window_points
from stream_app.stages.summary import WIDTH

NAMES = st.text(st.sampled_from("ab,= \\\n\t\r\0\x1b\x7f␛%\"'äé{}5iC"), max_size=6)
TIMES = st.sampled_from([0, -1, DAY_MS - 1, DAY_MS, 1_700_000_000_000, 2**63 - 1, -(2**63)])
FLOATS = st.sampled_from([np.inf, -np.inf, np.nan, 0.0, -0.0, 0.5, 12.0, 1e300, 5e-324, 0.1 + 0.2])


@st.composite
def panes(draw: st.DrawFn) -> PaneWindows:
    """A few cells of all kinds: of odd names, without a score, without shifts, of several models and times."""
    m, spans = draw(st.integers(1, 4)), draw(st.sampled_from([["pane"], ["pane", "7d"], ["pane", "1d", "odd %s=,"]]))
    numbers = st.integers(0, 3) | st.sampled_from([2**63 - 1, -(2**63), -1])
    flat = draw(st.lists(numbers, min_size=len(spans) * m * WIDTH, max_size=len(spans) * m * WIDTH))
    several = {"min_size": m, "max_size": m}
    return PaneWindows(
        draw(NAMES),
        draw(st.lists(TIMES, **several)),
        draw(st.lists(NAMES, unique=True, **several)),
        draw(st.lists(NAMES.map(lambda name: name.replace("\n", "")), **several)),  # a line each, to tell them apart
        spans,
        np.array(flat, dtype=np.int64).reshape(len(spans), m, WIDTH),
        {
            name: np.array(draw(st.lists(FLOATS, **several)))
            for name in draw(st.sampled_from([(), ("one",), ("b", "a")]))
        },
    )


def stored(folder: Path, *batches: list[Point | Block]) -> list[tuple[Any, ...]]:
    """What the embedded store holds after these batches, and which series it knows."""
    sink = SQLiteSink(folder / "store.sqlite")
    for batch in batches:
        sink.write(Batch(batch))
    rows = sink._db.execute("SELECT * FROM points ORDER BY 1, 2, 3").fetchall()
    days = "SELECT series, day, 0, 0, 0 FROM window_days JOIN series ON id = series_id ORDER BY 1, 2"
    rows += sink._db.execute(days).fetchall()
    sink.close()
    return rows


@settings(max_examples=60, deadline=None)
@given(panes(), NAMES)
def test_lines_and_rows_of_a_block_are_those_of_its_points(
    tmp_path_factory: pytest.TempPathFactory, windows: PaneWindows, stream: str
) -> None:
    blocks, points = list(WindowBlock.of(stream, windows)), window_points(stream, windows)
    blocks = [WindowBlock.unpacked(block.packed()) for block in blocks]
    lines = [line for block in blocks for line in lines_of(block).decode().split("\n")]
    assert sorted(lines) == sorted(map(line_of, points))
    assert stored(tmp_path_factory.mktemp("a"), list(blocks)) == stored(tmp_path_factory.mktemp("b"), list(points))


def windows_at(time_ms: int, value: int, names: tuple[str, ...] = ("a", "b", "c")) -> PaneWindows:
    rows = np.full((2, len(names), WIDTH), value, dtype=np.int64)
    return PaneWindows("s", [time_ms] * len(names), list(names), ["m"] * len(names), ["pane", "7d"], rows)


def test_the_last_write_wins_whatever_it_is_part_of(tmp_path: Path) -> None:
    """Points and blocks of one series and time, in one batch and after each other."""
    old, new = windows_at(5, 1), windows_at(5, 2)
    (old_block,), (new_block,) = WindowBlock.of("s", old), WindowBlock.of("s", new)
    old_points, new_points = window_points("s", old), window_points("s", new)
    other = Point("models", (("model_id", "m"),), 5, (("x", 1),))
    expected = stored(tmp_path / "new", [*new_points, other])
    orders: dict[str, list[list[Any]]] = {
        "points, block": [[*old_points, other, new_block]],
        "block, points": [[old_block, *new_points, other]],
        "block, block": [[old_block, new_block, other]],
        "after each other": [[old_block], [*new_points, other]],
        "and the other way": [[*old_points, other], [new_block]],
        "again": [[new_block, other], [new_block, other]],
    }
    for name, batches in orders.items():
        assert stored(tmp_path / name, *batches) == expected, name


def test_a_batch_that_was_not_written_is_written_whole_later(tmp_path: Path) -> None:
    """The file has no room for a while: what was remembered of it then must not be believed."""
    sink = SQLiteSink(tmp_path / "store.sqlite")
    names = tuple(f"slice-{n}" for n in range(700))
    batches = [Batch(list(WindowBlock.of("s", windows_at(k * DAY_MS, k, names)))) for k in range(3)]
    pages = sink._db.execute("PRAGMA page_count").fetchone()[0]
    for batch in batches:
        sink._db.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(SinkError, match="full"):
            sink.write(batch)
        sink._db.execute("PRAGMA max_page_count = 1000000")
        sink.write(batch)
        pages = sink._db.execute("PRAGMA page_count").fetchone()[0]
    rows = sink._db.execute("SELECT * FROM points ORDER BY 1, 2, 3").fetchall()
    days = sink._db.execute("SELECT count(*), count(DISTINCT series_id) FROM window_days").fetchone()
    sink.close()
    assert (len(rows), days) == (2 * 3 * 700, (2 * 3 * 700, 2 * 700))
    assert rows == [row for row in stored(tmp_path / "at once", *(batch.parts for batch in batches)) if row[4]]


@pytest.mark.parametrize("make", ["block", "points"])
def test_what_no_text_can_hold_is_said_to_be_so(tmp_path: Path, make: str) -> None:
    windows = windows_at(5, 1, ("\ud800",))
    parts = list(WindowBlock.of("s", windows)) if make == "block" else window_points("s", windows)
    sink = SQLiteSink(tmp_path / "store.sqlite")
    with pytest.raises(Unwritable, match=f"a {make.removesuffix('s')} of .* cannot be written: .*surrogates"):
        sink.write(Batch(parts))
    sink.close()


def test_one_who_knows_points_alone_sees_points() -> None:
    windows = windows_at(5, 1)
    single = Point("models", (), 1, (("n", 1),))
    batch = Batch([single, *WindowBlock.of("s", windows)])
    expected = [single, *window_points("s", windows)]
    assert (list(batch), len(batch), batch[0], batch[-2:]) == (expected, 7, single, expected[-2:])
    assert single in batch
