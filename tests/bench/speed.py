"""How fast does it score: rows a second on one thread, ours and the peers in one interleaved run.

    python -m tests.bench.speed --out speed.json

At every size all contenders take turns, in several rounds, so that other work on the machine slows all of them. The
table gives medians with the least and the most; ratios and shares are medians over rounds of what was measured side by
side. Shares are of this machine's own float32 matrix product (1024³, one thread), with products that masks make zero
counted as if they were done.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flowlib.calibration import Calibration
from flowlib.engines import EngineError, build
from flowlib.flows import Maf
from tests.bench.contenders import OURS, PEERS, Contender, make

Progress = Callable[[str], None]
Rates = dict[tuple[str, int, int], list[float]]
"""Rows a second in each round, by contender, D and batch."""

DIMENSIONS, BATCHES = (8, 32, 64), (1, 32, 512, 4_096)
ROUNDS = 7
TURN_S = 0.03
"""Least length of a turn."""
BLOCK_S = 0.0005
"""Least length of a block of calls, far above the clock's grain."""


def measure(
    dimensions: Sequence[int] = DIMENSIONS,
    batches: Sequence[int] = BATCHES,
    contenders: Sequence[str] = (),
    rounds: int = ROUNDS,
    progress: Progress = print,
) -> dict[str, Any]:
    """Rows a second of every contender at every size, the share of the peak, and the two lines; see the module."""
    torch.set_num_threads(1)
    missing: dict[str, str] = {}
    fields = _prepare(dimensions, contenders or [*OURS, *PEERS], missing, progress)
    rates: Rates = {}
    peaks: dict[tuple[int, int], list[float]] = {}
    for turn in range(rounds):
        for d, n in itertools.product(dimensions, batches):
            peaks.setdefault((d, n), []).append(_peak())
            for (name, width), contender in fields.items():
                if width == d and (n == 1 or not contender.one_by_one):
                    rates.setdefault((name, d, n), []).append(_rate(contender.score, contender.prepare(_rows(n, d))))
        progress(f"speed: round {turn + 1} of {rounds}")
    gflops = np.array(list(peaks.values())) / 1e9
    table = [_row(cell, rates[cell], fields[cell[:2]].flops, peaks[cell[1:]]) for cell in rates]
    return {
        "threads": 1,
        "rounds": rounds,
        "peak_gflops": {"max": float(gflops.max()), "median": float(np.median(gflops))},
        "missing": missing,
        "table": table,
        "by_dimension": by_dimension(),
        "by_slices": by_slices(),
        "aims": _aims(rates, table),
    }


def _prepare(
    dimensions: Sequence[int], names: Sequence[str], missing: dict[str, str], progress: Progress
) -> dict[tuple[str, int], Contender]:
    ready = {}
    for name in names:
        for d in dimensions:
            try:
                ready[name, d] = make(name, d)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    for n in (1, 32):
                        ready[name, d].score(ready[name, d].prepare(_rows(n, d)))
            except (ImportError, EngineError) as error:
                missing[name] = str(error)
                ready.pop((name, d), None)
                break
        progress(f"speed: {name} {'missing: ' + missing[name] if name in missing else 'ready'}")
    return ready


def _rows(n: int, d: int) -> Any:
    return np.random.default_rng(n).standard_normal((n, d)).astype(np.float32)


def _rate(score: Callable[[Any], Any], rows: Any) -> float:
    """Rows a second of the fastest block of calls in a turn."""
    score(rows)  # what this contender needs comes into the cache again
    return float(len(rows) / _seconds(lambda: score(rows)))


def _peak() -> float:
    """Flops a second of a float32 matrix product."""
    a, b = torch.ones(1_024, 1_024), torch.ones(1_024, 1_024)
    return 2 * 1_024**3 / _seconds(lambda: torch.mm(a, b), 3 * TURN_S)


def _seconds(call: Callable[[], Any], turn_s: float = TURN_S) -> float:
    """Processor seconds of this thread for a call, the least of the blocks of a turn; waiting does not count."""
    best, calls, began, blocks = math.inf, 1, time.thread_time(), 0
    while blocks < 2 or time.thread_time() - began < turn_s:
        start = time.thread_time()
        for _ in range(calls):
            call()
        took = time.thread_time() - start
        if took < BLOCK_S and blocks == 0:
            calls *= 2
            continue
        best, blocks = min(best, took / calls), blocks + 1
    return best


def _row(cell: tuple[str, int, int], rates: list[float], flops: int, peaks: list[float]) -> dict[str, Any]:
    name, d, n = cell
    median = float(np.median(rates))
    return {
        "contender": name,
        "d": d,
        "batch": n,
        "rows_per_s": median,
        "min": min(rates),
        "max": max(rates),
        "share_of_peak": float(np.median(np.divide(rates, peaks))) * flops if flops else None,
    }


