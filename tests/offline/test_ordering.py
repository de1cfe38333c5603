"""A file that is not in order of time is brought into it, in bounded memory, and whoever asked is told so."""

from __future__ import annotations

import io
import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from flowlib.density import Density
from stream_app.config import Config
from stream_app.errors import TooManyDropped
from stream_app.offline import ordering
from stream_app.offline.ordering import Placed, in_order
from stream_app.offline.score import ScoreOptions, run_score
from tests.offline.serving import serving
from tests.stages.streams import bodies


@pytest.fixture
def cfg(tmp_path: Path, model: Density) -> Config:
    """A stream with a model in service, and its events one series after the other."""
    cfg = serving(tmp_path, model)
    events = sorted((json.loads(body) for body in bodies(5, 600, 30_000)), key=lambda event: event["t"])
    unique = [event | {"id": f"e{i}"} for i, event in enumerate(events)]
    unique[300] |= {"t": "at some time"}
    write(cfg.path("in-order.jsonl"), unique)
    write(cfg.path("events.jsonl"), [event for i in range(3) for event in unique[i::3]])
    return cfg


def write(path: Path, events: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))


def score(cfg: Config, name: str, **options: object) -> tuple[str, str]:
    """What the command prints, and what it warns of."""
    out, err = (Console(width=400, record=True, file=io.StringIO()) for _ in range(2))
    run_score(cfg, cfg.path(name), ScoreOptions(**options), out, err)  # type: ignore[arg-type]
    return out.export_text(), err.export_text()


def test_a_file_of_series_one_after_the_other_says_what_it_says_in_order(cfg: Config) -> None:
    expected, quiet = score(cfg, "in-order.jsonl", signals=cfg.path("expected.jsonl"))
    assert "order of" not in quiet
    found, told = score(cfg, "events.jsonl", signals=cfg.path("found.jsonl"))
    assert "of the rows would come too late to count, since the file is not in order of t: it is brought into" in told
    assert "600 rows of" in found
    assert not re.search(r"^ *late ", found, re.MULTILINE), "no row of the table"
    assert said(cfg.path("found.jsonl")) == said(cfg.path("expected.jsonl"))
    assert "line 101: " in found, "the row without a time is named by its own line"
    assert "line 301: " in expected


def said(path: Path) -> str:
    """Its signals; where a row stood, but for its time, is left out: the one without a time stands elsewhere."""
    return re.sub(r'"offset": \d+', "", path.read_text())


def test_as_it_is_the_rows_are_late(cfg: Config) -> None:
    with pytest.raises(TooManyDropped, match=r" late \("):
        score(cfg, "events.jsonl", sort=False)


@pytest.mark.parametrize("most", [5, 10_000])
def test_parts_are_merged_in_order_and_rows_of_one_time_keep_theirs(
    most: int, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(ordering, "ROWS_MAX", most)
    chance = random.Random(seed)
    rows = [Placed(chance.randrange(9), i, None if i % 2 else b"k", b"v" * (i % 3)) for i in range(57)]
    assert list(in_order(rows)) == sorted(rows, key=lambda row: row.time_ms)


def test_one_time_of_another_year_makes_no_row_late() -> None:
    times = np.arange(2_000, dtype=np.int64) * 1_000
    times[10] += 10**12
    assert ordering._late(times, 5_000, 0) == 0.0
    assert ordering._late(times[::-1], 5_000, 0) > 0.9
