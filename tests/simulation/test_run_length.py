"""Run lengths of the default rules: false alarms as rare as promised, changes found soon.

Slices of one simulated stream are runs of their own, so that hundreds of runs cost one vectorised update a pane. What
counts as exposure are slices and panes up to a slice's first alarm; the interval is Garwood's, of a Poisson number.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.stats import chi2

from flowlib.table import Floats
from stream_app.config import RuleConfig
from stream_app.stages.detection.detectors.simulated import PANE_MS, Change, World, with_events
from stream_app.stages.detection.mixture import Mixture
from tests.stages.watch.blocks import DRIFT, FAULT

SLICES, PANES = 120, 300
LEVELS = (5.0, 50.0, 200.0)
RULES = {"drift": DRIFT, "fault": FAULT}
WORLDS = (0, 1, 2, 3)
RARE = (0, 1, 2, 3, 4, 5, 6)


def first_alarms(
    world: World, rule: str, levels: tuple[float, ...], panes: int, changes: dict[int, Change] | None = None
) -> Floats:
    """Panes until the group, and each slice, first reach each level ``(levels, slices + 1)``; inf where they do not."""
    made, group = (Mixture(world.config, RuleConfig(detectors=RULES[rule]), world.layout, max(levels)) for _ in "ab")
    first, at = np.full((len(levels), world.slices + 1), np.inf), np.array(levels)[:, None]
    for number, part in enumerate(world.parts(panes, 5, changes)):
        list(made.update([with_events(part)], [part], world.slices))
        list(group.update([], [], 1))
        for sums in made.group_sums():
            if sums is not None:
                group.add_group(0, part.reference, sums, int(part.start_ms[0]) + PANE_MS)
        statistics = np.concatenate([group.statistics(), made.statistics()])
        first = np.where(statistics >= at, np.minimum(first, number + 1), first)
    return first


def interval(alarms: int, exposure: float) -> tuple[float, float]:
    """95 % interval of the mean run length."""
    low, high = exposure / (chi2.ppf(0.975, 2 * alarms + 2) / 2), np.inf
    return float(low), float(exposure / (chi2.ppf(0.025, 2 * alarms) / 2) if alarms else high)


@pytest.mark.parametrize(
    ("rule", "phi", "differ"),
    [("drift", 0.0, False), ("drift", 0.0, True), ("drift", 0.5, False), ("drift", 0.5, True), ("fault", 0.0, False)],
)
def test_false_alarms_are_at_least_as_rare_as_promised(rule: str, phi: float, differ: bool, seed: int) -> None:
    world = World(d=4, slices=SLICES, rate=4.0, phi=phi, differ=differ, seed=seed)
    for level, first in zip(LEVELS, first_alarms(world, rule, LEVELS, PANES)[:, 1:], strict=True):
        exposure, alarms = float(np.minimum(first, PANES).sum()), int(np.isfinite(first).sum())
        low, high = interval(alarms, exposure)
        said = f"seed {seed}: {alarms} alarms in {exposure:.0f} slice-panes, run length in [{low:.0f}, {high:.0f}]"
        print(said)
        assert low >= level, f"{said}, promised at least {level:.0f}"
        assert alarms or level > 10 or rule == "fault", f"{said}: evidence is wasted where there are none at all"


@cache
def world(seed: int) -> World:
    """Fitted once for all changes."""
    return World(d=8, k=1, slices=40, seed=seed)


@pytest.mark.parametrize(
    ("rule", "change", "median"),
    [
        pytest.param("drift", Change(shift=1.0), 8, id="shift 1"),
        pytest.param("drift", Change(shift=0.5), 40, id="shift half"),
        pytest.param("drift", Change(shift=2.0), 2, id="shift 2"),
        pytest.param("drift", Change(scale=1.5), 20, id="scale"),
        pytest.param("drift", Change(dependence=0.6), 36, id="dependence"),
        pytest.param("drift", Change(varies=True), 3, id="varies"),
        pytest.param("fault", Change(missing=0.2), 12, id="missing"),
        pytest.param("fault", Change(rate=0.2), 8, id="a fifth of the events"),
        pytest.param("fault", Change(rate=0.0), 3, id="silence"),
        pytest.param("fault", Change(stuck=True), 4, id="stuck"),
    ],
)
def test_a_change_is_found_soon(rule: str, change: Change, median: int) -> None:
    """At A = 10⁴, six events a pane, slices alike, independent columns.

    Four worlds, always the same: how soon a change is found is a figure to hold, and chance has no part in it. The
    bounds are up to a fifth above the medians of 48 worlds (7, 33, 2, 17, 29, 3, 10, 7, 3, 4 panes), of which that of
    four worlds' 80 slices strays by a twentieth. A slice that does not change is found by these with a chance of
    panes / A at most; in these worlds none is.
    """
    changes, first = dict.fromkeys(range(0, 40, 2), change), []
    for seed in WORLDS:
        first.append(first_alarms(world(seed), rule, (10_000.0,), 2 * median + 20, changes)[0][1:])
    moved, still = np.concatenate(first)[::2], np.concatenate(first)[1::2]
    said = f"seeds {WORLDS}: median {np.median(moved):.1f}, slowest {moved.max():.0f} panes"
    print(said)
    assert np.median(moved) <= median, said
    assert (still > 2 * median).all(), f"{said}, and {(still <= 2 * median).sum()} slices that did not change"


def test_rare_slices_are_found_together() -> None:
    """A hundred slices of .1 events a pane, all of them shifted by half a standard deviation; always the same worlds.

    The bound is a fourth above their median (13). Worlds vary from 5 to 43 panes, 17 in the middle: five fresh ones
    would have to be given so much that the bound could not tell a rule that is slower by half.
    """
    changes, found = dict.fromkeys(range(100), Change(shift=0.5)), []
    for seed in RARE:
        rare = World(d=4, slices=100, rate=0.1, panes=480, seed=seed)
        found.append(first_alarms(rare, "drift", (10_000.0,), 60, changes)[0][0])
    assert np.median(found) <= 16, f"seeds {RARE}: {found} panes"
