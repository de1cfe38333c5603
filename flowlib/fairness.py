"""Who is called strange more often than others: alarm share and likelihood of parts of the events, against all others.

A part is a slice, or a group of slices. Events of one block of time (a day) resemble each other: shares have Wilson's
interval for as many events as their blocks are worth, as wide as the blocks of all parts together say where a part has
too few of its own; likelihoods and differences the one of :mod:`flowlib.bootstrap`. A part counts as over-alarmed or
under-alarmed where the difference to all others surely has that sign, with one error in twenty over all parts of a
grouping together (Bonferroni). Whether the model is to blame, or those events are stranger, no figure says: people
look.

All of it follows from sums by part and block (:class:`Counts`), of rows that were scored here (:func:`fairness`) or of
panes that somebody has kept (:func:`fairness_of`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.stats import beta

from flowlib.bootstrap import Mean, variance
from flowlib.intervals import wilson
from flowlib.table import Floats, Ints, Objects

if TYPE_CHECKING:  # PyTorch comes with it
    from flowlib.density import Scores

ROWS_MIN, BLOCKS_MIN = 30, 5
"""Parts of fewer rows, or on fewer blocks of time, are counted and not judged."""

ERROR = 0.05
"""Chance that any part of a grouping is called over- or under-alarmed where all are alike."""

SAID_MAX = 5
"""Parts that are told of in sentences."""

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
        log_prob, log_prob_95: mean log-likelihood, nats; None for what one block does not tell.
        judged: ``over`` or ``under``, surely; ``alike``, as far as can be told; ``too few`` rows or blocks.
        unscorable: rows that cannot be scored.
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
    unscorable: int = 0

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


@dataclass(frozen=True)
class Counts:
    """What came of events, by part and block of time.

    Attributes:
        names: of K parts.
        rows, alarms, log_prob, unscorable: ``(K, B)`` events that were scored, those of them called strange, the sum
            of their log-likelihoods (nats), and events that could not be scored; blocks in order of time.
    """

    names: Sequence[str]
    rows: Floats
    alarms: Floats
    log_prob: Floats
    unscorable: Floats

    def grouped(self, names: Sequence[str]) -> Counts:
        """Parts that get the same name are one.

        >>> one = np.array([[1.0], [2.0], [4.0]])
        >>> Counts(["a", "b", "c"], one, one, one, one).grouped(["x", "y", "x"]).rows.tolist()
        [[5.0], [2.0]]
        """
        known, code = np.unique(np.array(names, dtype=str), return_inverse=True)

        def summed(values: Floats) -> Floats:
            sums = np.zeros((len(known), values.shape[1]))
            np.add.at(sums, code, values)
            return sums

        columns = (self.rows, self.alarms, self.log_prob, self.unscorable)
        return Counts(known.tolist(), *(summed(column) for column in columns))


def fairness(scores: Scores, groupings: Mapping[str, Objects], blocks: Ints, alpha: float) -> list[Part]:
    """Parts of each grouping of rows, the most over-alarmed first.

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
    return [part for name, of in groupings.items() for part in compared(name, _counts(scores, of, blocks, alpha))]


def fairness_of(slices: Counts, fields: Sequence[str], most: int) -> list[Part]:
    """Parts of each grouping of slices that were counted, the most over-alarmed first.

    Args:
        slices: a part each, ``value|value`` of the slicing's fields.
        fields: of the slicing.
        most: as :func:`slice_groups` has it.
    """
    found = _groupings(slices.names, slices.rows.sum(axis=1), fields, most)
    return [part for name, of in found.items() for part in compared(name, slices.grouped(of))]


def said(parts: Sequence[Part]) -> list[str]:
    """Those that surely differ from all others, in sentences; one that says so where there is none."""
    sure = sorted((part for part in parts if part.judged in ("over", "under")), key=lambda part: -abs(part.excess))
    if not sure:
        return ["No slice or group of slices is surely called strange more often, or less, than all others."]
    more = [f"{len(sure) - SAID_MAX} more are in the table."] if len(sure) > SAID_MAX else []
    return [f"{part.grouping}, {part.says()}." for part in sure[:SAID_MAX]] + more


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
    found = _groupings(known.tolist(), count.astype(np.float64), fields, most)
    return {grouping: np.array(of, dtype=object)[code] for grouping, of in found.items()}


