"""How far a command is, as lines on a pipe and as a bar at a terminal."""

from __future__ import annotations

import io

from rich.console import Console

from stream_app.progress import Progressing


def test_a_pipe_gets_a_line_now_and_then_with_rows_rate_and_what_remains() -> None:
    now = [0.0]
    written = io.StringIO()
    with Progressing(Console(file=written, width=20), "scoring", "rows", lambda: now[0]) as told:
        for tenth in range(1, 11):
            now[0] += 1.5
            told(tenth * 1_000, tenth / 10)
    assert written.getvalue().splitlines() == [
        "scoring: 2,000 rows, 667 a second, 20%, about 12 s to go",
        "scoring: 4,000 rows, 667 a second, 40%, about 9 s to go",
        "scoring: 6,000 rows, 667 a second, 60%, about 6 s to go",
        "scoring: 8,000 rows, 667 a second, 80%, about 3 s to go",
        "scoring: 10,000 rows, 667 a second, 100%, about 0 s to go",
    ]
    assert round(told.rate) == 667


def test_where_nobody_knows_the_end_a_line_comes_twice_a_minute() -> None:
    now = [0.0]
    written = io.StringIO()
    with Progressing(Console(file=written), "scoring", "rows", lambda: now[0]) as told:
        for second in range(1, 91):
            now[0] = float(second)
            told(second * 100)
    assert [line.split()[1] for line in written.getvalue().splitlines()] == ["3,000", "6,000", "9,000"]


def test_a_terminal_gets_one_bar() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=120)
    with Progressing(console, "scoring", "rows") as told:
        told(500, 0.5)
        told(1_000, 1.0)
    assert "1,000 rows" in written.getvalue()
    assert "to go" not in written.getvalue()
