"""Delay: how many panes after a change evidence of A comes, what it says has changed, and in which feature.

The pane of the change counts as the first: what is found at its end has a delay of one pane. What counts is where the
changed slice first comes to A, under whatever rule; a change that does not, or on a slice that had come to it before,
is not found and counts as infinitely late. ``channel_right`` and ``feature_right`` are shares of those found, by what
is named first; ``feature_right`` is null where no feature is to blame.
"""

from __future__ import annotations

import math
from argparse import Namespace
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.pane_layout import TOGETHER
from tests.bench.detect import product
from tests.bench.detect.pool import each
from tests.bench.detect.streams import Change, Planted, one_pair

CHANNELS = {
    "shift_1": "location",
    "shift_0.5": "location",
    "shift_2": "location",
    "scale_1.5": "scale",
    "dependence": "dependence",
    "missing_20": "missing",
    "volume_20": "volume",
    "silent": "silence",
    "stuck": "stuck",
    "begins_to_vary": "variation",
    "rare_group": "location",
    "shift_1_independent": "location",
}
"""Change to what it should be called."""

MUST = {
    "shift_1": 6,
    "shift_0.5": 30,
    "shift_2": 2,
    "scale_1.5": 20,
    "dependence": 45,
    "missing_20": 5,
    "volume_20": 10,
    "silent": 3,
    "stuck": 8,
    "begins_to_vary": 24,
    "rare_group": 15,
    "shift_1_independent": 9,
}
"""Median number of panes that is promised."""

CORRELATED = ("shift_1", "shift_0.5", "shift_2", "scale_1.5", "missing_20", "volume_20", "silent", "stuck")
WITHOUT_FEATURE = ("volume_20", "silent")
D = 8


@dataclass(frozen=True)
class Case:
    """A stream, and what the bench calls the changes of its slices (of all slices at once under the name "")."""

    planted: Planted
    called: dict[str, str]
    plant: bool


@dataclass(frozen=True)
class Found:
    """What became of one change; ``panes`` is infinite where nothing did."""

    change: str
    panes: float = math.inf
    rule: str = ""
    channel: bool = False
    feature: bool = False
    said: str = ""


def measure(args: Namespace) -> list[dict[str, Any]]:
    """Rows ``{change, found, of, median_panes, p90_panes, channel_right, feature_right}``."""
    found = [one for some in each(run, cases(args), args.jobs) for one in some]
    return [row(change, [f for f in found if f.change == change]) for change in CHANNELS]


def cases(args: Namespace) -> list[Case]:
    """All streams; the peers get them too."""
    return [case for make in (_correlated, _independent, _constant, _rare) for case in make(args)]


def row(change: str, found: list[Found]) -> dict[str, Any]:
    """The figures of one kind of change."""
    panes = np.sort([f.panes for f in found])
    right = [f for f in found if math.isfinite(f.panes)]
    for wrong in [f for f in right if not f.channel][:5]:
        print(f"  {change}: after {wrong.panes:.0f} panes {wrong.rule} said {wrong.said}", flush=True)
    return {
        "change": change,
        "found": len(right),
        "of": len(found),
        "median_panes": _finite(np.quantile(panes, 0.5, method="higher")),
        "p90_panes": _finite(np.quantile(panes, 0.9, method="higher")),
        "channel_right": _share([f.channel for f in right]),
        "feature_right": None if change in WITHOUT_FEATURE else _share([f.feature for f in right]),
    }


def _finite(panes: float) -> float | None:
    return float(panes) if math.isfinite(panes) else None


def _share(right: list[bool]) -> float:
    return round(sum(right) / max(len(right), 1), 3)


def run(case: Case) -> list[Found]:
    """Each change of a stream, and where it was found."""
    planted = case.planted
    events = planted.events()
    density = product.trained(planted, events, plant=case.plant)
    watched = product.watched(planted, events, density)
    names, out = planted.names(), []
    early = [seen for seen in watched.opened() if seen.pane < planted.change_pane]
    if early:
        said = [(s.rule, s.slice_, s.pane, s.channels[:1], s.features[:1]) for s in early]
        print(f"  before the change: {said}", flush=True)
    for slice_, change in case.called.items():
        number = names.index(slice_) if slice_ else 0
        seen = next(
            (
                seen
                for seen in watched.opened()
                if seen.pane >= planted.change_pane and seen.slice_ == (slice_ or TOGETHER)
            ),
            None,
        )
        out.append(_found(change, planted, planted.changes[number], seen))
    return out


