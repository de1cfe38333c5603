"""What slips past the flows when an attacker who knows them moves events a little: labelled anomalies of ADBench, and
faults put into its ordinary rows, at the level of the event rule. The attacks are those of ``driftflow evaluate``.

python -m tests.bench.flows --data ../shared/data/bench --out flows.json --only evasion
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flowlib import Density, FeatureSpec, FitConfig, MaximumLikelihood, Table, TrainConfig
from flowlib.attack import Box, at_random, descend, slips
from stream_app.trainer.data.admit import thin
from stream_app.trainer.gates.faults import faulty
from tests.bench.adbench import Case, load_case

FLOWS = ("maf", "spline_autoregressive", "spline_coupling", "ensemble")
SETS = ("thyroid", "annthyroid", "mammography", "cardio", "shuttle")
BUDGETS = (0.1, 0.25, 0.5, 1.0)
ALPHA = 0.01
"""Level at which a row is called strange: the sets have too few ordinary rows for the event rule's .0025."""

LABELLED, FAULTY = "labelled", "faulty"
_ROWS_MAX = 200
_STEPS_MAX = 600


def measure(
    folder: Path, sets: Sequence[str] = SETS, flows: Sequence[str] = FLOWS, progress: Callable[[str], None] = print
) -> dict[str, Any]:
    """Attack every flow on every set, and sum up."""
    cells: list[dict[str, Any]] = []
    for dataset in sets:
        case = load_case(folder, dataset, "normals", 0)
        for flow in flows:
            start_s = time.monotonic()
            cells += _cells(case, flow)
            progress(f"{dataset} {flow}: {time.monotonic() - start_s:.0f} s")
    means = [
        {"kind": kind, "flow": flow, "budget": budget, "sets": len(here), **_mean(here)}
        for kind in (LABELLED, FAULTY)
        for budget in BUDGETS
        for flow in flows
        if (here := [c for c in cells if (c["kind"], c["flow"], c["budget"]) == (kind, flow, budget)])
    ]
    return {"alpha": ALPHA, "means": means, "cells": cells}


def markdown(result: dict[str, Any]) -> str:
    """Shares of events that slip through, means over the sets."""
    lines = [
        f"Share that is not called strange at p <= {result['alpha']:g}, mean over the sets:",
        "",
        "| events | moved by | flow | as they are | gradient | at random | another model |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["means"]:
        shares = " | ".join(f"{row[name]:.1%}" for name in ("before", "after", "at_random", "transferred"))
        lines.append(f"| {row['kind']} | {row['budget']:g} sd | {row['flow']} | {shares} |")
    return "\n".join(lines)


def fit(case: Case, flow: str) -> tuple[Density, Table]:
    """A model of a set's ordinary rows, and those of them that it has not seen."""
    n = len(case.train)
    order = np.random.default_rng(case.seed).permutation(n)
    train, valid, calibration = (Table.of(case.train[part]) for part in np.split(order, [n * 6 // 10, n * 7 // 10]))
    config = FitConfig(flow, MaximumLikelihood(TrainConfig(max_steps=_STEPS_MAX)))
    spec = FeatureSpec(tuple(f"c{j}" for j in range(case.train.shape[1])))
    return Density.fit(spec, train, valid, calibration, 0, config), Table.of(case.test[~case.anomalous])


def _cells(case: Case, flow: str) -> Iterator[dict[str, Any]]:
    density, ordinary = fit(case, flow)
    other, _ = fit(case, "mixture")
    for kind, rows in _kinds(case, ordinary):
        before = float(slips(density, rows, ALPHA).mean())
        for budget in BUDGETS:
            box = Box.of(density, ordinary, budget)
            found = {
                "at_random": at_random(density, rows, box, ALPHA),
                "transferred": descend(other, rows, box, 1.0, starts=1),
            }
            found["after"] = descend(density, rows, box, ALPHA, tried=list(found.values()))
            shares = {name: float(slips(density, moved, ALPHA).mean()) for name, moved in found.items()}
            about = {"dataset": case.dataset, "flow": flow, "kind": kind, "budget": budget, "rows": len(rows)}
            yield {**about, "before": before, **shares}


def _kinds(case: Case, ordinary: Table) -> Iterator[tuple[str, Table]]:
    yield LABELLED, thin(Table.of(case.test[case.anomalous]), _ROWS_MAX)
    changed = [table.take(where).numeric for _, table, where in faulty(thin(ordinary, _ROWS_MAX), seed=0)]
    yield FAULTY, thin(Table.of(np.concatenate(changed)), 3 * _ROWS_MAX)


def _mean(cells: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {
        name: float(np.mean([cell[name] for cell in cells])) for name in ("before", "after", "at_random", "transferred")
    }
