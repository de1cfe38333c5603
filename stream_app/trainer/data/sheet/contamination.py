"""How many rows are garbage or an attack: more that the model in service finds extreme than its own drift explains.

A world that has moved stretches the tail of the p-values smoothly, F(p) = k pᵞ; what does not belong to it piles up at
the smallest ones: F(p) = c + k pᵞ. The estimate is the c that goes through the shares at alpha, .02 and .1; and, for
what lies less far out, at .02, .06 and .2, where a drift bends the curve more and only a large share is severe.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flowlib.table import Floats, Ints
from stream_app.trainer.data.sheet.findings import Finding, Material, Severity

TOLD_SHARE = 0.005
"""Lower end of the estimate's 95 % interval from which on it is told."""
CONTAMINATION_MAX, NEARER_MAX = 0.03, 0.1
"""And from which on it is severe, far out and less far. With 5 % attack rows in calibration an attack is flagged at
alpha ÷ 5 %, whatever the model has learned."""
_LEVELS, _NEARER = (0.0025, 0.02, 0.1), (0.02, 0.06, 0.2)
_DRAWS, _SEED, _ROWS_MIN, _HALVINGS = 500, 0, 500, 40

Levels = tuple[float, float, float]


def contamination(m: Material) -> Iterator[Finding]:
    """The estimate on the training span and on the held-out rows, outside of accepted spans."""
    if m.champion is None:
        return
    for name, table in (("training", m.looked_at(m.train)), ("held-out", m.looked_at(m.split.held_out))):
        scores = m.champion.score(table := m.strange_only(table))
        yield from _of(m, name, scores.p_value[scores.scorable], m.blocks.of(table)[scores.scorable])


def _of(m: Material, name: str, p: Floats, block: Ints) -> Iterator[Finding]:
    """Of n p-values and their blocks: what is severe, else what is told of the smallest ones."""
    alpha = m.config.event_rule.alpha
    if len(p) < _ROWS_MIN:
        return
    far: Levels = (min(alpha, _LEVELS[0]), *_LEVELS[1:])
    for levels, most in ((far, CONTAMINATION_MAX), (_NEARER, NEARER_MAX)):
        share = float(_piled(np.array([[(p <= level).mean() for level in levels]]), levels)[0])
        low, high = _interval(p, block, levels)
        if low < TOLD_SHARE or (low <= most and (levels is _NEARER or _is_severe(p, block))):
            continue
        says = (
            f"about {share:.1%} of the {name} rows ({low:.1%} to {high:.1%}) belong neither to what the model in "
            "service knows nor to a drift of it: look at the strangest of them, and judge their incident"
        )
        severity: Severity = "severe" if low > most else "warning"
        figure = {"part": name, "share": share, "interval_95": [low, high], "alarm_share": float((p <= alpha).mean())}
        yield Finding("contamination", severity, (), figure, says)
        return


def _is_severe(p: Floats, block: Ints) -> bool:
    return _interval(p, block, _NEARER)[0] > NEARER_MAX


def _piled(shares: Floats, levels: Levels) -> Floats:
    """``(k,)`` of shares ``(k, 3)`` at three levels: the c for which what is left, F − c, is a power of p through all
    three. By halving: the power at the lower end grows with c faster than the one at the upper end.
    """
    at, low, high = np.maximum(shares.T, 1e-9) + np.array([[0.0], [1e-9], [2e-9]])
    least, most = np.zeros_like(at), at * (1.0 - 1e-6)
    for _ in range(_HALVINGS):
        c = 0.5 * (least + most)
        upper = np.log((high - c) / (low - c)) / np.log(levels[2] / levels[1])
        lower = np.log((low - c) / (at - c)) / np.log(levels[1] / levels[0])
        least, most = np.where(upper > lower, c, least), np.where(upper > lower, most, c)
    return np.asarray(least)


def _interval(p: Floats, block: Ints, levels: Levels) -> tuple[float, float]:
    """The estimate's 95 % interval by whole blocks."""
    blocks, at = np.unique(block, return_inverse=True)
    counts = np.stack([np.bincount(at, p <= level) for level in levels] + [np.bincount(at)], axis=1)
    drawn = np.random.default_rng(_SEED).integers(0, len(blocks), (_DRAWS, len(blocks)))
    sums = counts[drawn].sum(axis=1)
    low, high = np.quantile(_piled(sums[:, :3] / sums[:, 3:], levels), (0.025, 0.975))
    return float(low), float(high)
