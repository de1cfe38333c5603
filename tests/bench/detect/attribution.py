"""Attribution: whether the features that changed are those that evidence names first.

Columns come in pairs: correlated .7 within, .2 across, and each with a location and scale of its own, so that two
columns that change places show in both. ``top1`` is the share of changes whose first blamed feature is one that
changed; ``top2`` that of changes all of whose features (one, or two) are among the first two. Changes that were not
found count as wrong.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowlib.table import Floats
from tests.bench.detect import product
from tests.bench.detect.delay import Case
from tests.bench.detect.pool import each
from tests.bench.detect.streams import Change, Planted

D = 8
KINDS = {"shift": "shift_1", "scale": "scale_1.5", "swap": "swap", "lost_pair": "dependence"}
"""What the bench calls a change to its kind in :mod:`tests.bench.detect.streams`."""


@dataclass(frozen=True)
class Named:
    """Of one change, whether it was found and named."""

    change: str
    found: bool
    top1: bool
    top2: bool


def measure(args: Namespace) -> dict[str, Any]:
    """Kind of change to ``{of, found, top1, top2}``, and ``all``."""
    named = [
        one for some in each(run, [_case(args, s) for s in range(1 if args.quick else 4)], args.jobs) for one in some
    ]
    return {kind: _shares([n for n in named if kind in (n.change, "all")]) for kind in (*KINDS, "all")}


def _shares(named: list[Named]) -> dict[str, Any]:
    n = max(len(named), 1)
    top1, top2 = (round(sum(right) / n, 3) for right in ([x.top1 for x in named], [x.top2 for x in named]))
    return {"of": len(named), "found": sum(x.found for x in named), "top1": top1, "top2": top2}


def _correlation() -> list[list[float]]:
    out: Floats = np.full((D, D), 0.2)
    for j in range(0, D, 2):
        out[j : j + 2, j : j + 2] = 0.7
    np.fill_diagonal(out, 1.0)
    return [list(row) for row in out]


def _case(args: Namespace, seed: int) -> Case:
    g = np.random.default_rng([3_000, seed])
    each_kind = 2 if args.quick else 12
    changes, called = dict[int, Change](), dict[int, str]()
    for n in range(len(KINDS) * each_kind):
        called[n] = list(KINDS)[n % len(KINDS)]
        first, other = (int(j) for j in g.choice(D, 2, replace=False))
        features = {"swap": (first, other), "lost_pair": (first, first ^ 1)}.get(called[n], (first,))
        changes[n] = Change(KINDS[called[n]], features)
    planted = Planted(
        slices=12 if args.quick else 60,
        monitored=96 if args.quick else 360,
        change_pane=250 if args.quick else 360,
        changes=changes,
        correlation=_correlation(),
        mean=tuple(g.permutation(D) * 0.6),
        sd=tuple(np.exp(g.normal(0, 0.3, D))),
        seed=3_000 + seed,
    )
    return Case(planted, {planted.names()[n]: name for n, name in called.items()}, args.planted)


def run(case: Case) -> list[Named]:
    """Each change of a stream, and what is named when it is found."""
    planted = case.planted
    events = planted.events()
    density = product.trained(planted, events, plant=case.plant)
    opened = product.watched(planted, events, density).opened()
    first: dict[str, product.Seen] = {}
    for seen in opened:
        if seen.pane >= planted.change_pane:
            first.setdefault(seen.slice_, seen)
    return [
        _named(change, first.get(name), {f"x{j}" for j in planted.changes[n].features})
        for n, (name, change) in enumerate(case.called.items())
    ]


def _named(change: str, seen: product.Seen | None, truth: set[str]) -> Named:
    if seen is None:
        return Named(change, False, False, False)
    return Named(change, True, bool(truth & set(seen.features[:1])), truth <= set(seen.features[:2]))


def table(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """For people; the first line names the columns."""
    lines = [("change", "found", "top 1", "top 2")]
    return lines + [(k, f"{r['found']} of {r['of']}", f"{r['top1']:.2f}", f"{r['top2']:.2f}") for k, r in found.items()]