def _groupings(known: Sequence[str], count: Floats, fields: Sequence[str], most: int) -> dict[str, list[str]]:
    """Name of the part of each slice, by grouping."""
    place = np.empty(len(known), dtype=np.int64)
    place[np.argsort(-count, kind="stable")] = np.arange(len(known))
    shown = [name if place[i] < most else "all smaller slices" for i, name in enumerate(known)]
    groupings = {"+".join(fields) or "all": shown}
    parts = [name.split("|") for name in known]
    for j, field in enumerate(fields if len(fields) > 1 else ()):
        groupings[field] = [values[j] if len(values) == len(fields) else "others" for values in parts]
    if len(known) >= 2 * len(_SIZES):
        groupings["size of the slice"] = [_SIZES[at * len(_SIZES) // len(known)] for at in place.tolist()]
    return groupings


_SIZES = (
    "the largest quarter of the slices",
    "the second quarter of the slices",
    "the third quarter of the slices",
    "the smallest quarter of the slices",
)


def _counts(scores: Scores, names: Objects, blocks: Ints, alpha: float) -> Counts:
    known, part = np.unique(names.astype(str), return_inverse=True)
    times, block = np.unique(blocks, return_inverse=True)
    shape = len(known), len(times)

    def summed(weights: Floats) -> Floats:
        sums = np.bincount(part * shape[1] + block, weights=weights, minlength=shape[0] * shape[1])
        return np.asarray(sums, dtype=np.float64).reshape(shape)

    ok = scores.scorable
    alarms, log_prob = ok & (scores.p_value <= alpha), np.where(ok, scores.log_prob, 0.0)
    return Counts(known.tolist(), *(summed(np.asarray(of, dtype=np.float64)) for of in (ok, alarms, log_prob, ~ok)))


def compared(grouping: str, counts: Counts) -> list[Part]:
    """Each part of a grouping against all others, the most over-alarmed first; parts without a scored row are left out.

    Args:
        grouping: its name.
        counts: of parts that have no event in common.
    """
    some = np.flatnonzero(counts.rows.sum(axis=1))
    of = [_Sums(*(column[i] for column in (counts.rows, counts.alarms, counts.log_prob))) for i in some]
    if not of:
        return []
    total = _Sums(*(np.sum([getattr(one, name) for one in of], axis=0) for name in ("rows", "alarms", "log_prob")))
    level = 1.0 - ERROR / 2 / max(sum(one.is_enough for one in of), 1)
    found = [
        _part(grouping, counts.names[i], one, total, int(counts.unscorable[i].sum()), level)
        for i, one in zip(some.tolist(), of, strict=True)
    ]
    return sorted(found, key=lambda part: (part.judged == "too few", -(part.more or 0.0)))


@dataclass(frozen=True)
class _Sums:
    """Of one part, by block ``(B,)``."""

    rows: Floats
    alarms: Floats
    log_prob: Floats

    @property
    def n(self) -> int:
        return int(self.rows.sum())

    @property
    def hits(self) -> int:
        return int(self.alarms.sum())

    @property
    def is_enough(self) -> bool:
        return self.n >= ROWS_MIN and int((self.rows > 0).sum()) >= BLOCKS_MIN

    def mean(self, values: Floats) -> Mean:
        """Of rows whose values add up to ``values`` in each block."""
        there = self.rows > 0
        value = float(values.sum() / self.n)
        deviations: Floats = values[there] - value * self.rows[there]
        error = math.sqrt(variance(deviations)) / self.n if len(deviations) > 1 else math.inf
        return Mean(value, error, len(deviations))

    @property
    def design(self) -> float:
        """How many rows count as one independent one where alarms are counted (Kish's design effect), 1 or more."""
        found = self.mean(self.alarms)
        binomial = found.value * (1.0 - found.value) / self.n
        return max(1.0, found.error**2 / binomial) if binomial and math.isfinite(found.error) else 1.0

    def less(self, other: _Sums) -> _Sums:
        """What is left without a part of it."""
        return _Sums(self.rows - other.rows, self.alarms - other.alarms, self.log_prob - other.log_prob)


def _part(grouping: str, name: str, one: _Sums, total: _Sums, unscorable: int, level: float) -> Part:
    n, hits, rest = one.n, one.hits, total.less(one)
    share, likely = hits / n, one.mean(one.log_prob)
    worth = n / (one.design if one.is_enough and hits else total.design)
    others = rest.hits / rest.n if rest.n else None
    more = _more(one, rest) if rest.n else None
    low, high = wilson(share * worth, worth)
    return Part(
        grouping,
        name,
        n,
        hits,
        share,
        (float(low), float(high)),
        others,
        more.value if more else None,
        more.interval() if more and math.isfinite(more.error) else None,
        share / others if others else None,
        hits - n * (others if others is not None else share),
        likely.value,
        likely.interval() if math.isfinite(likely.error) else None,
        _judged(more, others, share, worth, level) if one.is_enough else "too few",
        unscorable,
    )


def _judged(more: Mean | None, rest: float | None, share: float, worth: float, level: float) -> Judged:
    """Both have to say so: the paired difference, which knows the others' error, and Clopper & Pearson's interval of
    the part, which holds for few alarms, where blocks without any say that nothing varies.
    """
    if more is None or rest is None:
        return "alike"
    hits = share * worth
    if more.low(level) > 0.0 and hits > 0 and beta.isf(level, hits, worth - hits + 1.0) > rest:
        return "over"
    if more.high(level) < 0.0 and beta.ppf(level, hits + 1.0, max(worth - hits, 1e-9)) < rest:
        return "under"
    return "alike"


def _more(one: _Sums, rest: _Sums) -> Mean:
    """Share of a part less that of all others, paired by block."""
    here, there, blocks = one.hits / one.n, rest.hits / rest.n, (one.rows + rest.rows) > 0
    of_part: Floats = (one.alarms - here * one.rows) / one.n
    sums: Floats = (of_part - (rest.alarms - there * rest.rows) / rest.n)[blocks]
    error = math.sqrt(variance(sums)) if len(sums) > 1 else math.inf
    return Mean(here - there, error, len(sums))
