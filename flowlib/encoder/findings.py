"""Peculiar columns: constant, on a grid, copies of each other, heavy-tailed, mostly missing, of many levels, and those
with values that cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowlib.table import Floats, Singles

_ON_GRID = 0.99
_REPEATED = 0.5
_DUPLICATE = 1e-5
_ROWS_LOOKED_AT, _ROWS_COMPARED_MIN = 5_000, 10
_FAR, _FAR_SHARE = 10.0, 0.001
_FINE_SHARE = 0.01

WHOLE_MAX = 2.0**53
"""Every whole number up to it is a float64; of two neighbours beyond it one is not."""


@dataclass(frozen=True)
class Finding:
    """Something that people should know of their columns.

    Attributes:
        kind: ``constant``, ``too fine``, ``beyond 2^53``, ``duplicate``, ``integer``, ``heavy tail``,
            ``mostly missing``, ``many levels`` or ``repeated rows``.
        columns: names.
        says: one sentence.
    """

    kind: str
    columns: tuple[str, ...]
    says: str

    def to_state(self) -> list[Any]:
        """Plain values."""
        return [self.kind, list(self.columns), self.says]

    @classmethod
    def from_state(cls, state: Any) -> Finding:
        """Inverse of :meth:`to_state`."""
        kind, columns, says = state
        return cls(str(kind), tuple(str(name) for name in columns), str(says))


def precision(x: Floats) -> float:
    """Relative rounding error of ``(n,)`` finite values: of a float32 where all of them are such numbers, unless they
    are whole and exact in it anyway; else of a float64.

    >>> [precision(np.array(x)) == 2.0**-52 for x in ([20.1, 20.4], [7.0, 1e6], [20.5, 20.25])]
    [True, True, False]
    """
    exact = (x == np.rint(x)) & (np.abs(x) < 2.0**24)
    return 2.0**-23 if (x == x.astype(np.float32)).all() and not exact.all() else 2.0**-52


def resolution(x: Floats) -> float:
    """The step of the grid that at least 99 % of the values lie on, 0 where there is none or values hardly repeat.

    The step is a small gap between values that occur twice, or a half, third, fifth or tenth of it; a grid need not
    start at 0.

    Args:
        x: ``(n,)`` finite values.

    >>> x = np.array([20.1, 20.4, 20.4, 20.2, 20.1, 20.2])
    >>> round(resolution(x), 4), round(resolution(x.astype(np.float32).astype(float)), 4)
    (0.1, 0.1)
    """
    values, counts = np.unique(x, return_counts=True)
    repeated = values[counts >= 2]
    if len(repeated) < 2 or counts[counts >= 2].sum() < _REPEATED * len(x):
        return 0.0
    rounding = precision(values)
    smallest = 64 * float(np.abs(values).max()) * rounding  # closer than that are roundings of one value
    gaps = np.diff(repeated)
    gaps = gaps[gaps > smallest]
    anchor = values[counts.argmax()]
    for gap in np.unique(np.quantile(gaps, (0.0, 0.1, 0.25, 0.5), method="lower"))[::-1] if len(gaps) else ():
        for part in (1, 2, 3, 5, 10):
            step = float(gap) / part
            slack = np.maximum(0.02, 4 * np.abs(x) * rounding / step)
            off = np.abs((x - anchor) / step - np.rint((x - anchor) / step))
            if step > smallest and (off <= slack).mean() >= _ON_GRID:
                return _refined(x, float(anchor), step)
    return 0.0


def _refined(x: Floats, anchor: float, step: float) -> float:
    """The step from its largest multiple on the grid: one gap of rounded values carries few digits."""
    multiples = (x - anchor) / step
    near = np.abs(multiples - np.rint(multiples)) < 0.02
    k = np.rint(multiples[near])
    far = np.abs(k).argmax()
    return float((x[near][far] - anchor) / k[far]) if k[far] else step


def duplicates(values: Floats) -> list[tuple[int, int, float]]:
    """Pairs of columns that are exact affine copies, with their correlation (1 or −1); each copy with the first.

    Args:
        values: ``(n, d)``, NaN for missing. Columns present in half of the rows are compared, on up to 5,000 rows that
            have all of them.
    """
    present = np.flatnonzero(np.isnan(values).mean(axis=0) <= 0.5)
    whole = values[~np.isnan(values[:, present]).any(axis=1)][:_ROWS_LOOKED_AT]
    if len(whole) < _ROWS_COMPARED_MIN:
        return []
    spread, rounding = whole.std(axis=0), np.array([precision(x[~np.isnan(x)]) for x in whole.T])
    rounding *= np.abs(np.where(np.isnan(whole), 0.0, whole)).max(axis=0)
    varied = present[spread[present] > 8 * rounding[present]]
    unit = (whole[:, varied] - whole[:, varied].mean(axis=0)) / spread[varied]
    pairs: list[tuple[int, int, float]] = []
    copies: set[int] = set()
    alike = np.abs(unit.T @ unit) / len(whole) > 1.0 - 1e-8
    for a, b in np.argwhere(np.triu(alike, 1)).tolist():
        sign = float(np.sign(unit[:, a] @ unit[:, b]))
        slack = _DUPLICATE + 8 * float((rounding[varied[[a, b]]] / spread[varied[[a, b]]]).max())
        if a not in copies and np.abs(unit[:, a] - sign * unit[:, b]).max() < slack:
            pairs.append((int(varied[a]), int(varied[b]), sign))
            copies.add(b)
    return pairs


def findings(names: Sequence[str], values: Floats, steps: Floats, kinds: Sequence[str]) -> tuple[Finding, ...]:
    """Findings on numeric columns, in their order, copies last.

    Args:
        names: d columns.
        values: ``(n, d)``, NaN for missing.
        steps: ``(d,)`` resolutions, 0 for none.
        kinds: of each column's map.
    """
    columns = zip(names, values.T, steps.tolist(), kinds, strict=True)
    result = [finding for column in columns for finding in _of_column(*column)]
    for a, b, sign in duplicates(values):
        copy = "an exact copy" if sign > 0 else "an exact mirror image"
        result.append(
            Finding(
                "duplicate",
                (names[a], names[b]),
                f"{names[b]} is {copy} of {names[a]} up to its unit: "
                "leave one of them out, or their likelihood counts the same news twice",
            )
        )
    return tuple(result)


def too_fine(names: Sequence[str], values: Floats, features: Callable[[Floats], Singles]) -> tuple[Finding, ...]:
    """Findings on columns with values that differ and that a flow, which takes float32, cannot tell apart.

    A column is centred and scaled first, so its offset alone costs nothing: what does are values far away from those
    that lie close together.

    Args:
        names: d columns.
        values: ``(n, d)``, NaN for missing.
        features: makes the flow's input of such rows.
    """
    some = values[:: max(len(values) // _ROWS_LOOKED_AT, 1)][:_ROWS_LOOKED_AT]
    result = []
    for name, x, feature in zip(names, some.T, features(some).T, strict=True):
        there = ~np.isnan(x)
        different = np.unique(x[there])
        # Closer together than that are roundings of one value.
        apart = np.diff(different) > 64 * precision(different) * np.abs(different).max(initial=0.0)
        lost = 1.0 - len(np.unique(feature[there])) / (1.0 + float(apart.sum()))
        if lost > _FINE_SHARE:
            says = (
                f"{lost:.1%} of the different values of {name} are one value to the model: they lie closer together "
                "than a float32 tells apart on the scale of the whole column, so a change among them goes unseen; "
                "leave out the values far away, or make two columns of it"
            )
            result.append(Finding("too fine", (name,), says))
    return tuple(result)


def many_levels(names: Sequence[str], levels: Sequence[tuple[int, int]]) -> tuple[Finding, ...]:
    """Findings on categorical columns with more levels than are kept apart.

    Args:
        names: k columns.
        levels: of each the number of levels kept apart, and of the others.
    """
    result = []
    for name, (known, rare) in zip(names, levels, strict=True):
        says = (
            f"{name} has {known + rare:,} levels; the {known} most frequent are kept apart, the others share what is "
            "left: leave the column out if it names single events"
        )
        result += [Finding("many levels", (name,), says)] if rare else []
    return tuple(result)


def _of_column(name: str, x: Floats, step: float, kind: str) -> list[Finding]:
    result = []
    missing, x = float(np.isnan(x).mean()), x[~np.isnan(x)]
    if missing > 0.5:
        result.append(Finding("mostly missing", (name,), f"{name} is missing in {missing:.0%} of the training rows"))
    if not len(x):
        return result
    beyond = float((np.abs(x) > WHOLE_MAX).mean())
    if beyond > 0 and (x == np.rint(x)).all():
        says = (
            f"{beyond:.1%} of {name} are whole numbers beyond 2^53 ({WHOLE_MAX:.0f}), where neighbours are one number: "
            "send an id as text and make it categorical or leave it out, a time in a coarser unit"
        )
        result.append(Finding("beyond 2^53", (name,), says))
    if x.min() == x.max():
        says = f"{name} is always {x[0]:.15g}: any other value will be very unlikely"
        return [*result, Finding("constant", (name,), says)]
    if step > 0:
        says = f"{name} moves in steps of {step:.4g}: its likelihood is that of a cell of this width, a unit of {name}"
        result.append(Finding("integer", (name,), says))
    low, middle, high = np.quantile(x, (0.25, 0.5, 0.75))
    far = float((np.abs(x - middle) > _FAR * (high - low)).mean()) if high > low else 0.0
    if far > _FAR_SHARE:
        says = f"{far:.1%} of {name} lie more than ten interquartile ranges out: it is taken on the {kind} scale"
        result.append(Finding("heavy tail", (name,), says))
    return result
