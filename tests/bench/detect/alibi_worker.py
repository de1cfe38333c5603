"""Runs in alibi-detect's own environment, without ours: ``python alibi_worker.py mmd|lsdd|cvm in.npz out.npz``.

Reads ``reference (m, d)``, ``rows (n, d)`` of all slices one after the other, ``ends`` of the slices and ``window``;
writes ``ratio (n,)``: the statistic at each row over the detector's threshold there, the largest of several.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

os.environ["OMP_NUM_THREADS"] = "1"
ERT, BOOTSTRAPS = 150.0, 4_000
"""Of the detectors' own thresholds, which only give the scale: the caller tunes what is an alarm."""


def make(name: str, reference: Any, window: int) -> Any:
    """An online detector."""
    from alibi_detect.cd import CVMDriftOnline, LSDDDriftOnline, MMDDriftOnline  # type: ignore[import-not-found]

    if name == "cvm":
        return CVMDriftOnline(
            reference, ert=ERT, window_sizes=[window // 4, window], n_bootstraps=10_000, verbose=False
        )
    kind = {"mmd": MMDDriftOnline, "lsdd": LSDDDriftOnline}[name]
    return kind(reference, ert=ERT, window_size=window, backend="pytorch", n_bootstraps=BOOTSTRAPS, verbose=False)


def ratio(detector: Any, row: Any) -> float:
    """Statistic over threshold, of one more row."""
    said = detector.predict(row)["data"]
    statistic, threshold = np.asarray(said["test_stat"], float), np.asarray(said["threshold"], float)
    with np.errstate(divide="ignore", invalid="ignore"):
        over = np.where(threshold > 0, statistic / threshold, np.nan)
    return 0.0 if np.isnan(over).all() else float(np.nanmax(over))


def main() -> None:
    """All slices, each from a fresh state."""
    name, into, out = sys.argv[1:]
    import torch

    torch.set_num_threads(1)
    np.random.seed(0)
    torch.manual_seed(0)
    arrays = np.load(into)
    detector = make(name, arrays["reference"].astype(np.float32), int(arrays["window"]))
    ratios, start = [], 0
    for end in arrays["ends"].tolist():
        detector.reset_state()
        ratios += [ratio(detector, row) for row in arrays["rows"][start:end].astype(np.float32)]
        start = end
    np.savez(out, ratio=np.array(ratios))


if __name__ == "__main__":
    main()
