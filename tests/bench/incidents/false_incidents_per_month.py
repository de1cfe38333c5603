"""False incidents: how many open in a month in which nothing changes, against what is promised.

Hourly panes of slices that do not change, as SCORE would send them, through WATCH with both default rules, and JUDGE:
control, groups, joining and all. What opens is a false incident; it ends when WATCH and JUDGE say so, and its slice may
open another one. Settings above the default of 1 a month give rates that can be measured.

- ``measured``: incidents a month, ``low95`` to ``high95`` Garwood's interval of it (of a Poisson number).
- ``columns`` that vary, beside a constant and an absent one; ``rate`` events a pane and slice, whose means and scales
  differ from slice to slice. The reference was fitted on ``reference`` other panes of the same slices.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from typing import Any

from scipy.stats import chi2

from stream_app.config.alerts import MONTH_MS
from stream_app.stages.detection.detectors.simulated import PANE_MS, World
from tests.bench.detect.pool import each
from tests.bench.incidents.simulated import Simulated, config_of, played

CHUNK = 48
"""Panes that are simulated at a time."""


@dataclass(frozen=True)
class Quiet:
    """A stream in which nothing changes."""

    slices: int
    panes: int
    columns: int = 2
    rate: float = 4.0
    reference: int = 240
    settings: tuple[float, ...] = (1.0, 20.0, 500.0)
    seed: int = 23

    @property
    def world(self) -> World:
        """Its slices; they differ in mean and scale."""
        return World(
            d=self.columns, k=0, slices=self.slices, rate=self.rate, differ=True, panes=self.reference, seed=self.seed
        )


STREAMS = (
    Quiet(10, 7_200),
    Quiet(10, 7_200, columns=6, seed=24),
    Quiet(1_000, 480, rate=2.0),
    Quiet(10_000, 96, columns=1, rate=2.0, reference=120, settings=(20.0, 500.0)),
)


def measure(args: Namespace) -> list[dict[str, Any]]:
    """Rows, one a stream and setting."""
    streams = [Quiet(10, 240), Quiet(200, 48)] if args.quick else list(STREAMS)
    return [row for rows in each(measured, streams, args.jobs) for row in rows]


def measured(of: Quiet) -> list[dict[str, Any]]:
    """The rows of one stream: the same panes at each setting."""
    world = of.world
    runs = [Simulated(config_of(world, setting), world) for setting in of.settings]
    for first in range(0, of.panes, CHUNK):
        panes = min(CHUNK, of.panes - first)
        for partition, partials in played(world, panes, 1, 1 + first, first=first):
            for run in runs:
                run.feed(partition, partials)
    return [_row(of, setting, len(run.opened)) for setting, run in zip(of.settings, runs, strict=True)]


def _row(of: Quiet, setting: float, opened: int) -> dict[str, Any]:
    months = of.panes * PANE_MS / MONTH_MS
    low, high = interval(opened)
    return {
        "slices": of.slices,
        "setting": setting,
        "measured": round(opened / months, 3),
        "low95": round(low / months, 3),
        "high95": round(high / months, 3),
        "incidents": opened,
        "panes": of.panes,
        "columns": of.columns,
        "rate": of.rate,
        "reference": of.reference,
        "seed": of.seed,
    }


def interval(number: int) -> tuple[float, float]:
    """Garwood's 95 % interval of the mean of a Poisson number."""
    return float(chi2.ppf(0.025, 2 * number) / 2 if number else 0.0), float(chi2.ppf(0.975, 2 * number + 2) / 2)


def table(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """For people; the first line names the columns."""
    lines: list[tuple[str, ...]] = [("slices", "columns", "panes", "promised", "measured", "95 %", "kept")]
    for row in rows:
        kept = "yes" if row["low95"] <= row["setting"] else "NO"
        said = (f"{row['slices']:,}", str(row["columns"]), f"{row['panes']:,}", f"{row['setting']:g}")
        lines.append((*said, f"{row['measured']:g}", f"{row['low95']:g} to {row['high95']:g}", kept))
    return lines
