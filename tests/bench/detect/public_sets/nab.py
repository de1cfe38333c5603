"""NAB: the corpus, what was published, and our own detector on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.bench.detect.public_sets.nab_scorer import Floats, Ints, Labelled, label


@dataclass(frozen=True)
class Series:
    """One series of the corpus.

    Attributes:
        name: ``corpus/file``.
        time_s: ``(n,)`` seconds since the epoch.
        value: ``(n,)``.
        labelled: its windows.
        rows: where it lies in ``nab.csv.gz``, to find it in the peers' scores.
    """

    name: str
    time_s: Ints
    value: Floats
    labelled: Labelled
    rows: slice

    @property
    def corpus(self) -> str:
        """Its folder in NAB."""
        return self.name.split("/")[0]


def load(folder: Path) -> list[Series]:
    """All 58 series, in the file's order."""
    frame = pl.read_csv(folder / "nab.csv.gz", try_parse_dates=True)
    windows = json.loads((folder / "nab_windows.json").read_text())
    series, start = [], 0
    for rows in frame.partition_by("series", maintain_order=True):
        name = str(rows["series"][0])
        series.append(_series(name, rows, windows[f"{name}.csv"], slice(start, start + len(rows))))
        start += len(rows)
    return series


def _series(name: str, rows: pl.DataFrame, windows: list[list[str]], place: slice) -> Series:
    time = seconds(rows["timestamp"])
    edges = [[np.datetime64(edge, "s").astype(np.int64) for edge in window] for window in windows]
    inside = [(int(np.argmax(time == first)), int(np.argmax(time == last))) for first, last in edges]
    return Series(name, time, rows["value"].to_numpy().astype(np.float64), label(len(rows), inside), place)


def seconds(times: pl.Series) -> Ints:
    """Since the epoch."""
    return times.to_numpy().astype("datetime64[s]").astype(np.int64)


PUBLISHED_BEST = ("ARTime", 74.85)
IN_SAMPLE = "ours, settings chosen on the whole corpus"


def measure(folder: Path, quick: bool = False) -> list[dict[str, Any]]:
    """Ours three times, beside what the scorer makes of the published detectors' scores."""
    from tests.bench.detect.public_sets import nab_ours as ours  # it needs the series of this module

    series = load(folder)
    if quick:
        series = series[::8]
    decided = ours.decide(series, [[ours.surprises(one, view) for view in ours.VIEWS] for one in series])
    scores, chosen = ours.left_out(series, decided)
    print({corpus: str(choice) for corpus, choice in chosen.items()}, flush=True)
    best = {"published_best": PUBLISHED_BEST[1], "published_name": PUBLISHED_BEST[0]}
    rows = [
        ours.rows_of(series, scores, "ours, settings left out") | best,
        ours.rows_of(series, scores, "ours, settings and threshold left out", threshold=0.0) | best,
        max(
            (ours.rows_of(series, given, IN_SAMPLE) | best for given in decided.values()), key=lambda row: row["value"]
        ),
    ]
    with np.load(folder / "nab_peer_scores.npz") as peers:
        for name in peers.files:
            of_peer = peers[name].astype(np.float64)
            rows.append(ours.rows_of(series, [of_peer[one.rows] for one in series], f"{name}, its published scores"))
    return rows
