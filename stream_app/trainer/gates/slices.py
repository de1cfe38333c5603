"""Gate ``slices``: no slice is drowned in alarms, and none is switched off, though all together look well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from flowlib.evaluation import ALARM_ALPHA
from flowlib.table import Bools, Floats, Ints
from stream_app.trainer.gates.calibration import LOW
from stream_app.trainer.gates.gate import Gate
from stream_app.trainer.gates.trial import Trial

ROWS_MIN, BLOCKS_MIN = 20, 3
"""Slices of fewer rows, or on fewer blocks of time, are not looked at."""

_ERROR = 0.025
_SHOWN = 3


def slices(trial: Trial) -> Gate:
    """Alarm share of each slice, with intervals that hold for all slices together (Clopper & Pearson 1934, Bonferroni).

    A slice fails where its share is surely above ``max_alarm_ratio`` times nominal and above the champion's, or surely
    below :data:`LOW` times nominal where the champion's is not.
    """
    codes, names = _codes(trial)
    limit = trial.settings.max_alarm_ratio * ALARM_ALPHA
    if not len(names):
        return Gate(
            "slices", True, f"no slice has {ROWS_MIN} held-out events on {BLOCKS_MIN} blocks of time", 0.0, None, limit
        )
    new = _shares(trial.new.p_value <= ALARM_ALPHA, trial.new.scorable, codes, trial.blocks, len(names))
    above, below = np.full(len(names), limit), np.ones(len(names), dtype=bool)
    if trial.old is not None:
        old = _shares(trial.old.p_value <= ALARM_ALPHA, trial.old.scorable, codes, trial.blocks, len(names))
        above, below = np.maximum(limit, old.high), old.share >= LOW * ALARM_ALPHA
    loud = new.low > above
    silent = (new.high < LOW * ALARM_ALPHA) & below
    worst = int(np.argmax(np.where(loud, new.share + 1.0, np.where(silent, 1.0 - new.share, new.share - 1.0))))
    failed = [f"{new.share[i]:.2%} of the events of {names[i]!r}" for i in np.flatnonzero(loud | silent)[:_SHOWN]]
    more = int((loud | silent).sum()) - len(failed)
    if failed:
        says = (
            f"far too many alarms on a slice, or far too few: {', '.join(failed)}{f' and {more} more' if more else ''}"
        )
    else:
        says = f"of {len(names):,} slices none has far too many alarms or far too few; most has {names[worst]!r}"
    says += f" ({_interval(new, worst)}; {LOW * ALARM_ALPHA:.1%} to {above[worst]:.1%} allowed)"
    return Gate(
        "slices",
        not failed,
        says,
        float(new.share[worst]),
        (float(new.low[worst]), float(new.high[worst])),
        float(above[worst]),
        detail={"slice": names[worst], "slices": len(names), "failed": len(failed) + more},
    )


@dataclass(frozen=True)
class _Shares:
    """Shares of s slices with simultaneous intervals, ``(s,)`` each."""

    share: Floats
    low: Floats
    high: Floats


def _shares(hits: Bools, scorable: Bools, codes: Ints, blocks: Ints, number: int) -> _Shares:
    """Of rows with a slice code ≥ 0 that can be scored; of correlated rows fewer count (Kish's design effect)."""
    rows = scorable & (codes >= 0)
    code, hit = codes[rows], hits[rows].astype(np.float64)
    n = np.bincount(code, minlength=number).astype(np.float64)
    share = np.bincount(code, weights=hit, minlength=number) / np.maximum(n, 1.0)
    _, block = np.unique(blocks[rows], return_inverse=True)
    cell, of_row = np.unique(code * (int(block.max(initial=0)) + 1) + block, return_inverse=True)
    of_slice = cell // (int(block.max(initial=0)) + 1)
    sums = np.bincount(of_row, weights=hit - share[code], minlength=len(cell))
    m = np.bincount(of_slice, minlength=number)
    between = np.bincount(of_slice, weights=sums**2, minlength=number) * m / np.maximum(m - 1, 1)
    effect = np.maximum(between / np.maximum(n * share * (1.0 - share), 1e-12), 1.0)
    effect = np.where((share == 0) | (share == 1), 1.0, effect)
    level, count = _ERROR / number, n / effect
    found = share * count
    low = np.where(found > 0, beta.ppf(level, np.maximum(found, 1e-9), count - found + 1.0), 0.0)
    high = np.where(found < count, beta.isf(level, found + 1.0, np.maximum(count - found, 1e-9)), 1.0)
    return _Shares(share, low, high)


def _codes(trial: Trial) -> tuple[Ints, list[str]]:
    """The code ``(n,)`` of each row's slice among those that are looked at, −1 for none, and their names."""
    names, code, count = np.unique(trial.rows.slices.astype(str), return_inverse=True, return_counts=True)
    _, block = np.unique(trial.blocks, return_inverse=True)
    cells = np.unique(block * len(names) + code)
    chosen = np.flatnonzero((count >= ROWS_MIN) & (np.bincount(cells % len(names), minlength=len(names)) >= BLOCKS_MIN))
    place = np.full(len(names), -1, dtype=np.int64)
    place[chosen] = np.arange(len(chosen))
    return place[code], names[chosen].tolist()


def _interval(shares: _Shares, at: int) -> str:
    return f"interval {shares.low[at]:.2%} to {shares.high[at]:.2%}"
