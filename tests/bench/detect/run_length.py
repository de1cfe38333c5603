"""Run length: how many slices and panes a false alarm takes where nothing changes.

One stream for every setting and seed is scored once; WATCH sees what SCORE made of it once for each A, with each of
the default rules speaking from A times their number on: so all rules together keep A. An alarm is a slice whose
evidence comes to that, or all together, under whatever rule. What counts as ``slice_panes`` are the panes of slices
without one; it may come to that again as soon as it is over.
``lower95`` is ``slice_panes`` over the exact upper 95 % bound of the mean of a Poisson number of which ``alarms`` were
seen (Garwood, Biometrika 28, 1936).
"""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from dataclasses import dataclass
from typing import Any

from scipy.stats import chi2

from stream_app.config import Config
from tests.bench.detect import product
from tests.bench.detect.pool import each
from tests.bench.detect.product import Watched
from tests.bench.detect.streams import Planted

LEVELS = (1e3, 1e4)
SEEDS = 3


@dataclass(frozen=True)
class Setting:
    """What one process measures."""

    planted: Planted
    plant: bool


def measure(args: Namespace) -> list[dict[str, Any]]:
    """Rows ``{A, phi, slices_differ, alarms, slice_panes, lower95}``."""
    slices, monitored, seeds = (20, 96, 1) if args.quick else (60, 1_440, SEEDS)
    cases = [(phi, differ) for differ in (False, True) for phi in (0.0, 0.5, 0.9)]
    settings = [
        Setting(Planted(slices=slices, monitored=monitored, phi=phi, differ=differ, seed=1_000 + seed), args.planted)
        for phi, differ in cases
        for seed in range(seeds)
    ]
    found = each(one, settings, args.jobs)
    rows = []
    for level in LEVELS:
        for phi, differ in cases:
            own = [
                counts[level]
                for setting, counts in zip(settings, found, strict=True)
                if (setting.planted.phi, setting.planted.differ) == (phi, differ)
            ]
            rows.append(_row(level, phi, differ, sum(a for a, _ in own), sum(n for _, n in own)))
    return rows


def _row(level: float, phi: float, differ: bool, alarms: int, slice_panes: int) -> dict[str, Any]:
    return {
        "A": level,
        "phi": phi,
        "slices_differ": differ,
        "alarms": alarms,
        "slice_panes": slice_panes,
        "lower95": round(lower95(alarms, slice_panes)),
    }


def lower95(alarms: int, slice_panes: int) -> float:
    """Lower 95 % bound of the mean run length."""
    return float(slice_panes / (chi2.ppf(0.95, 2 * (alarms + 1)) / 2))


def one(setting: Setting) -> dict[float, tuple[int, int]]:
    """``(alarms, slice_panes)`` at each level."""
    planted = setting.planted
    events = planted.events()
    density = product.trained(planted, events, plant=setting.plant)
    rows = product.keyed(events.span(planted.reference, planted.panes))
    first = product.watch(speaking_at(product.planted_config(planted), LEVELS[0]), density, rows)
    found = {LEVELS[0]: counted(first, planted)}
    for level in LEVELS[1:]:
        config = speaking_at(product.planted_config(planted), level)
        found[level] = counted(product.watch_again(config, density, first), planted)
    return found


def speaking_at(config: Config, level: float) -> Config:
    """The same rules keeping a level together."""
    return product.at_evidence(config, level * len(config.rules))


def counted(watched: Watched, planted: Planted) -> tuple[int, int]:
    """``(alarms, slice_panes)`` of a run."""
    opened, is_open = len(watched.opened()), set[tuple[str, int]]()
    since: dict[tuple[str, str], int] = {}
    for seen in watched.seen:
        if seen.state == "open":
            since[seen.rule, seen.slice_] = seen.pane
        else:
            _cover(is_open, seen.slice_, since.pop((seen.rule, seen.slice_)), seen.pane)
    for (_, slice_), pane in since.items():
        _cover(is_open, slice_, pane, planted.panes)
    exposed = planted.slices * planted.monitored
    own = set(planted.names())
    covered = sum(name in own for name, _ in is_open)
    if opened:
        by = Counter(f"{s.rule}:{s.channels[0] if s.channels else ''}" for s in watched.opened())
        print(f"  φ {planted.phi} differ {planted.differ}: {opened} alarms {dict(by)}, {covered} open", flush=True)
    return opened, exposed - covered


def _cover(is_open: set[tuple[str, int]], slice_: str, first: int, end: int) -> None:
    is_open.update((slice_, pane) for pane in range(first + 1, end + 1))


def table(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """For people; the first line names the columns."""
    lines = [("A", "φ", "slices", "alarms", "slice-panes", "run length ≥", "kept")]
    for row in rows:
        kept = "yes" if row["lower95"] >= row["A"] else "NO"
        lines.append(
            (
                f"{row['A']:.0f}",
                f"{row['phi']}",
                "differ" if row["slices_differ"] else "alike",
                f"{row['alarms']}",
                f"{row['slice_panes']:,}",
                f"{row['lower95']:,}",
                kept,
            )
        )
    return lines
