"""What the guides name exists, and what they show runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from stream_app.stages.detection.detectors.checks import check_detector

ROOT = Path(__file__).parents[1]
GUIDES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "flowlib/FINDINGS.md", "stream_app/worker/GUARANTEE.md")
TOPS = ("stream_app", "flowlib", "schemas", "tests", "infra")


def paths_of(text: str) -> set[str]:
    """Paths in backticks that begin with one of our folders."""
    quoted = re.findall(r"`([\w./-]+)`", text)
    return {path for path in quoted if path.split("/")[0] in TOPS and "/" in path}


@pytest.mark.parametrize("guide", GUIDES)
def test_the_paths_that_a_guide_names_exist(guide: str) -> None:
    missing = {path for path in paths_of((ROOT / guide).read_text()) if not (ROOT / path).exists()}
    assert missing == set()


def test_the_hops_are_files_of_the_tree() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    hops = text[text.index("### A dozen hops") : text.index("## Rooms")]
    names = set(re.findall(r"`([\w/]+\.py)`", hops))
    files = {str(path.relative_to(ROOT)) for top in TOPS[:3] for path in (ROOT / top).rglob("*.py")}
    assert len(names) > 15
    assert {name for name in names if not any(f"/{file}".endswith(f"/{name}") for file in files)} == set()


def test_the_detector_that_contributing_shows_passes_the_checks() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (source,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(source, names)
    check_detector(names["RareDetector"])


def test_the_path_check_sees_a_path() -> None:
    assert paths_of("see `stream_app/cli.py`, `schemas/json/` and `make check`") == {
        "stream_app/cli.py",
        "schemas/json/",
    }
