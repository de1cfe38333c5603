"""Our detector on NAB, the same for every series, causal: each score rests on the rows up to it.

Columns are made of the one there is, in four *views*: the value and its last change; the value and its running means
over 4, 16 and 64 rows; these and the running log-deviations over 8 and 32 rows; the mean of 4 rows, and it and that of
16 less what they were a day ago, missing on the first day. Each has a :class:`flowlib.FlowDensity` with the ``mixture``
flow, fitted on the probation and again whenever the rows seen have doubled. The score is the sum of the views'
surprises, and, with a weight, its rarity among the series' scores so far: an adaptive p-value, so that where the world
drifts, what is usual by now counts less. An alert is one row: a score is kept where it exceeds all of the last ``hold``
(a share of the series) by a margin.

Weight, hold and margin are chosen on the other corpora (leave one of the seven folders out), by the standard score. The
views are not: they were put together while looking at the whole corpus, as the published detectors were. The threshold
is, as NAB has it, the best one for the whole corpus; in the row ``settings and threshold left out`` it is that of the
other corpora too, which NAB asks of nobody.
"""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tests.bench.detect.public_sets.nab import Series
from tests.bench.detect.public_sets.nab_scorer import PROFILES, Floats, probation_rows, score_corpus
from tests.bench.detect.public_sets.ours import running_log_sd, running_mean, strangeness

VIEWS = ("change", "means", "spreads", "day")
WEIGHTS, HOLDS, MARGINS = (0.0, 1.0), (0.08, 0.1, 0.15), (0.3, 0.6, 0.9)
DAY_S = 86_400
QUIET = -1e9
"""A score that no threshold reaches."""


@dataclass(frozen=True)
class Choice:
    """Settings of the decision."""

    weight: float
    hold: float
    margin: float


def columns(series: Series, view: str) -> Floats:
    """``(n, k)`` of a series."""
    x = series.value
    if view == "change":
        return np.column_stack([x, np.diff(x, prepend=x[0])])
    if view == "day":
        rows = max(round(DAY_S / float(np.median(np.diff(series.time_s)))), 1)
        short, long = running_mean(x, 4), running_mean(x, 16)
        return np.column_stack([short, short - _before(short, rows), long - _before(long, rows)])
    means = [x, *(running_mean(x, k) for k in (4, 16, 64))]
    return np.column_stack(means if view == "means" else [*means, *(running_log_sd(x, k) for k in (8, 32))])


def _before(x: Floats, rows: int) -> Floats:
    return np.concatenate([np.full(min(rows, len(x)), np.nan), x[:-rows]])


def surprises(series: Series, view: str) -> Floats:
    """``(n,)``, 0 in the probation."""
    rows = columns(series, view)
    out = np.zeros(len(rows))
    start = probation_rows(len(rows))
    while start < len(rows):
        end = min(len(rows), 2 * start)
        out[start:end] = strangeness(rows[:start], rows[start:end], "mixture").surprise
        start = end
    return out


def rarity(score: Floats, start: int) -> Floats:
    """−log of the share of earlier scores, from ``start`` on, at or above each; it grows on beyond the largest."""
    out, past = np.zeros(len(score)), list[float]()
    for t in range(start, len(score)):
        value, n = float(score[t]), len(past)
        if n >= 50:
            span = (past[-1] - past[n // 2]) or 1.0
            above = n - bisect.bisect_left(past, value)
            out[t] = np.log1p(max(value - past[-1], 0.0) / span) - np.log((1 + above) / (n + 1))
        bisect.insort(past, value)
    return out


def alerts(score: Floats, start: int, hold: float, margin: float) -> Floats:
    """The score where it exceeds all of those before it, ``hold`` of the series back, by ``margin``; else QUIET."""
    back = max(int(hold * len(score)), 1)
    seen = np.where(np.arange(len(score)) >= start, score, QUIET)
    before = sliding_window_view(np.concatenate([np.full(back, QUIET), seen]), back)[:-1].max(axis=1)
    return np.where(seen > before + margin, seen, QUIET)


def decide(series: list[Series], given: list[list[Floats]]) -> dict[Choice, list[Floats]]:
    """Alerts of every choice, from the surprises of each series' views."""
    starts = [probation_rows(len(one.value)) for one in series]
    sums = [np.sum(views, axis=0) for views in given]
    rare = [rarity(s, start) for s, start in zip(sums, starts, strict=True)]
    every = list(zip(sums, rare, starts, strict=True))
    return {
        choice: [alerts(s + choice.weight * r, start, choice.hold, choice.margin) for s, r, start in every]
        for choice in (Choice(*one) for one in itertools.product(WEIGHTS, HOLDS, MARGINS))
    }


def left_out(series: list[Series], decided: dict[Choice, list[Floats]]) -> tuple[list[Floats], dict[str, Choice]]:
    """Scores of each series less the threshold, both by the choice that is best on the other corpora."""
    scores: list[Floats] = [np.zeros(0)] * len(series)
    chosen = {}
    for corpus in dict.fromkeys(one.corpus for one in series):
        others = [i for i, one in enumerate(series) if one.corpus != corpus]
        labelled = [series[i].labelled for i in others]
        best, outcome = max(
            (
                (choice, score_corpus(labelled, [given[i] for i in others], PROFILES["standard"]))
                for choice, given in decided.items()
            ),
            key=lambda pair: pair[1].score,
        )
        chosen[corpus] = best
        for i, one in enumerate(series):
            if one.corpus == corpus:
                scores[i] = decided[best][i] - outcome.threshold
    return scores, chosen


def rows_of(series: list[Series], scores: list[Floats], name: str, threshold: float | None = None) -> dict[str, Any]:
    """One detector's figures in the three profiles, as a row."""
    labelled = [one.labelled for one in series]
    outcomes = {p: score_corpus(labelled, scores, profile, threshold) for p, profile in PROFILES.items()}
    standard = outcomes["standard"]
    return {
        "set": "NAB",
        "subset": name,
        "metric": "standard",
        "value": round(standard.score, 2),
        "low_fp": round(outcomes["low_fp"].score, 2),
        "low_fn": round(outcomes["low_fn"].score, 2),
        "found": standard.found,
        "of": standard.windows,
        "false_alarms": standard.false,
    }
