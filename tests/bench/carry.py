"""What carries over to sets that nothing was chosen on: leave-sets-out, the injected score, known contamination.

Maps and the weight of the columns' distance are chosen by mean AUROC on half of the sets, both settings, and judged on
the others, over random halves. Small on purpose (rows cut, one seed): ``quality`` measures what was chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from flowlib import FlowDensity
from flowlib.frames.estimator import MAPS, WEIGHT
from flowlib.table import Table
from tests.bench import ours, peers
from tests.bench.adbench import SETTINGS, Case, Floats, load_case, set_names
from tests.bench.injected import injected_score

ROWS, SPLITS = 4_000, 500
CANDIDATES = {
    "standard": ("standard",),
    "quantile": ("quantile",),
    "by likelihood": ("standard", "robust", "log", "asinh"),
    "asinh": ("asinh",),
}
WEIGHTS = (0.0, 0.35, 0.7, 1.0)
SHARES = (0.0, 0.01, 0.05, 0.1)
"""Of anomalies among the training rows."""

PEERS = ("gmm", "knn", "lof", "iforest", "ecod", "hst", "deep_svdd", "lunar", "dte_np", "icl")
"""Of the rows with known contamination; where deepod is there, ICL alone takes an hour of a processor."""
Pair = tuple[float, float]


def measure(folder: Path, progress: Callable[[str], None] = print) -> dict[str, Any]:
    """All three; takes about ten minutes on two cores."""
    names = set_names(folder)
    truth: dict[str, dict[str, dict[str, Pair]]] = {}
    injected: dict[str, dict[str, dict[str, float]]] = {}
    for setting in SETTINGS:
        for name in names:
            case = load_case(folder, name, setting, 0, ROWS)
            for maps, kinds in CANDIDATES.items():
                found = _weighed(case, kinds)
                truth.setdefault(setting, {}).setdefault(name, {}).update({f"{maps}, {w}": found[w] for w in WEIGHTS})
                score = injected_score(case.train, kinds, 0)
                injected.setdefault(setting, {}).setdefault(name, {})[maps] = score
                progress(f"{case.key} {maps}: AUROC {found[0.0][0]:.3f}, injected {score:.3f}")
    return {
        "truth": truth,
        "injected": injected,
        "rank": {setting: _rank(truth[setting], injected[setting]) for setting in SETTINGS},
        "left out": _left_out(truth, injected, names),
        "contamination": _contamination(folder, names, progress),
    }


def _weighed(case: Case, maps: tuple[str, ...]) -> dict[float, Pair]:
    """AUROC and average precision of the surprise at each weight; the likelihood alone is weight 0."""
    density = FlowDensity(maps=maps, random_state=case.seed).fit(case.train).density_
    scores = density.score(Table.of(case.test))
    found = {}
    for weight in WEIGHTS:
        surprise = replace(density.calibration, weight=weight).surprise(scores.log_prob, scores.distance)
        strange = -scores.log_prob if weight == 0 else surprise
        found[weight] = _pair(case, np.where(scores.scorable, strange, np.finfo(float).max))
    return found


def _pair(case: Case, scores: Floats) -> Pair:
    return float(roc_auc_score(case.anomalous, scores)), float(average_precision_score(case.anomalous, scores))


def _rank(truth: dict[str, dict[str, Pair]], injected: dict[str, dict[str, float]]) -> dict[str, float]:
    """Mean and deviation over sets of Spearman's correlation, over maps, of the injected score with the true AUROC."""
    values = []
    for name, scores in injected.items():
        true = [truth[name][f"{maps}, 0.0"][0] for maps in scores]
        if np.ptp(true) > 0 and np.ptp(list(scores.values())) > 0:
            values.append(float(spearmanr(list(scores.values()), true)[0]))
    return {"mean": float(np.mean(values)), "sd": float(np.std(values)), "sets": len(values)}


