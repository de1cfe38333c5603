"""Windows as rows of text: those in C++ are those in Python, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from stream_app.sinks import window_table
from stream_app.sinks.spool import Spool
from stream_app.sinks.sqlite import SQLiteSink
from stream_app.sinks.window_table import windows_of
from stream_app.stages.point_blocks import WindowBlock
from stream_app.stages.points import PaneWindows
from tests.sinks.test_blocks_alike import panes

_points = pytest.importorskip("stream_app.native._points", reason="there was no compiler")


@settings(max_examples=60, deadline=None)
@given(panes())
def test_texts_in_cpp_are_those_in_python(windows: PaneWindows) -> None:
    for block in WindowBlock.of("s", windows):
        fast = windows_of(block)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(window_table, "_points", None)
            assert windows_of(block) == fast


def test_each_row_has_its_values() -> None:
    columns = [np.array([1, -(2**63)]), b"[1.5,null]", (np.array([1, 0]), [b'"\xc3\xa4"', b'"b"'])]
    assert _points.rows(2, [b"<", b"|", b"|", b">"], columns) == ['<1|1.5|"b">', f'<{-(2**63)}|null|"ä">']
    assert _points.rows(0, [b"<", b">"], [np.zeros(0, np.int64)]) == []
    assert _points.rows(2, [b"x"], []) == ["x", "x"]


@pytest.mark.parametrize(
    ("n", "column"),
    [
        (2, np.array([1])),
        (1, np.array([1.0])),
        (1, np.array([1], dtype=np.int32)),
        (1, "text"),
        (2, b"[1.5]"),
        (1, b"1.5"),
        (1, b"["),
        (1, (np.array([1]), [b"a"])),
        (1, (np.array([-1]), [b"a"])),
        (1, (np.array([0]), ["a"])),
        (1, (np.array([0]),)),
        (-1, np.array([1])),
    ],
)
def test_what_is_no_column_of_so_many_is_refused(n: int, column: Any) -> None:
    with pytest.raises(ValueError, match=r"column|rows|text"):
        _points.rows(n, [b"<", b">"], [column])
    with pytest.raises(ValueError, match="one fewer"):
        _points.rows(1, [b"<"], [np.array([1])])


def test_files_have_pages_that_take_few_calls(tmp_path: Path) -> None:
    """Four times SQLite's own size: half the processor time of a row."""
    sink, spool = SQLiteSink(tmp_path / "store.sqlite"), Spool(tmp_path / "spool", 100)
    sizes = [db.execute("PRAGMA page_size").fetchone()[0] for db in (sink._db, spool._db)]
    sink.close()
    spool.close()
    assert sizes == [16_384, 16_384]
