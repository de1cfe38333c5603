"""How well does it find anomalies: AUROC and AUPR beside the peers, with intervals over seeds.

    python -m tests.bench.quality --data ../shared/data/bench --out quality.json

Scores are kept in a cache outside of the project, keyed by case, contender and version, so a second run is quick.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student_t
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.bench import ours, peers
from tests.bench.adbench import SETTINGS, Case, Floats, load_case, set_names

Progress = Callable[[str], None]
BASELINE, MARGIN = "gmm", 0.02
"""No set should be worse than the Gaussian mixture by more than the margin; where one is, the table says so."""


def measure(
    folder: Path,
    sets: Sequence[str] = (),
    seeds: int = 5,
    contenders: Sequence[str] = (),
    settings: Sequence[str] = SETTINGS,
    cache: Path | None = None,
    progress: Progress = print,
) -> dict[str, Any]:
    """Score every case with every contender and sum up; raises KeyError on a name that is not there."""
    chosen = contenders or [*ours.OURS, *peers.PEERS]
    cells: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    for dataset in sets or set_names(folder):
        for setting in settings:
            for seed in range(seeds):
                case = load_case(folder, dataset, setting, seed)
                here = [name for name in chosen if name not in missing and (not seed or name not in peers.ONE_SEED)]
                for name in here:
                    try:
                        cells.append(_cell(case, name, cache or default_cache(), progress))
                    except ImportError as error:  # a package of the bench that is not here
                        missing[name] = str(error)
                        progress(f"{name}: {error}")
    present = [name for name in chosen if name not in missing]
    return {
        "seeds": seeds,
        "means": {setting: _means(cells, setting, present) for setting in settings},
        "sets": _per_set(cells),
        "shortfalls": _shortfalls(cells),
        "missing": missing,
        "cells": cells,
    }


def default_cache() -> Path:
    """``DRIFTFLOW_BENCH_CACHE``, else a folder in the system's temporary one."""
    return Path(os.environ.get("DRIFTFLOW_BENCH_CACHE", Path(tempfile.gettempdir()) / "driftflow-bench"))


def _cell(case: Case, name: str, cache: Path, progress: Progress) -> dict[str, Any]:
    scores, took = _scores(case, name, cache)
    cell = {
        "dataset": case.dataset,
        "setting": case.setting,
        "seed": case.seed,
        "contender": name,
        **took,
        "auroc": float(roc_auc_score(case.anomalous, scores)),
        "aupr": float(average_precision_score(case.anomalous, scores)),
    }
    progress(f"{case.key} {name}: AUROC {cell['auroc']:.3f}, AUPR {cell['aupr']:.3f}, {cell['seconds']:.1f} s")
    return cell


TIMES = ("seconds", "fit_s", "score_s")
"""By the clock for both, and processor seconds (of all threads) of fitting and of scoring."""


def _scores(case: Case, name: str, cache: Path) -> tuple[Floats, dict[str, float]]:
    version = ours.fingerprint(name) if name in ours.OURS else peers.fingerprint(name)
    rows = hashlib.sha256(case.train.tobytes() + case.test.tobytes()).hexdigest()[:12]
    path = cache / f"{case.key}-{rows}" / f"{name}-{version}.npz"
    if path.exists():
        with np.load(path) as arrays:
            if set(TIMES) <= set(arrays.files):
                return arrays["scores"], {key: float(arrays[key]) for key in TIMES}
    contender = ours.OURS[name] if name in ours.OURS else peers.PEERS[name]
    start, began = time.perf_counter(), time.process_time()
    score = contender.fit(case)
    fitted = time.process_time()
    scores = score()
    took = {"seconds": time.perf_counter() - start, "fit_s": fitted - began, "score_s": time.process_time() - fitted}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(part, scores=scores, **took)
    part.replace(path)
    return scores, took


