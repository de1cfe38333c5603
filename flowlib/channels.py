"""What drift is looked for in: bounded normal scores of each event, whole numbers, so that their sums are exact.

A *step map* takes a value to its normal score under the model's held-out rows: Φ⁻¹ of its place among them, averaged
over a step. Ties share the average of their interval, so a score has mean 0 on the held-out rows and, by Jensen's
inequality, no larger cumulants than a normal score of a value without ties. Scores are in units of 2⁻¹⁰ and within
± 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from flowlib import native
from flowlib.ladder import Ladders
from flowlib.pit import pit_edges
from flowlib.table import Bools, Floats, Ints, Singles

if TYPE_CHECKING:
    from flowlib.density import Scores

UNIT = 1_024
"""Scores are counted in parts of one standard deviation."""

GROUPS = 9
"""Groups of a categorical column: its seven most frequent levels, the other known ones, those never seen."""

PAIRS_MAX = 64
"""Pairs of columns that are watched: where there are more, those that depend most."""

_STEP, _REACH = 0.05, 3.2
_MOST = round((_REACH + 0.1) * UNIT)
_LEVELS = ndtr(np.arange(-_REACH, _REACH + _STEP / 2, _STEP))


def pairs_of(d: int) -> int:
    """How many pairs of d columns are watched.

    >>> [pairs_of(d) for d in (1, 10, 11, 12, 40)]
    [0, 45, 55, 64, 64]
    """
    return min(d * (d - 1) // 2, PAIRS_MAX)


@dataclass(frozen=True)
class StepMap:
    """Normal scores of c columns.

    Attributes:
        edges: ``(c, b)`` float32 ascending, padded with inf: a value belongs to the step of the last edge below it.
        codes: ``(c, b + 1)`` int16 score of each step, :data:`UNIT` to one.

    >>> values = np.random.default_rng(0).standard_normal((9_999, 1)).astype(np.float32)
    >>> scores = StepMap.fit(values, np.ones((9_999, 1), bool)).of(values) / UNIT
    >>> bool(abs(scores.mean()) < 1e-3), bool(abs(scores.std() - 1) < 0.02)
    (True, True)
    """

    edges: Singles
    codes: npt.NDArray[np.int16]

    @classmethod
    def fit(cls, values: Singles, present: Bools) -> StepMap:
        """From held-out rows ``(n, c)``, where present; a column without any, or a constant one, has the score 0."""
        columns = [_steps(column[there]) for column, there in zip(values.T, present.T, strict=True)]
        width = max((len(edges) for edges, _ in columns), default=0)
        edges = np.full((len(columns), width), np.inf, dtype=np.float32)
        codes = np.zeros((len(columns), width + 1), dtype=np.int16)
        for j, (steps, scores) in enumerate(columns):
            edges[j, : len(steps)] = steps
            codes[j, : len(scores)] = scores
        return cls(edges, codes)

    def of(self, values: Singles) -> Ints:
        """Scores ``(n, c)`` of values without NaN."""
        return _looked_up(self.codes, self._ladders.below(values))

    @cached_property
    def _ladders(self) -> Ladders:
        return Ladders(self.edges)

    @property
    def varies(self) -> Bools:
        """``(c,)`` True where the held-out values were not all alike."""
        return np.asarray(np.isfinite(self.edges).any(axis=1))


def _steps(x: Singles) -> tuple[Singles, npt.NDArray[np.int16]]:
    """Edges and scores of one column."""
    x = np.sort(x)
    if not len(x) or x[0] == x[-1]:
        return np.zeros(0, dtype=np.float32), np.zeros(1, dtype=np.int16)
    edges = np.unique(x[np.minimum((_LEVELS * len(x)).astype(np.int64), len(x) - 1)])
    edges = edges[edges < x[-1]]
    below = np.concatenate(([0.0], np.searchsorted(x, edges, side="right") / len(x), [1.0]))
    heights = np.exp(-0.5 * ndtri(below) ** 2) / np.sqrt(2 * np.pi)
    scores = (heights[:-1] - heights[1:]) / np.diff(below)
    return edges, np.rint(np.clip(scores * UNIT, -_MOST, _MOST)).astype(np.int16)


@dataclass(frozen=True)
class EventScores:
    """Scores of n events; where a value is missing, or the event cannot be scored, 0.

    Attributes:
        base: ``(n, d + 1)`` int64, of each base coordinate (a column given the others), and of the surprise.
        present: ``(n, d)`` bool.
        group: ``(n, k)`` int64 in 0..8, of each categorical value.
        pit: ``(n, d)`` int64, the bin of each base coordinate in a PIT histogram.
    """

    base: Ints
    present: Bools
    group: Ints
    pit: Ints


@dataclass(frozen=True)
class Channels:
    """The step maps of a model.

    Attributes:
        base: of the base coordinates and, last, of the surprise.
        pairs: ``(p, 2)`` columns whose dependence is watched.
        groups: of each categorical column ``(levels + 1,)`` the group of each code.
    """

    base: StepMap
    pairs: Ints
    groups: tuple[Ints, ...]

    @classmethod
    def fit(cls, scores: Scores, levels: tuple[int, ...], watched: Bools) -> Channels:
        """From held-out rows.

        Args:
            scores: of n rows, all scorable.
            levels: number of known levels of each categorical column.
            watched: ``(d,)``; the scores of the other columns are always 0.
        """
        present = ~scores.missing & watched
        ones = np.ones((len(present), 1), dtype=bool)
        return cls(
            StepMap.fit(_with_surprise(scores), np.concatenate([present, ones], axis=1)),
            _strongest(scores.features * present),
            tuple(_groups(scores.levels[:, k], known) for k, known in enumerate(levels)),
        )

    def of(self, scores: Scores) -> EventScores:
        """Scores of events."""
        present = ~scores.missing & scores.scorable[:, None]
        base, pit = self._looked_up(scores, present)
        columns = range(scores.levels.shape[1])
        group = [self.groups[k][scores.levels[:, k]] for k in columns]
        return EventScores(
            base, present, np.stack(group, axis=1) if group else np.zeros((len(present), 0), dtype=np.int64), pit
        )

    def _looked_up(self, scores: Scores, present: Bools) -> tuple[Ints, Ints]:
        """``base`` and ``pit`` of :class:`EventScores`."""
        gaps = not present.all()
        if native.loops is not None:
            base, pit = np.empty((len(present), len(self.base.edges)), np.int64), np.empty(present.shape, np.int64)
            masks = (present, scores.scorable) if gaps else (None, None)
            z, surprise = np.ascontiguousarray(scores.z), np.ascontiguousarray(scores.surprise)
            native.loops.event_scores(*self._steps, z, surprise, *masks, base, pit)
            return base, pit
        ladders, codes, bins = self._joint
        place = ladders.below(_with_surprise(scores))
        base, pit = _looked_up(codes, place), _looked_up(bins, place[:, :-1])
        if gaps:
            base[:, :-1] *= present
            base[:, -1] *= scores.scorable
        return base, pit

    @cached_property
    def _joint(self) -> tuple[Ladders, Ints, Ints]:
        """The edges of the steps and those of PIT histograms in one, as both are looked for in the same coordinates;
        the score ``(d + 1, b + 1)`` and the bin ``(d, b + 1)`` between them.
        """
        steps = [edges[np.isfinite(edges)] for edges in self.base.edges]
        joint = [np.union1d(edges, pit_edges()) for edges in steps[:-1]] + steps[-1:]
        width = max(len(edges) for edges in joint)
        codes = np.zeros((len(joint), width + 1), dtype=np.int64)
        bins = np.zeros((len(joint) - 1, width + 1), dtype=np.int64)
        for j, edges in enumerate(joint):
            codes[j, 0], codes[j, 1 : len(edges) + 1] = (
                self.base.codes[j, 0],
                self.base.codes[j, steps[j].searchsorted(edges, "right")],
            )
        for j, edges in enumerate(joint[:-1]):
            bins[j, 1 : len(edges) + 1] = pit_edges().searchsorted(edges, "right")
        padded = [np.pad(edges, (0, width - len(edges)), constant_values=np.inf) for edges in joint]
        return Ladders(np.stack(padded).astype(np.float32)), codes, bins

    @cached_property
    def _steps(self) -> tuple[npt.NDArray[Any], ...]:
        """The same as the loops of :mod:`flowlib.native` take it."""
        ladders, codes, bins = self._joint
        edges, low, scale, until = ladders.buffers
        return np.pad(edges, ((0, 0), (0, 1)), constant_values=np.inf), low, scale, until, codes, bins

    def products(self, base: Ints) -> Ints:
        """``(n, p)`` products of the base scores ``(n, d + 1)`` of each pair."""
        return np.asarray(base[:, self.pairs[:, 0]] * base[:, self.pairs[:, 1]])

    def to_state(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays, for the artifact."""
        # No infinities in an artifact: the padding is put back when it is read.
        edges = np.where(np.isinf(self.base.edges), np.float32(_PADDING), self.base.edges)
        return {"edges": edges, "codes": self.base.codes, "pairs": self.pairs} | {
            f"groups.{k}": groups for k, groups in enumerate(self.groups)
        }

    @classmethod
    def from_state(cls, arrays: Mapping[str, npt.NDArray[Any]], d: int, levels: tuple[int, ...]) -> Channels:
        """Inverse of :meth:`to_state`; raises ValueError or KeyError on parts that do not fit d and the levels."""
        base = StepMap(_padded(arrays["edges"]), arrays["codes"])
        channels = cls(base, arrays["pairs"], tuple(arrays[f"groups.{k}"] for k in range(len(levels))))
        channels.check(d, levels)
        return channels

    def check(self, d: int, levels: tuple[int, ...]) -> None:
        """Raise ValueError on parts that do not fit."""
        edges, codes = self.base.edges, self.base.codes
        fits = edges.ndim == 2 and len(edges) == d + 1 and codes.shape == (d + 1, edges.shape[1] + 1)
        if not fits or edges.dtype != np.float32 or codes.dtype != np.int16:
            raise ValueError("channels: a row of float32 edges and one of int16 codes expected for each column")
        if (np.abs(codes.astype(np.int64)) > _MOST).any():
            raise ValueError(f"channels: scores must lie within ± {_MOST / UNIT:.1f}")
        if np.isnan(edges).any() or (edges[:, 1:] < edges[:, :-1]).any():
            raise ValueError("channels: edges must ascend")
        pairs = self.pairs
        if pairs.shape != (pairs_of(d), 2) or pairs.dtype != np.int64 or ((pairs < 0) | (pairs >= d)).any():
            raise ValueError("channels: pairs must name two columns each")
        for groups, known in zip(self.groups, levels, strict=True):
            if groups.shape != (known + 1,) or groups.dtype != np.int64 or ((groups < 0) | (groups >= GROUPS)).any():
                raise ValueError(f"channels: a group of 0 to {GROUPS - 1} expected for each level")


