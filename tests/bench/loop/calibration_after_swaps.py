"""False alarms after one swap after the other, on data in which nothing changes.

Twenty swaps in a row, for five seeds: each round has its own ten weeks, of which more than 40,000 rows calibrate, and
the candidate enters service whether or not it is better (the likelihood gate is left out; all others count). The
family of the flow alternates, so that each model is a new one. ``ratio``: share of fresh events with p ≤ ``alpha``
over ``alpha``, mean over the seeds; ``calibration_ratio``: the mean over rounds and seeds, with its standard error.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from flowlib.table import Floats
from tests.bench.loop.worlds import Loop, failed, ordinary, stream_in, without_gates

ROUNDS, SEEDS, ALPHAS = 20, 5, (0.01, 0.0025)
DAYS, A_DAY = 70, 3_000
FLOWS = ("maf", "spline_coupling")
MODEL = {"max_steps": 300, "warm_steps": 200, "max_rows": 20_000}
MUST = (0.8, 1.25)


def measure(args: Namespace) -> dict[str, Any]:
    """``{calibration_after_swaps: rows of {round, alpha, ratio}, calibration_ratio: rows of {alpha, …}}``."""
    seeds, rounds, a_day = (1, 2, 600) if args.quick else (SEEDS, ROUNDS, A_DAY)
    ratios = list[Floats]()
    for seed in range(seeds):
        ratios.append(_ratios([args.seed, 2, seed], rounds, a_day))
        args.keep(_found(np.array(ratios), rounds, a_day))
    return _found(np.array(ratios), rounds, a_day)


def _found(found: Floats, rounds: int, a_day: int) -> dict[str, Any]:
    by_round = found.mean(axis=0)
    rows = [
        {
            "round": number + 1,
            "alpha": alpha,
            "ratio": float(by_round[number, i]),
            "by_seed": found[:, number, i].tolist(),
        }
        for number in range(rounds)
        for i, alpha in enumerate(ALPHAS)
    ]
    return {"calibration_after_swaps": rows, "calibration_ratio": [_mean(found[..., i], i, a_day) for i in (0, 1)]}


def _mean(ratios: Floats, number: int, a_day: int) -> dict[str, Any]:
    error = float(ratios.std(ddof=1) / np.sqrt(ratios.size))
    last = ratios[:, -5:].mean()
    calibrating = int(DAYS * 0.2) * a_day
    told = {
        "alpha": ALPHAS[number],
        "ratio": float(ratios.mean()),
        "standard_error": error,
        "last_5_rounds": float(last),
    }
    return {**told, "seeds": len(ratios), "rounds": ratios.shape[1], "calibration_rows": calibrating}


def _ratios(seed: list[int], rounds: int, a_day: int) -> Floats:
    """``(rounds, 2)`` share of alarms over nominal after each swap."""
    g, found = np.random.default_rng(seed), []
    with tempfile.TemporaryDirectory() as folder, without_gates("likelihood"):
        loop = Loop(stream_in(Path(folder), MODEL))
        for number in range(rounds + 1):
            settings = msgspec.structs.replace(loop.config.model, flow=FLOWS[number % 2])
            loop.config = msgspec.structs.replace(loop.config, model=settings)
            outcome = loop.ask(ordinary(g, DAYS, a_day, number * DAYS))
            if not loop.take(outcome):
                print(f"  seed {seed[-1]}, round {number}: no swap, {', '.join(failed(outcome))[:200]}", flush=True)
            assert loop.service is not None, outcome.notice.reason
            if number:
                p = loop.service.score(ordinary(g, 50, a_day)).p_value
                found.append([np.mean(p <= alpha) / alpha for alpha in ALPHAS])
    print(
        f"  seed {seed[-1]}: {len(loop.promoted) - 1} swaps, ratios {np.mean(found, axis=0).round(3).tolist()}",
        flush=True,
    )
    return np.array(found)


def lines(found: dict[str, Any]) -> list[tuple[object, ...]]:
    """For people; the first line names the columns."""
    must = f"[{MUST[0]:g}, {MUST[1]:g}]"
    rows = [
        (row["alpha"], f"{row['ratio']:.3f} ± {row['standard_error']:.3f}", f"{row['last_5_rounds']:.3f}", must)
        for row in found["calibration_ratio"]
    ]
    return [("alpha", "ratio", "last 5 rounds", "must be"), *rows]
