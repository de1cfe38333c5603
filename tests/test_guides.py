"""What the guides name exists, and what they show runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from stream_app.config import load
from stream_app.stages.detection.detectors.checks import check_detector

ROOT = Path(__file__).parents[1]
GUIDES = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "flowlib/FINDINGS.md",
    "flowlib/README.md",
    "infra/README.md",
    "stream_app/HOWTO.md",
    "stream_app/stages/CONCEPTS.md",
    "stream_app/stages/detection/DETECTORS.md",
    "stream_app/trainer/MODELS.md",
    "stream_app/worker/GUARANTEE.md",
    "tests/bench/BENCHMARKS.md",
)
TOPS = ("stream_app", "flowlib", "schemas", "tests", "infra")


def paths_of(text: str) -> set[str]:
    """Paths in backticks that begin with one of our folders."""
    quoted = re.findall(r"`([\w./-]+)`", text)
    return {path for path in quoted if path.split("/")[0] in TOPS and "/" in path}


@pytest.mark.parametrize("guide", GUIDES)
def test_the_paths_that_a_guide_names_exist(guide: str) -> None:
    missing = {path for path in paths_of((ROOT / guide).read_text()) if not (ROOT / path).exists()}
    assert missing == set()


@pytest.mark.parametrize("guide", GUIDES)
def test_links_between_pages_lead_somewhere(guide: str) -> None:
    page = ROOT / guide
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    inside = [target for target in targets if "://" not in target]
    assert [target for target in inside if not (page.parent / target).exists()] == []


def test_every_page_is_found_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert [guide for guide in GUIDES[1:] if guide not in text and guide != "flowlib/FINDINGS.md"] == []


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


def test_configurations_that_the_guides_show_are_ones(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "stream_app/HOWTO.md").read_text(), flags=re.DOTALL)
    assert len(blocks) >= 2
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.toml"
        path.write_text(block if "[event]" in block else f"{_LEAST}{block}")
        load(path)


_LEAST = 'stream = "air"\n[event]\ntime_field = "t"\nnumeric = ["a"]\nslicings = [["country"]]\n'


def test_the_path_check_sees_a_path() -> None:
    assert paths_of("see `stream_app/cli.py`, `schemas/json/` and `make check`") == {
        "stream_app/cli.py",
        "schemas/json/",
    }
