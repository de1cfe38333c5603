"""Public sets beside their published rows: ``{set, subset, metric, value, published_best, published_name, …}``.

Each set is a module of :mod:`tests.bench.detect.public_sets` with its own scorer, checked against published detectors;
each says there what was chosen, and on which other data. The sets lie in a folder of their own and are no part of the
project.
"""

from __future__ import annotations

import importlib
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

SETS = ("rbf", "tep", "skab", "tsbad", "nab")


def measure(data: Path, args: Namespace) -> list[dict[str, Any]]:
    """All rows of all sets; ``data`` holds ``bench/`` or is that folder."""
    folder = data / "bench" if (data / "bench").is_dir() else data
    if not (folder / "nab.csv.gz").exists():
        raise SystemExit(f"no public sets in {folder}: pass the folder that holds nab.csv.gz, or bench/ with it")
    rows: list[dict[str, Any]] = []
    for name in SETS:
        began_s = time.monotonic()
        rows += importlib.import_module(f"tests.bench.detect.public_sets.{name}").measure(folder, args.quick)
        print(f"{time.monotonic() - began_s:6.0f} s  public {name}", flush=True)
    return rows
