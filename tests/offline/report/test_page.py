"""The page of a run: a verdict, incidents with curves, rates, calibration, what was dropped; nothing that is not so."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from flowlib.density import Density
from stream_app.config import Config
from stream_app.offline.report import drawing
from stream_app.offline.score import ScoreOptions, run_score
from tests.offline.serving import serving
from tests.stages.conftest import model
from tests.stages.streams import bodies

__all__ = ["model"]


@pytest.fixture
def cfg(tmp_path: Path, model: Density) -> Config:
    """A stream with a model in service."""
    return serving(tmp_path, model)


def page_of(cfg: Config, lines: list[bytes]) -> str:
    cfg.path("events.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    options = ScoreOptions(report=cfg.path("report.html"), max_dropped=1.0)
    run_score(cfg, cfg.path("events.jsonl"), options, Console(file=io.StringIO()), Console(quiet=True))
    return cfg.path("report.html").read_text(encoding="utf-8")


def test_a_run_with_incidents_shows_each_with_what_was_seen(cfg: Config) -> None:
    text = page_of(cfg, [*bodies(5, 900, 45_000), b"nonsense <b>"])
    first = re.search(r"<p class=verdict>(.*?)</p>", text)
    assert first is not None
    assert re.match(r"(One incident is|\d+ incidents are) open at the end", first[1]), first[1]
    headings = re.findall(r"<h2>(.*?)</h2>", text)
    assert headings[-4:] == ["Over time", "Slice by slice", "Calibration", "What was dropped"]
    assert all(re.match(r"(Critical|Warning|Info): ", heading) for heading in headings[:-4])
    drawn = re.findall(r'<figure role="img" aria-label="[^"]*"><svg.*?</svg>(?:.*?</svg>)?</figure>', text)
    assert drawn
    assert "usual for the hour" in text
    assert "nonsense &lt;b&gt;" in text
    assert "nonsense <b>" not in text
    assert not re.search(r"\b(nan|inf)\b", text)
    assert not re.search(r"<script|http", text)


def test_a_calm_run_says_that_nothing_changed_and_that_nothing_was_dropped(cfg: Config) -> None:
    text = page_of(cfg, bodies(5, 60, 3_000)[:20])
    assert "Nothing changed that the rules tell of." in text
    assert "No pane was closed" in text or "Slice by slice" in text


def test_a_value_that_is_sensitive_is_drawn_nowhere(cfg: Config) -> None:
    event = msgspec.structs.replace(cfg.event, sensitive=[*cfg.event.numeric])
    text = page_of(msgspec.structs.replace(cfg, event=event), bodies(5, 900, 45_000))
    assert "usual for the hour" not in text


def test_a_curve_is_whole_and_lies_within_its_frame() -> None:
    starts = np.arange(0, 11, dtype=np.int64) * 3_600_000
    seen = np.array([1.0, 2.0, np.nan, 4.0, 5.0, 100.0, 1.0, np.nan, np.nan, 2.0])
    spread = np.ones(10)
    text = drawing.curve(starts, seen, np.full(10, 2.0), spread, [(0, 7_200_000)])
    root = ET.fromstring(text)
    lines = [node for node in root.iter() if node.tag.endswith("polyline")]
    assert len(lines) == 1 + 3, "one that is expected, and a piece of what was seen between gaps"
    for line in lines:
        for x, y in (map(float, pair.split(",")) for pair in line.attrib["points"].split()):
            assert 0 <= x <= 1_000
            assert 0 <= y <= 150
    assert "nan" not in text
    assert "0.0% to 100.0%" in drawing.curve(starts, seen / 100, from_zero=True, as_share=True), "no share is above 1"
    assert drawing.curve(starts, np.full(10, np.nan)), "nothing to show is a frame"