def _found(called: str, planted: Planted, change: Change, seen: product.Seen | None) -> Found:
    if seen is None:
        return Found(called)
    channel = seen.channels[0] if seen.channels else ""
    feature = seen.features[0] if seen.features else ""
    return Found(
        called,
        seen.pane - planted.change_pane + 1,
        seen.rule,
        CHANNELS[called] == channel,
        feature in {f"x{j}" for j in change.features},
        f"{channel} {', '.join(seen.features[:2])}",
    )


def _slices(args: Namespace, kinds: tuple[str, ...], each_kind: int, seed: int) -> dict[int, tuple[str, int]]:
    """Slice number to kind and feature: features in turn, another one first for every stream."""
    return {n: (kind, (n + n // D + seed) % D) for n, kind in enumerate(kinds * each_kind)}


def _size(args: Namespace) -> dict[str, int]:
    if args.quick:
        return {"slices": 24, "monitored": 96, "change_pane": 288}
    return {"slices": 60, "monitored": 480, "change_pane": 480}


def _correlated(args: Namespace) -> list[Case]:
    """Every pair correlated .5, eight kinds of change."""
    cases = []
    for seed in range(1 if args.quick else 8):
        chosen = _slices(args, CORRELATED, 1 if args.quick else 5, seed)
        changes = {n: Change(kind, () if kind in WITHOUT_FEATURE else (j,)) for n, (kind, j) in chosen.items()}
        planted = Planted(changes=changes, seed=2_000 + seed, **_size(args))
        cases.append(Case(planted, {planted.names()[n]: kind for n, (kind, _) in chosen.items()}, args.planted))
    return cases


def _independent(args: Namespace) -> list[Case]:
    """Independent columns but for one pair, which may lose its correlation."""
    cases = []
    for seed in range(1 if args.quick else 8):
        first, second = pair = (seed, (seed + 3) % D)
        others = [j for j in range(D) if j not in pair]
        changes, called = dict[int, Change](), dict[int, str]()
        for n in range(2 if args.quick else 10):
            if n % 2:
                changes[n], called[n] = (
                    Change("shift_1", (others[(n // 2 + seed) % len(others)],)),
                    "shift_1_independent",
                )
            else:
                changes[n], called[n] = Change("dependence", (first, second)), "dependence"
        planted = Planted(changes=changes, correlation=one_pair(D, pair), seed=2_100 + seed, **_size(args))
        cases.append(Case(planted, {planted.names()[n]: name for n, name in called.items()}, args.planted))
    return cases


def _constant(args: Namespace) -> list[Case]:
    """A column that is constant in the whole reference begins to vary in some slices."""
    cases = []
    for seed in range(1 if args.quick else 4):
        column = (3 * seed + 1) % D
        changes = {n: Change("begins_to_vary", (column,)) for n in range(2 if args.quick else 10)}
        planted = Planted(changes=changes, constant=(column,), seed=2_200 + seed, **_size(args))
        cases.append(Case(planted, {planted.names()[n]: "begins_to_vary" for n in changes}, args.planted))
    return cases


def _rare(args: Namespace) -> list[Case]:
    """A hundred slices with hardly any events of their own all shift: the group is looked for."""
    cases = []
    for seed in range(1 if args.quick else 40):
        feature = seed % D
        changes = {n: Change("shift_0.5", (feature,)) for n in range(100)}
        planted = Planted(100, monitored=240, change_pane=360, changes=changes, per_pane=0.1, seed=2_300 + seed)
        cases.append(Case(planted, {"": "rare_group"}, args.planted))
    return cases


def table(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """For people; the first line names the columns."""
    lines = [("change", "found", "median", "p90", "must be ≤", "channel right", "feature right")]
    for r in rows:
        figures = [r["median_panes"], r["p90_panes"], MUST[r["change"]], r["channel_right"], r["feature_right"]]
        cells = ["–" if figure is None else f"{figure:g}" for figure in figures]
        lines.append((r["change"], f"{r['found']} of {r['of']}", *cells))
    return lines