def _left_out(truth: dict[str, Any], injected: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Mean AUROC and average precision of both settings on the sets that chose nothing."""
    keys = list(truth[SETTINGS[0]][names[0]])
    table = np.array([[[truth[setting][name][key] for setting in SETTINGS] for name in names] for key in keys])
    table = table.mean(axis=2)  # (choice, set, metric)
    best = [[max(CANDIDATES, key=injected[setting][name].__getitem__) for setting in SETTINGS] for name in names]
    by_injection = np.array(
        [
            np.mean([truth[s][n][f"{maps}, {WEIGHT}"] for s, maps in zip(SETTINGS, chosen, strict=True)], axis=0)
            for n, chosen in zip(names, best, strict=True)
        ]
    )
    generator = np.random.default_rng(0)
    rows: dict[str, list[Floats]] = {"chosen on the others": [], "map by injection": [], "default": []}
    picks: dict[str, int] = {}
    for _ in range(SPLITS):
        order = generator.permutation(len(names))
        choose, judge = order[: len(names) // 2], order[len(names) // 2 :]
        at = int(table[:, choose, 0].mean(axis=1).argmax())
        picks[keys[at]] = picks.get(keys[at], 0) + 1
        rows["chosen on the others"].append(table[at, judge].mean(axis=0))
        rows["map by injection"].append(by_injection[judge].mean(axis=0))
        rows["default"].append(table[keys.index(f"{MAPS[0]}, {WEIGHT}"), judge].mean(axis=0))
    summed = {
        name: {"mean": np.mean(of, axis=0).tolist(), "sd": np.std(of, axis=0).tolist()} for name, of in rows.items()
    }
    every = {key: table[k].mean(axis=0).tolist() for k, key in enumerate(keys)}
    return {"splits": SPLITS, "rows": summed, "picks": picks, "all sets": every}


def contaminated(case: Case, share: float) -> Case:
    """A case of the setting ``normals`` with a share of anomalies moved to the training rows, at most half of them."""
    anomalies = np.flatnonzero(case.anomalous)
    moved = anomalies[: min(round(share / (1 - share) * len(case.train)), len(anomalies) // 2)]
    kept = np.setdiff1d(np.arange(len(case.test)), moved)
    train = np.concatenate([case.train, case.test[moved]])
    return replace(case, train=train, test=case.test[kept], anomalous=case.anomalous[kept])


def _contamination(
    folder: Path, names: list[str], progress: Callable[[str], None]
) -> dict[str, dict[str, list[float]]]:
    contenders = {"ours": ours.OURS["ours_maf"], **{name: peers.PEERS[name] for name in PEERS}}
    table: dict[str, dict[str, list[float]]] = {}
    for share in SHARES:
        cases = [contaminated(load_case(folder, name, "normals", 0, ROWS), share) for name in names]
        for who, contender in contenders.items():
            try:
                pairs = [_pair(case, contender(case)) for case in cases]
            except ImportError as error:
                progress(f"{who}: {error}")
                continue
            table.setdefault(f"{share:.0%}", {})[who] = np.mean(pairs, axis=0).tolist()
            progress(f"{share:.0%} {who}: AUROC {table[f'{share:.0%}'][who][0]:.3f}")
    return table


def markdown(result: dict[str, Any]) -> str:
    """The tables for people."""
    lines = ["", "**leave-sets-out**, mean AUROC / average precision of both settings ± deviation over splits", ""]
    lines += ["| | AUROC | AP |", "|---|---|---|"]
    for name, row in result["left out"]["rows"].items():
        figures = [f"{m:.3f} ± {s:.3f}" for m, s in zip(row["mean"], row["sd"], strict=True)]
        lines.append(f"| {name} | {figures[0]} | {figures[1]} |")
    lines += [f"| all sets: {key} | {a:.3f} | {p:.3f} |" for key, (a, p) in result["left out"]["all sets"].items()]
    for setting, rank in result["rank"].items():
        lines += [
            "",
            f"injected score beside the true AUROC over maps, {setting}: rank correlation {rank['mean']:.2f} ",
        ]
        lines[-1] += f"± {rank['sd']:.2f} over {rank['sets']} sets"
    lines += ["", "**anomalies among the training rows**", "", "| | " + " | ".join(result["contamination"]) + " |"]
    lines.append("|---|" + "---|" * len(result["contamination"]))
    for who in next(iter(result["contamination"].values())):
        cells = [f"{of[who][0]:.3f} / {of[who][1]:.3f}" for of in result["contamination"].values()]
        lines.append(f"| {who} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
