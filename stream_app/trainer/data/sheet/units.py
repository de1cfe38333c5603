"""A column that goes on in another unit: its spread and its middle jump at once, by one factor, and stay there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flowlib.table import Floats, Ints
from stream_app.terminal import utc
from stream_app.trainer.data.sheet.findings import Finding, Material, auc, slices_of

FACTORS = (10.0, 100.0, 1e3, 1e6, 60.0, 3_600.0, 24.0, 1_024.0, 25.4, 2.54, 1.609344, 3.28084, 2.20462, 3.6, 4.184)
"""Of one unit to another: decimal ones, times, bytes, lengths, weights, speeds, energies."""
SHIFTS = ((1.8, 32.0), (1.0, 273.15))
"""Celsius to Fahrenheit and to Kelvin: factor and offset."""
JUMP_MAX = 20.0
"""Any factor from this on is a jump of the unit, known or not."""
NEAR = 0.1
"""How near, in logarithms, the spread must come to a factor."""
APART = 0.98
"""2 AUC − 1 of values after the jump against those before, of a factor below :data:`SURE`."""
SURE = 5.0
_IQR_ERRORS = 3.0
"""Of the logarithm of a spread's ratio: 2.5 standard errors of quartiles (1.17 / √n of a normal column)."""
_SLACK_MAX = 0.35
_AROUND, _AFTER_MIN, _ROWS_MIN, _SLICES_MAX = 7, 3, 40, 32


@dataclass(frozen=True, slots=True)
class _Jump:
    at: int
    factor: float
    says: str


def unit_changes(m: Material) -> Iterator[Finding]:
    """Jumps of a unit in all rows or in a slice, looked for at each boundary of two blocks."""
    table = m.every
    block = m.blocks.of(table)
    parts = [("", np.arange(len(table)))]
    if len(np.unique(table.slices.astype(str))) > 1:
        parts += slices_of(table, 2 * _ROWS_MIN, _SLICES_MAX)
    for name, x in zip(m.names, table.numeric.T, strict=True):
        jumps = ((where, _jump(x[rows], block[rows])) for where, rows in parts)
        found = [(where, jump) for where, jump in jumps if jump is not None and not _is_accepted(m, jump)]
        if not found:
            continue
        where, jump = found[0]
        slices = len(found) - (not where)
        of_slice = f" of {where}" if where else ""
        says = (
            f"{name}{of_slice} goes on in another unit from {utc(jump.at * m.blocks.length_ms)} on: {jump.says}; mend "
            "what sends it, or train on rows from then on"
        )
        figure = {"factor": jump.factor, "from_ms": jump.at * m.blocks.length_ms, "slices": slices}
        yield Finding("unit change", "severe", (name,), figure, says)


def _is_accepted(m: Material, jump: _Jump) -> bool:
    """Whether a person has called the new normal what begins there."""
    from_ms, to_ms = jump.at * m.blocks.length_ms, (jump.at + 1) * m.blocks.length_ms
    return any(span.from_ms < to_ms and span.to_ms > from_ms for span in m.accepted)


def _jump(x: Floats, block: Ints) -> _Jump | None:
    """The jump of the unit, None where there is none: looked for where spread and middle jump most."""
    there = ~np.isnan(x)
    x, block = x[there], block[there]
    blocks, first = np.unique(block, return_index=True)
    if len(blocks) < _AROUND + _AFTER_MIN or len(x) < 2 * _ROWS_MIN:
        return None
    moved = _moved(x, block, first)
    at = int(moved.argmax())
    if moved[at] <= 0:
        return None
    edges = [*first.tolist(), len(x)]
    start, edge, end = edges[max(at - _AROUND, 0)], edges[at], edges[min(at + _AROUND, len(blocks))]
    said = _unit(x[:edge], x[edge:], x[start:edge], x[edge:end])
    return None if said is None else _Jump(int(blocks[at]), *said)