def by_dimension(dimensions: Sequence[int] = (16, 32, 64, 128)) -> list[dict[str, float]]:
    """Cost of a MAF whose hidden layers grow with D (4·D): nanoseconds a row, and the same over D²."""
    line = []
    for d in dimensions:
        engine = build(Maf(d, 0, torch.Generator().manual_seed(0), hidden=4 * d).eval())
        x = _rows(512, d)
        ns = 1e9 / max(_rate(lambda rows, run=engine: run(rows, rows[:, :0]), x) for _ in range(5))
        line.append({"d": d, "ns_per_row": ns, "ns_per_row_and_d2": ns / d**2})
    return line


def by_slices(slices: Sequence[int] = (1, 10, 100, 1_000)) -> list[dict[str, float]]:
    """Cost of scoring 4,096 rows of D = 8 and of their p-values, by how many slices they are of."""
    engine, x, line = build(Maf(8, 0, torch.Generator().manual_seed(0)).eval()), _rows(4_096, 8), []
    for m in slices:
        names = np.array([f"s{i % m}" for i in range(len(x))], dtype=object)
        z, ladj = engine(x, x[:, :0])
        squares = z.astype(np.float64) ** 2
        log_prob, gaps = (ladj - 0.5 * squares).sum(axis=1), np.zeros(z.shape, bool)
        calibration = Calibration.fit((), log_prob, squares.sum(axis=1), z, gaps, names)

        def score(rows: Any, reference: Calibration = calibration, slices: Any = names) -> Any:
            z, ladj = engine(rows, rows[:, :0])
            squares = z.astype(np.float64) ** 2
            surprise = reference.surprise((ladj - 0.5 * squares).sum(axis=1), squares.sum(axis=1))
            return reference.p_values(surprise, slices)

        line.append({"slices": m, "ns_per_row": 1e9 / max(_rate(score, x) for _ in range(5))})
    return line


def _aims(rates: Rates, table: list[dict[str, Any]]) -> list[str]:
    """Sentences on the aims of the engines, as far as they were measured."""
    shares = {(row["d"], row["batch"]): row["share_of_peak"] for row in table if row["contender"] == "maf fused"}
    trees, spline, sentences = "river HalfSpaceTrees(25)", "spline_autoregressive", []
    for d in sorted({row["d"] for row in table}):
        if (d, 512) in shares:
            sentences.append(f"D={d}: MAF at {shares[d, 512]:.0%} of the peak at batch 512 (aim 95%)")
        for ours, theirs, n, aim in (("maf fused", trees, 1, 2), (f"{spline} fused", f"{spline} torchscript", 512, 6)):
            if (ours, d, n) in rates and (theirs, d, n) in rates:
                ratio = float(np.median(np.divide(rates[ours, d, n], rates[theirs, d, n])))
                sentences.append(f"D={d}: {ours} {ratio:.1f} times {theirs} at batch {n} (aim {aim})")
    return sentences


def markdown(result: dict[str, Any]) -> str:
    """The table for people: thousands of rows a second, median (least–most)."""
    dimensions = sorted({row["d"] for row in result["table"]})
    batches = sorted({row["batch"] for row in result["table"]})
    rates = {(row["contender"], row["d"], row["batch"]): row for row in result["table"]}
    lines = []
    for d in dimensions:
        lines += ["", f"**D = {d}**, thousands of rows a second, one thread: median (least–most)", ""]
        lines += [
            "| contender | " + " | ".join(f"b{n}" for n in batches) + " | of peak, b512 |",
            "|---" * (len(batches) + 2) + "|",
        ]
        for name in dict.fromkeys(row["contender"] for row in result["table"]):
            row = [rates.get((name, d, n)) for n in batches]
            share = (rates.get((name, d, 512)) or {}).get("share_of_peak")
            figures = [_thousands(cell) if cell else "–" for cell in row]
            lines.append(f"| {name} | {' | '.join(figures)} | {f'{share:.0%}' if share else '–'} |")
    for line in ("by_dimension", "by_slices"):
        lines += ["", *(", ".join(f"{key} {value:.4g}" for key, value in row.items()) for row in result[line])]
    return "\n".join([*lines, "", *result["aims"], *(f"missing: {n}: {why}" for n, why in result["missing"].items())])


def _thousands(row: dict[str, Any]) -> str:
    return f"{row['rows_per_s'] / 1e3:.3g} ({row['min'] / 1e3:.3g}–{row['max'] / 1e3:.3g})"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="rows a second on one thread, beside the peers")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    parser.add_argument("--dimensions", nargs="*", type=int, default=DIMENSIONS)
    parser.add_argument("--batches", nargs="*", type=int, default=BATCHES)
    parser.add_argument("--contenders", nargs="*", default=(), help="default: all")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args(arguments)
    result = measure(options.dimensions, options.batches, options.contenders, options.rounds)
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1))
    print(markdown(result))


if __name__ == "__main__":
    main()