def _means(cells: list[dict[str, Any]], setting: str, names: Iterable[str]) -> dict[str, Any]:
    """Mean over sets; the interval (95 %, t) is over seeds of that mean."""
    table = {}
    for name in names:
        of_name = [c for c in cells if c["setting"] == setting and c["contender"] == name]
        by_seed: dict[int, list[dict[str, Any]]] = {}
        for cell in of_name:
            by_seed.setdefault(cell["seed"], []).append(cell)
        row: dict[str, Any] = {key: float(np.mean([c[key] for c in of_name])) for key in TIMES}
        for metric in ("auroc", "aupr"):
            values = np.array([np.mean([c[metric] for c in group]) for group in by_seed.values()])
            row[metric] = {"mean": float(values.mean()), "half_width": half_width(values)}
        table[name] = row
    return table


def half_width(values: Floats) -> float | None:
    """Half of the 95 % t interval of the mean; None for a single value."""
    if len(values) < 2:
        return None
    return float(student_t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def _per_set(cells: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """setting → set → contender → means over seeds."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for cell in cells:
        groups.setdefault((cell["setting"], cell["dataset"], cell["contender"]), []).append(cell)
    table: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for (setting, dataset, name), group in groups.items():
        row = {metric: float(np.mean([c[metric] for c in group])) for metric in ("auroc", "aupr", "fit_s")}
        table.setdefault(setting, {}).setdefault(dataset, {})[name] = row
    return table


def _shortfalls(cells: list[dict[str, Any]]) -> list[str]:
    """Sentences for each set on which one of ours is worse than the mixture by more than the margin."""
    sentences = []
    for setting, sets in _per_set(cells).items():
        for dataset, rows in sets.items():
            for name in rows:
                for metric in ("auroc", "aupr"):
                    gap = rows[BASELINE][metric] - rows[name][metric] if BASELINE in rows and name in ours.OURS else 0.0
                    if gap > MARGIN:
                        sentences.append(f"{name} on {dataset} ({setting}): {metric} {gap:.3f} below {BASELINE}")
    return sentences


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="AUROC and AUPR on the ADBench sets, beside the peers")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds adbench/")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    parser.add_argument("--sets", nargs="*", default=(), help="default: all")
    parser.add_argument("--settings", nargs="*", default=SETTINGS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peers", "--contenders", nargs="*", default=(), dest="contenders", help="default: all")
    parser.add_argument("--cache", type=Path, help="default: $DRIFTFLOW_BENCH_CACHE or a temporary folder")
    parser.add_argument("--jobs", type=int, default=1, help="threads torch may use")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.jobs)
    result = measure(options.data, options.sets, options.seeds, options.contenders, options.settings, options.cache)
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1))
    print(markdown(result))


def markdown(result: dict[str, Any]) -> str:
    """The tables for people."""
    lines: list[str] = []
    for setting, table in result["means"].items():
        lines += ["", f"**{setting}**, mean over sets ± 95 % over {result['seeds']} seeds", ""]
        lines += ["| contender | AUROC | AUPR | seconds a set |", "|---|---|---|---|"]
        for name, row in sorted(table.items(), key=lambda item: -item[1]["auroc"]["mean"]):
            figures = [_figure(row[metric]) for metric in ("auroc", "aupr")]
            lines.append(f"| {name} | {figures[0]} | {figures[1]} | {row['seconds']:.1f} |")
    for setting, sets in result["sets"].items():
        lines += ["", f"**{setting}**, processor seconds of a fit", "", "| | " + " | ".join(sets) + " |"]
        lines.append("|---" * (len(sets) + 1) + "|")
        for name in result["means"][setting]:
            lines.append(f"| {name} | " + " | ".join(f"{rows[name]['fit_s']:.2f}" for rows in sets.values()) + " |")
    missing = [f"missing: {name}: {why}" for name, why in result["missing"].items()]
    return "\n".join([*lines, "", *result["shortfalls"], *missing])


def _figure(of: dict[str, float | None]) -> str:
    return f"{of['mean']:.3f}" + (" (one seed)" if of["half_width"] is None else f" ± {of['half_width']:.3f}")


if __name__ == "__main__":
    main()
