"""alibi-detect's online MMD, LSDD and CVM, in an environment of their own: ``make .make/bench-alibi``.

Its licence (Business Source License) and its numpy below 2 keep it out of the project's environment. The worker
(:mod:`tests.bench.detect.alibi_worker`) runs there, reads slices from one npz and writes each one's statistic, over the
detector's own threshold, to another. The ratio from which on it is an alarm is tuned here, as for all peers; one alarm
lasts until the ratio falls below it. The detectors share one reference, 500 rows of the pooled one: the slices are
alike. They are slow, so :data:`SLICES` slices of a kind and :data:`QUIET` change-free ones of each set are taken.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flowlib.table import Floats

if TYPE_CHECKING:  # the two import each other
    from tests.bench.detect.peers import Series

PYTHON = Path(".make/alibi/bin/python")
SLICES, QUIET = 20, 60
REFERENCE_ROWS = 500
VARIANTS = {
    "MMD, pane means, window 5": ("mmd", "panes", 5),
    "MMD, pane means, window 20": ("mmd", "panes", 20),
    "MMD, events, window 60": ("mmd", "events", 60),
    "LSDD, pane means, window 5": ("lsdd", "panes", 5),
    "LSDD, pane means, window 20": ("lsdd", "panes", 20),
    "LSDD, events, window 60": ("lsdd", "events", 60),
    "CVM, pane means, windows 5 and 20": ("cvm", "panes", 20),
    "CVM, events, windows 15 and 60": ("cvm", "events", 60),
}

Table = Callable[[str, str, "list[tuple[Series, list[int]]]"], list[dict[str, Any]]]


def measure(
    changed: list[Series], tune: list[Series], check: list[Series], table: Table, run_length: float
) -> list[dict[str, Any]]:
    """The rows of every variant; one row that says so where the environment is missing."""
    if not PYTHON.exists():
        return [{"detector": "alibi-detect", "setting": f"missing: run make .make/bench-alibi, which makes {PYTHON}"}]
    kinds = dict.fromkeys(one.change for one in changed)
    few = [one for kind in kinds for one in [s for s in changed if s.change == kind][:SLICES]]
    rows = []
    for name, (detector, level, window) in VARIANTS.items():
        given = [*tune[:QUIET], *few, *check[:QUIET]]
        ratios = _ratios(detector, level, window, given)
        limit = _limit(given[:QUIET], ratios[:QUIET], level, run_length)
        found = [(one, _alarms(one, r, level, limit)) for one, r in zip(given, ratios, strict=True)]
        rows += table(f"alibi-detect {name}", f"{limit:.3g} of its threshold", found[QUIET:])
        print(rows[-1], flush=True)
    return rows


def _input(one: Series, level: str) -> tuple[Floats, Any]:
    return (one.means, one.panes) if level == "panes" else (one.events, one.event_panes)


def _ratios(detector: str, level: str, window: int, given: list[Series]) -> list[Floats]:
    """What the worker says of each slice's monitored part."""
    before = [_input(one, level)[0][_input(one, level)[1] < one.start] for one in given[:QUIET]]
    pooled = np.concatenate(before)
    reference = pooled[np.random.default_rng(0).choice(len(pooled), REFERENCE_ROWS, replace=False)]
    rows = [_input(one, level)[0][_input(one, level)[1] >= one.start] for one in given]
    with tempfile.TemporaryDirectory() as folder:
        into, out = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(into, reference=reference, window=window, ends=np.cumsum([len(r) for r in rows]), rows=np.vstack(rows))
        worker = Path(__file__).with_name("alibi_worker.py")
        subprocess.run([PYTHON.absolute(), "-W", "ignore", worker, detector, into, out], check=True)
        with np.load(out) as arrays:
            return np.split(arrays["ratio"], np.cumsum([len(r) for r in rows])[:-1])


def _alarms(one: Series, ratio: Floats, level: str, limit: float) -> list[int]:
    panes = _input(one, level)[1]
    above = ratio >= limit
    return [int(pane) for pane in np.unique(panes[panes >= one.start][above & ~np.append(False, above[:-1])])]


def _limit(quiet: list[Series], ratios: list[Floats], level: str, run_length: float) -> float:
    """The smallest ratio with few enough alarms, to a hundredth of its logarithm."""
    allowed = sum(int((one.panes >= one.start).sum()) for one in quiet) / run_length
    for limit in np.exp(np.arange(-1.0, 4.0, 0.01)):
        if sum(len(_alarms(one, r, level, float(limit))) for one, r in zip(quiet, ratios, strict=True)) <= allowed:
            return float(limit)
    return float("inf")
