"""Whether windows raise as many alarms as was promised: from half to twice of it, give or take chance, they do.

What is beyond that is in colour on the page, and in the sentence above it: both ask this file. The share of events that
raise one moves within half to twice by itself (a change of season, events that come in clumps), as in the rule by which
a model is asked for (:mod:`stream_app.stages.judge.harm`). The error is for all figures of a page together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import betainc
from scipy.stats import binom

from flowlib.intervals import wilson
from flowlib.table import Ints
from schemas.pane_layout import ALPHAS
from stream_app.console.rows import Row
from stream_app.stages.points import ALPHA_FIELDS

FEW, MANY = 0.5, 2.0
"""Times the promised share: between them nothing is said."""

ERROR = 0.05
"""Chance that any figure of a page is in colour while each share lies within half to twice of what was promised."""

_COUNT_MAX = 2**31
"""Of more events SciPy finds no limits, and they would be but a line."""

FEWER, AS_PROMISED, MORE = -1, 0, 1
TONES = {FEWER: "info", AS_PROMISED: "ok", MORE: "warning"}


def error_of(windows: int) -> float:
    """Error of one figure on one side, where so many windows are looked at. Steps of two, so that two looks at about as
    many windows say the same."""
    return ERROR / (2 * len(ALPHAS)) / math.exp2(math.ceil(math.log2(max(windows, 1))))


def sides(windows: Sequence[Row], error: float) -> Ints:
    """Of each window and level whether alarms are surely ``MORE`` than twice, or ``FEWER`` than half of the promised.

    Args:
        windows: n of them.
        error: see :func:`error_of`.

    Returns:
        ``(n, levels)``.

    >>> row = dict.fromkeys(ALPHA_FIELDS, 0) | {"p_le_01": 30, "p_le_05": 30, "p_le_1": 70, "p_le_5": 300}
    >>> sides([row | {"scored": 672}], error_of(12)).tolist()
    [[0, 0, 0, 0, 1, 0, 0, 0]]
    """
    shape = (len(windows), len(ALPHAS))
    hits = np.array([[row[name] for name in ALPHA_FIELDS] for row in windows], dtype=np.float64).reshape(shape)
    scored = np.array([[row.get("scored", 0)] for row in windows], dtype=np.float64).reshape(len(windows), 1)
    hits, rest, level = np.minimum(hits, scored), np.maximum(scored - hits, 0.0), np.array(ALPHAS)
    with np.errstate(invalid="ignore"):
        at_least = betainc(hits, rest + 1.0, np.minimum(MANY * level, 1.0))  # P(as many or more) at twice
        at_most = betainc(rest, hits + 1.0, 1.0 - FEW * level)
    more = (hits > 0) & (at_least <= error)
    fewer = (rest > 0) & (at_most <= error)
    return np.where(more, MORE, np.where(fewer, FEWER, AS_PROMISED))


def allowed(alpha: float, scored: int, error: float) -> tuple[float, float]:
    """Between which shares :func:`sides` says nothing, where ``scored`` events have p-values.

    >>> low, high = allowed(0.01, 672, error_of(12))
    >>> (round(low, 4), round(high, 4))
    (0.0, 0.0417)
    """
    n = min(scored, _COUNT_MAX)
    most = n if MANY * alpha >= 1 else float(binom.isf(error, n, MANY * alpha))
    return float(binom.ppf(error, n, FEW * alpha)) / n, most / n


def intervals(windows: Sequence[Row]) -> list[list[float] | None]:
    """95 % intervals of the shares of alarms, of events that are independent; None where none was scored."""
    scored = np.array([row.get("scored", 0) for row in windows], dtype=np.float64)
    low, high = wilson(np.minimum([row["p_le_01"] for row in windows], scored), scored)
    ends = zip(scored.tolist(), low.tolist(), high.tolist(), strict=True)
    return [[below, above] if n else None for n, below, above in ends]


def off(windows: Sequence[Row], found: Ints) -> list[Row]:
    """What is not as promised in some windows, that at the level of the alarms (1 %) first, then the furthest off.

    Args:
        windows: of one slice.
        found: what :func:`sides` says of them.
    """
    said = []
    for at, level in np.argwhere(found != AS_PROMISED).tolist():
        row, alpha = windows[at], ALPHAS[level]
        share = row[ALPHA_FIELDS[level]] / row["scored"]
        side = int(found[at, level])
        said.append(
            {
                "span": row["span"],
                "alpha": alpha,
                "share": share,
                "times": share / alpha,
                "side": side,
                "tone": TONES[side],
            }
        )
    return sorted(said, key=_furthest)


def _furthest(one: Row) -> tuple[bool, bool, float]:
    return one["side"] != MORE, one["alpha"] != 0.01, -abs(math.log(max(one["times"], 1e-9)))
