"""What carries over to sets that nothing was chosen on: leave-sets-out, the injected score, known contamination.

Column maps and what joins the likelihood are chosen by mean AUROC on half of the sets, both settings, and judged on the
others, over random halves, beside peers that choose nothing. Small on purpose (rows cut, one seed): ``quality``
measures the default.

Sets are all ``adbench/NUMBER_NAME.npz`` of the folder, with arrays ``X`` ``(n, d)`` and ``y`` ``(n,)``, 1 for an
anomaly: one's own count as well, and the more there are the more the halves say.
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
from tests.bench import ours, peers
from tests.bench.adbench import SETTINGS, Case, Floats, load_case, set_names
from tests.bench.injected import injected_scores, joined

ROWS, SPLITS = 4_000, 500
CANDIDATES = {
    "standard": ("standard",),
    "quantile": ("quantile",),
    "by likelihood": ("standard", "robust", "log", "asinh"),
    "asinh": ("asinh",),
}
DEFAULT = "standard; mixture, columns as they agree"
SHARES = (0.0, 0.01, 0.05, 0.1)
"""Of anomalies among the training rows."""

PEERS = ("gmm", "knn", "lof", "iforest", "ecod")
Pair = tuple[float, float]
Choices = dict[str, dict[str, dict[str, Pair]]]
"""Setting to set to choice, or peer, to AUROC and average precision."""


def measure(folder: Path, progress: Callable[[str], None] = print) -> dict[str, Any]:
    """All three; takes about ten minutes on two cores for nine sets."""
    names = set_names(folder)
    truth: Choices = {setting: {name: {} for name in names} for setting in SETTINGS}
    beside: Choices = {setting: {name: {} for name in names} for setting in SETTINGS}
    injected: dict[str, dict[str, dict[str, float]]] = {setting: {name: {} for name in names} for setting in SETTINGS}
    for setting in SETTINGS:
        for name in names:
            case = load_case(folder, name, setting, 0, ROWS)
            for maps, kinds in CANDIDATES.items():
                model = FlowDensity(maps=kinds, random_state=case.seed).fit(case.train)
                found = {f"{maps}; {join}": _pair(case, of) for join, of in joined(model, case.test).items()}
                truth[setting][name] |= found
                scores = injected_scores(case.train, kinds, 0)
                injected[setting][name] |= {f"{maps}; {join}": score for join, score in scores.items()}
            beside[setting][name] = _by_peers(case, progress)
            progress(f"{case.key}: AUROC {truth[setting][name][DEFAULT][0]:.3f}")
    return {
        "sets": len(names),
        "truth": truth,
        "peers": beside,
        "injected": injected,
        "rank": {setting: _rank(truth[setting], injected[setting]) for setting in SETTINGS},
        "left out": _left_out(truth, injected, beside, names),
        "contamination": _contamination(folder, names, progress),
    }


def _by_peers(case: Case, progress: Callable[[str], None]) -> dict[str, Pair]:
    found = {}
    for who in PEERS:
        try:
            found[who] = _pair(case, peers.PEERS[who](case))
        except ImportError as error:
            progress(f"{who}: {error}")
    return found


def _pair(case: Case, scores: Floats) -> Pair:
    return float(roc_auc_score(case.anomalous, scores)), float(average_precision_score(case.anomalous, scores))


def _rank(truth: dict[str, dict[str, Pair]], injected: dict[str, dict[str, float]]) -> dict[str, float]:
    """Mean and deviation over sets of Spearman's correlation, over choices, of injected score and true AUROC."""
    values = []
    for name, scores in injected.items():
        true = [truth[name][choice][0] for choice in scores]
        if np.ptp(true) > 0 and np.ptp(list(scores.values())) > 0:
            values.append(float(spearmanr(list(scores.values()), true)[0]))
    return {"mean": float(np.mean(values)), "sd": float(np.std(values)), "sets": len(values)}


def _left_out(truth: Choices, injected: dict[str, Any], beside: Choices, names: list[str]) -> dict[str, Any]:
    """Mean AUROC and average precision, a pair for each setting, on the sets that chose nothing."""
    keys, first = list(truth[SETTINGS[0]][names[0]]), beside[SETTINGS[0]][names[0]]
    table = _table(truth, names, keys)  # (choice, set, setting, metric)
    best = {s: {n: {"best": truth[s][n][max(keys, key=injected[s][n].__getitem__)]} for n in names} for s in SETTINGS}
    rows = {"chosen by injected anomalies": _table(best, names, ["best"])[0]}
    rows |= {"the default": table[keys.index(DEFAULT)]}
    rows |= dict(zip(first, _table(beside, names, list(first)), strict=True)) if first else {}
    generator, picks = np.random.default_rng(0), dict[str, int]()
    judged: dict[str, list[Floats]] = {name: [] for name in ("chosen on the others", *rows)}
    for _ in range(SPLITS):
        order = generator.permutation(len(names))
        choose, judge = order[: len(names) // 2], order[len(names) // 2 :]
        at = int(table[:, choose].mean(axis=(1, 2))[:, 0].argmax())
        picks[keys[at]] = picks.get(keys[at], 0) + 1
        for name, of in (("chosen on the others", table[at]), *rows.items()):
            judged[name].append(of[judge].mean(axis=0))
    summed = {
        name: {"mean": np.mean(of, axis=0).tolist(), "sd": np.std(of, axis=0).tolist()} for name, of in judged.items()
    }
    every = {key: table[k].mean(axis=0).tolist() for k, key in enumerate(keys)}
    return {"splits": SPLITS, "rows": summed, "picks": picks, "all sets": every}


def _table(found: Choices, names: list[str], keys: list[str]) -> Floats:
    """``(key, set, setting, metric)``."""
    return np.array([[[found[setting][name][key] for setting in SETTINGS] for name in names] for key in keys])


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
    of, head = result["left out"], "| | " + " | ".join(f"{s}, AUROC | AP" for s in SETTINGS) + " |"
    lines = [
        "",
        f"**leave-sets-out**, {result['sets']} sets, mean of those that chose nothing ± deviation over halves",
        "",
    ]
    lines += [head, "|---|---|---|---|---|"]
    for name, row in of["rows"].items():
        pairs = zip(np.ravel(row["mean"]), np.ravel(row["sd"]), strict=True)
        lines.append(f"| {name} | " + " | ".join(f"{m:.3f} ± {s:.3f}" for m, s in pairs) + " |")
    lines += [
        f"| all sets: {key} | " + " | ".join(f"{v:.3f}" for v in np.ravel(v)) + " |"
        for key, v in of["all sets"].items()
    ]
    for setting, rank in result["rank"].items():
        says = f"rank correlation {rank['mean']:.2f} ± {rank['sd']:.2f} over {rank['sets']} sets"
        lines += ["", f"injected score beside the true AUROC over choices, {setting}: {says}"]
    lines += ["", "**anomalies among the training rows**", "", "| | " + " | ".join(result["contamination"]) + " |"]
    lines.append("|---|" + "---|" * len(result["contamination"]))
    for who in next(iter(result["contamination"].values())):
        cells = [f"{at[who][0]:.3f} / {at[who][1]:.3f}" for at in result["contamination"].values()]
        lines.append(f"| {who} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
