"""How rare values are among reference values: minus the logarithm of the share of these at or beyond each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowlib import native
from flowlib.ladder import Ladders
from flowlib.table import Floats


def rarity_of(values: Floats, reference: Floats) -> Floats:
    """Minus the logarithm of the share of the reference above each value, itself counted in.

    Beyond the largest value it grows by log(1 + excess), the excess in units of largest less median.
    """
    n = len(reference)
    above = n - np.searchsorted(reference, values, side="right")
    span = float(reference[-1] - reference[n // 2])
    excess = np.maximum(values - reference[-1], 0.0) / (span if span > 0 else 1.0)
    return np.asarray(np.log1p(excess) - np.log((1 + above) / (n + 1)), dtype=np.float64)


@dataclass(frozen=True)
class Rarities:
    """:func:`rarity_of` of any values among the same ones."""

    reference: Floats
    places: Ladders
    by_place: Floats

    @classmethod
    def among(cls, reference: Floats) -> Rarities:
        """Among some, ascending."""
        reference, n = reference.astype(np.float64), len(reference)
        return cls(reference, Ladders(reference[None]), 0.0 - np.log(np.arange(n + 1, 0, -1) / (n + 1)))

    def of(self, values: Floats, sign: float = 1.0) -> Floats:
        """``(n,)`` of values, or of minus them; raises ValueError on one that is not finite."""
        if native.loops is not None:
            values, n = np.ascontiguousarray(values, dtype=np.float64), len(values)
            rarity, rows = np.empty(n), np.empty(n, dtype=np.int64)
            far = native.loops.rarities(*self.places.buffers, values, sign, self.by_place, rarity, rows)
            beyond, finite = rows[: max(far, 0)], far >= 0
        else:
            finite = bool(np.isfinite(values).all())
            places = self.places.upto(np.where(np.isfinite(values), sign * values, 0.0)[:, None])[:, 0]
            rarity, beyond = self.by_place[places], np.flatnonzero(places == len(self.reference))
        if not finite:
            raise ValueError("p-values need finite log-likelihoods and distances")
        if len(beyond):
            rarity[beyond] = rarity_of(sign * values[beyond], self.reference)
        return rarity


def own_rarity(values: Floats, reference: Floats) -> Floats:
    """Rarity of the reference rows themselves; the largest is measured against the others, as a new row would be."""
    rarity = rarity_of(values, reference)
    if len(reference) > 1:
        largest = values == reference[-1]
        beyond = rarity_of(reference[-1:], reference[:-1]) - rarity_of(reference[-2:-1], reference[:-1])
        rarity[largest] += beyond
    return rarity
