"""Who is called strange more often than others: alarm share and likelihood of parts of the events, against all others.

A part is a slice, or a group of slices. Shares have Wilson's interval for as many rows as their blocks of time are
worth; likelihoods and differences the one of :mod:`flowlib.bootstrap`. A part counts as over-alarmed or under-alarmed
where the difference to all others surely has that sign, with one error in twenty over all parts of a grouping together
(Bonferroni). Whether the model is to blame, or those events are stranger, no figure says: people look.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import beta

from flowlib.bootstrap import Mean, mean, variance
from flowlib.density import Scores
from flowlib.intervals import wilson
from flowlib.table import Bools, Floats, Ints, Objects

ROWS_MIN, BLOCKS_MIN = 30, 5
"""Parts of fewer rows, or on fewer blocks of time, are counted and not judged."""

ERROR = 0.05
"""Chance that any part of a grouping is called over- or under-alarmed where all are alike."""

Judged = Literal["over", "under", "alike", "too few"]


@dataclass(frozen=True)
class Part:
    """One part of the events.

    Attributes:
        grouping, name: which part of what.
        rows, alarms: rows that can be scored, and those of them that are called strange.
        share, share_95: of alarms.
        others: share of alarms of all other rows; None where there are none.
        more, more_95: ``share − others``, with the interval of a single part; None where nothing can be said.
        ratio: ``share / others``; None where the others have no alarm.
        excess: alarms beyond the share of the others, of its rows.
        log_prob, log_prob_95: mean log-likelihood, nats; None of no rows.
        judged: ``over`` or ``under``, surely; ``alike``, as far as can be told; ``too few`` rows or blocks.
    """

    grouping: str
    name: str
    rows: int
    alarms: int
    share: float
    share_95: tuple[float, float]
    others: float | None
    more: float | None
    more_95: tuple[float, float] | None
    ratio: float | None
    excess: float
    log_prob: float | None
    log_prob_95: tuple[float, float] | None
    judged: Judged

    def says(self) -> str:
        """The part in a sentence."""
        low, high = self.share_95
        told = f"{self.name or 'all'}: {self.share:.2%} of {self.rows:,} events are called strange"
        told += f" (95 % interval {low:.2%} to {high:.2%})"
        if self.judged == "too few":
            return f"{told}; too few to compare"
        if self.others is None:
            return told
        if self.judged == "alike":
            return f"{told}; of all others {self.others:.2%}, no sure difference"
        times = f", {self.ratio:.1f} times as many" if self.ratio is not None else ""
        side, sign = ("more", "beyond") if self.judged == "over" else ("fewer", "short of")
        return (
            f"{told}; surely {side} than the {self.others:.2%} of all others{times}: {abs(self.excess):,.0f} alarms "
            f"{sign} their share"
        )

    def to_json(self) -> dict[str, Any]:
        """All of it, with the sentence."""
        return {**asdict(self), "says": self.says()}


def fairness(scores: Scores, groupings: Mapping[str, Objects], blocks: Ints, alpha: float) -> list[Part]:
    """Parts of each grouping, the most over-alarmed first.

    Args:
        scores: of n rows that neither trained nor calibrated the model.
        groupings: name to the part of each row ``(n,)``, such as :func:`slice_groups` gives.
        blocks: ``(n,)`` block of time of each row; neighbours have neighbouring numbers.
        alpha: rows with a p-value at or below are alarms.

    >>> from flowlib import Density, FeatureSpec, FitConfig, MaximumLikelihood, Table, TrainConfig
    >>> g = np.random.default_rng(0)
    >>> config = FitConfig(learn=MaximumLikelihood(TrainConfig(max_steps=20)))
    >>> parts = [Table.of(g.standard_normal((n, 2))) for n in (1_000, 200, 1_000)]
    >>> density = Density.fit(FeatureSpec(("x", "y")), *parts, seed=0, config=config)
    >>> shop = np.repeat(["north", "south"], 2_000)
    >>> rows = Table.of(g.standard_normal((4_000, 2)) * np.where(shop == "south", 2.0, 1.0)[:, None])
    >>> found = fairness(density.score(rows), {"shop": shop}, np.arange(4_000) % 20, alpha=0.01)
    >>> [(part.name, part.judged) for part in found]
    [('south', 'over'), ('north', 'under')]
    """
    ok = scores.scorable
    alarms, log_prob, blocks = scores.p_value[ok] <= alpha, scores.log_prob[ok], blocks[ok]
    found = []
    for grouping, names in groupings.items():
        texts = names[ok].astype(str)
        known, code = np.unique(texts, return_inverse=True)
        inside = [code == i for i in range(len(known))]
        enough = [_is_enough(rows, blocks) for rows in inside]
        level = 1.0 - ERROR / 2 / max(sum(enough), 1)
        found += [
            _part(grouping, str(name), rows, alarms, log_prob, blocks, level if judge else None)
            for name, rows, judge in zip(known, inside, enough, strict=True)
        ]
    order = list(groupings)
    return sorted(found, key=lambda part: (order.index(part.grouping), part.judged == "too few", -(part.more or 0.0)))


def slice_groups(names: Objects, fields: Sequence[str], most: int = 20) -> dict[str, Objects]:
    """Groupings of n rows by the names of their slices, ``value|value`` of the slicing's fields.

    By slice, the ``most`` largest each by itself and all smaller ones together; by each field where there are several;
    and by how many events a slice has, in quarters of the slices.

    >>> names = np.array(["DE|1", "DE|2", "FR|1"], dtype=object)
    >>> found = slice_groups(names, ["country", "shop"])
    >>> list(found), found["country"].tolist()
    (['country+shop', 'country', 'shop'], ['DE', 'DE', 'FR'])
    """
    known, code, count = np.unique(names.astype(str), return_inverse=True, return_counts=True)
    place = np.empty(len(known), dtype=np.int64)
    place[np.argsort(-count, kind="stable")] = np.arange(len(known))
    shown = [name if place[i] < most else "all smaller slices" for i, name in enumerate(known.tolist())]
    groupings = {"+".join(fields) or "all": shown}
    parts = [name.split("|") for name in known.tolist()]
    for j, field in enumerate(fields if len(fields) > 1 else ()):
        groupings[field] = [values[j] if len(values) == len(fields) else "others" for values in parts]
    if len(known) >= 2 * len(_SIZES):
        groupings["size of the slice"] = [_SIZES[at * len(_SIZES) // len(known)] for at in place.tolist()]
    return {grouping: np.array(of, dtype=object)[code] for grouping, of in groupings.items()}


_SIZES = (
    "the largest quarter of the slices",
    "the second quarter of the slices",
    "the third quarter of the slices",
    "the smallest quarter of the slices",
)


def _is_enough(rows: Bools, blocks: Ints) -> bool:
    return int(rows.sum()) >= ROWS_MIN and len(np.unique(blocks[rows])) >= BLOCKS_MIN


def _part(
    grouping: str, name: str, inside: Bools, alarms: Bools, log_prob: Floats, blocks: Ints, level: float | None
) -> Part:
    n, hits = int(inside.sum()), int(alarms[inside].sum())
    rest = float(alarms[~inside].mean()) if n < len(inside) else None
    share, likely = hits / n, mean(log_prob[inside], blocks[inside])
    more = _more(inside, alarms, blocks) if rest is not None else None
    return Part(
        grouping,
        name,
        n,
        hits,
        share,
        _wilson(hits, n, _worth(alarms[inside], blocks[inside])),
        rest,
        more.value if more else None,
        more.interval() if more and math.isfinite(more.error) else None,
        share / rest if rest else None,
        hits - n * (rest if rest is not None else share),
        likely.value,
        likely.interval() if math.isfinite(likely.error) else None,
        _judged(more, rest, share, _worth(alarms[inside], blocks[inside]), level),
    )


def _judged(more: Mean | None, rest: float | None, share: float, worth: float, level: float | None) -> Judged:
    """Both have to say so: the paired difference, which knows the others' error, and Clopper & Pearson's interval of
    the part, which holds for few alarms, where blocks without any say that nothing varies.
    """
    if level is None:
        return "too few"
    if more is None or rest is None:
        return "alike"
    hits = share * worth
    if more.low(level) > 0.0 and hits > 0 and beta.isf(level, hits, worth - hits + 1.0) > rest:
        return "over"
    if more.high(level) < 0.0 and beta.ppf(level, hits + 1.0, max(worth - hits, 1e-9)) < rest:
        return "under"
    return "alike"


def _worth(hits: Bools, blocks: Ints) -> float:
    """How many independent rows say as much of a share; no more than there are (Kish's design effect)."""
    n, found = len(hits), mean(hits, blocks)
    binomial = found.value * (1.0 - found.value) / n
    effect = found.error**2 / binomial if binomial and math.isfinite(found.error) else 1.0
    return n / max(1.0, effect)


def _wilson(hits: int, n: int, worth: float) -> tuple[float, float]:
    low, high = wilson(hits / n * worth, worth)
    return float(low), float(high)


def _more(inside: Bools, alarms: Bools, blocks: Ints) -> Mean:
    """Share of a part less that of all others, paired by block."""
    wide = alarms.astype(np.float64)
    here, there = float(wide[inside].mean()), float(wide[~inside].mean())
    of_row = np.where(inside, (wide - here) / inside.sum(), -(wide - there) / (~inside).sum())
    _, code = np.unique(blocks, return_inverse=True)
    sums: Floats = np.bincount(code, weights=of_row).astype(np.float64)
    error = math.sqrt(variance(sums)) if len(sums) > 1 else math.inf
    return Mean(here - there, error, len(sums))