_PADDING = 3.0e38


def _looked_up(table: npt.NDArray[Any], places: npt.NDArray[np.int32]) -> Ints:
    """``(n, c)`` int64: of each column's row ``(c, m)`` of a table what stands at places ``(n, c)``."""
    c, m = table.shape
    return np.asarray(table.astype(np.int64, copy=False).ravel()[places + np.arange(0, c * m, m)])


def _padded(edges: Singles) -> Singles:
    return np.where(edges >= np.float32(_PADDING), np.float32(np.inf), edges).astype(np.float32)


def _with_surprise(scores: Scores) -> Singles:
    return np.concatenate([scores.z, scores.surprise[:, None].astype(np.float32)], axis=1)


def _strongest(features: Singles) -> Ints:
    """Pairs ``(p, 2)`` in order of their columns: all, or those whose features correlate most."""
    d = features.shape[1]
    i, j = np.triu_indices(d, 1)
    if len(i) > PAIRS_MAX:
        x = features.astype(np.float64)
        size = np.sqrt((x**2).sum(axis=0))
        strength = np.abs((x.T @ x) / np.maximum(np.outer(size, size), 1e-300))[i, j]
        chosen = np.sort(np.argsort(-strength, kind="stable")[:PAIRS_MAX])
        i, j = i[chosen], j[chosen]
    return np.stack([i, j], axis=1).astype(np.int64)


def _groups(codes: Ints, known: int) -> Ints:
    """The group of each level's code; the last code stands for levels never seen."""
    counts = np.bincount(codes, minlength=known + 1)[:known]
    groups = np.full(known + 1, GROUPS - 2, dtype=np.int64)
    groups[np.argsort(-counts, kind="stable")[: GROUPS - 2]] = np.arange(min(known, GROUPS - 2))
    groups[known] = GROUPS - 1
    return groups


def value_codes(numeric: Floats) -> Ints:
    """Whole numbers ``(n, d)`` in the order of the values, equal where values are: the bits of a float64, sortable.

    >>> value_codes(np.array([[-1.0, -0.0, 0.0, 2.5]])).tolist()
    [[-4607182418800017408, 0, 0, 4612811918334230528]]
    """
    bits = (numeric + 0.0).view(np.int64)  # -0.0 becomes 0.0
    return np.where(bits < 0, -(bits & np.int64(0x7FFF_FFFF_FFFF_FFFF)), bits)