def _moved(x: Floats, block: Ints, first: Ints) -> Floats:
    """``(b,)`` how far spread and middle jump at the beginning of each block, in logarithms and in spreads: means of
    the quartiles of the seven blocks before and of those from there on. 0 where there are too few values.
    """
    rows, count = x[np.lexsort((x, block))], np.diff(first, append=len(x))
    quartiles = np.stack([rows[first + (share * (count - 1)).astype(int)] for share in (0.25, 0.5, 0.75)])
    padded = np.pad(quartiles, ((0, 0), (_AROUND, _AROUND - 1)), constant_values=np.nan)
    windows = np.nanmean(np.lib.stride_tricks.sliding_window_view(padded, _AROUND, axis=1)[:, 1:], axis=2)
    b = len(first)
    before, after = windows[:, : b - 1], windows[:, _AROUND : _AROUND + b - 1]
    spread, spread_ = before[2] - before[0], after[2] - after[0]
    total = np.concatenate([[0], np.cumsum(count)])
    at = np.arange(1, b)
    enough = (at >= _AROUND) & (b - at >= _AFTER_MIN)  # two windy days are no unit
    enough &= total[at] - total[np.maximum(at - _AROUND, 0)] >= _ROWS_MIN
    enough &= total[np.minimum(at + _AROUND, b)] - total[at] >= _ROWS_MIN
    sound = enough & (spread > 0) & (spread_ > 0)
    safe, safe_ = np.where(sound, spread, 1.0), np.where(sound, spread_, 1.0)
    moved = np.abs(np.log(safe_ / safe)) + np.abs(after[1] - before[1]) / (safe + safe_)
    return np.concatenate([[0.0], np.where(sound, moved, 0.0)])


def _unit(before: Floats, after: Floats, near_before: Floats, near_after: Floats) -> tuple[float, str] | None:
    """``(factor, what it looks like)`` where both all values and those around the jump say the same."""
    pairs = (before, after), (near_before, near_after)
    if min(len(part) for pair in pairs for part in pair) < _ROWS_MIN or any(_spread(one) <= 0 for one, _ in pairs):
        return None
    ratios = [_spread(two) / _spread(one) for one, two in pairs]
    if min(ratios) <= 0:
        return None
    apart = abs(2 * auc(near_before, near_after) - 1)
    errors = NEAR + _IQR_ERRORS * np.sqrt(1 / len(near_before) + 1 / len(near_after))
    known = [(factor, 0.0) for f in FACTORS for factor in (f, 1 / f)]
    known += [one for scale, offset in SHIFTS for one in ((scale, offset), (1 / scale, -offset / scale))]
    for factor, offset in known:
        sure = max(factor, 1 / factor) >= SURE
        off, slack = (
            max(abs(np.log(ratio / factor)) for ratio in ratios),
            _SLACK_MAX if sure else min(errors, _SLACK_MAX),
        )
        is_near = off <= slack and (sure or apart >= APART)
        if is_near and _is_scaled(near_before, near_after, factor, offset):
            plus = f", plus {offset:.5g}" if offset else ""
            return ratios[0], f"its values are {factor:.6g} times what they were{plus}"
    jump = min(max(ratio, 1 / ratio) for ratio in ratios)
    if jump >= JUMP_MAX and _is_scaled(near_before, near_after, ratios[1], 0.0):
        return ratios[0], f"its values are about {ratios[1]:.3g} times what they were"
    return None


def _is_scaled(before: Floats, after: Floats, factor: float, offset: float) -> bool:
    """Whether the quantiles after are those before in the other unit, within half a spread."""
    wanted = np.quantile(before, (0.1, 0.5, 0.9)) * factor + offset
    there = np.quantile(after, (0.1, 0.5, 0.9))
    return bool((np.abs(there - wanted) <= 0.75 * max(_spread(after), _spread(before) * factor)).all())


def _spread(x: Floats) -> float:
    low, high = np.quantile(x, (0.25, 0.75))
    return float(high - low)
