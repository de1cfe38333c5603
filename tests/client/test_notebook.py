"""The notebook beside the client runs as it stands, and shows what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need

NOTEBOOK = Path(__file__).parents[2] / "stream_app/client/analysis.ipynb"
_RUN = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=150, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Its cells of code with their outputs; a kernel of its own has run them."""
    for package in ("nbclient", "ipykernel"):
        need(package)
    folder = tmp_path_factory.mktemp("notebook")
    out, commands = folder / "run.ipynb", Path(sys.executable).parent
    env = {
        **os.environ,
        **{name: str(folder) for name in ("TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR")},
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
    }
    words = [sys.executable, "-c", _RUN, str(NOTEBOOK), str(out)]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr[-3_000:]
    return [cell for cell in need("nbformat").read(out, as_version=4).cells if cell.cell_type == "code"]


def shown(cell: Any, kind: str = "text/plain") -> str:
    """What a cell shows, as text."""
    return "".join(one.text if one.output_type == "stream" else one.data.get(kind, "") for one in cell.outputs)


@pytest.mark.timeout(180)
def test_the_notebook_runs_and_shows_what_it_says(run: list[Any]) -> None:
    _, summary, said, incidents, scores, density, shares, explained = run
    assert "3,600 rows of events.csv" in shown(summary)
    assert "Look next: signals.jsonl" in shown(summary)
    assert "'open'" in shown(said)
    assert "severity" in shown(incidents)
    assert all(name in shown(scores) for name in ("Dongsi", "Gucheng", "Tiantan", "strange"))
    assert "<table>" in shown(density, "text/html")
    assert "25 degrees hotter" in shown(shares)
    assert "<table>" in shown(explained, "text/html")


def test_what_it_shows_is_not_kept_in_it() -> None:
    cells = need("nbformat").read(NOTEBOOK, as_version=4).cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code")
