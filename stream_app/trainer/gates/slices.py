"""Gate ``slices``: no slice is drowned in alarms, and none is switched off, though all together look well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from flowlib.density import Scores
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
    """Alarm share of each slice of each slicing, with intervals that hold for all of them together (Clopper & Pearson
    1934, Bonferroni).

    A slice fails where its share is surely above ``max_alarm_ratio`` times the nominal share, or times the share of all
    slices where that is more, and above the champion's; or surely below :data:`LOW` times nominal where the champion's
    is not.
    """
    found, alarms = _Slices.of(trial), trial.new.p_value[trial.new.scorable] <= ALARM_ALPHA
    usual = max(ALARM_ALPHA, float(np.mean(alarms)) if len(alarms) else 0.0)
    limit = trial.settings.max_alarm_ratio * usual
    if not found.names:
        says = f"no slice has {ROWS_MIN} held-out events on {BLOCKS_MIN} blocks of time"
        return Gate("slices", True, says, None, None, limit)
    new = found.shares(trial.new)
    above, below = np.full(len(found.names), limit), np.ones(len(found.names), dtype=bool)
    if trial.old is not None:
        old = found.shares(trial.old)
        above, below = np.maximum(limit, old.high), old.share >= LOW * ALARM_ALPHA
    loud = new.low > above
    silent = (new.high < LOW * ALARM_ALPHA) & below
    return _gate(found.names, new, above, loud, silent)


def _gate(names: list[str], new: _Shares, above: Floats, loud: Bools, silent: Bools) -> Gate:
    worst = int(np.argmax(np.where(loud, new.share + 1.0, np.where(silent, 1.0 - new.share, new.share - 1.0))))
    wrong = np.flatnonzero(loud | silent)
    told = ", ".join(f"{new.share[i]:.2%} of the events of {names[i]!r}" for i in wrong[:_SHOWN])
    others = f" and {len(wrong) - _SHOWN} slices more" if len(wrong) > _SHOWN else ""
    if len(wrong):
        says = f"far too many alarms on a slice, or far too few: {told}{others}"
    else:
        says = f"of {len(names):,} slices none has far too many alarms or far too few; most has {names[worst]!r}"
    low, high = float(new.low[worst]), float(new.high[worst])
    says += f" (interval {low:.2%} to {high:.2%}; {LOW * ALARM_ALPHA:.1%} to {above[worst]:.1%} allowed)"
    detail = {"slice": names[worst], "slices": len(names), "failed": [names[i] for i in wrong]}
    return Gate(
        "slices", not len(wrong), says, float(new.share[worst]), (low, high), float(above[worst]), detail=detail
    )


@dataclass(frozen=True)
class _Slices:
    """The slices that are looked at, of all slicings.

    Attributes:
        names: ``(s,)``.
        rows: ``(m,)`` rows of slices, a row once for each slicing.
        codes: ``(m,)`` place of the slice among the names.
        blocks: ``(n,)`` of all rows.
    """

    names: list[str]
    rows: Ints
    codes: Ints
    blocks: Ints

    @classmethod
    def of(cls, trial: Trial) -> _Slices:
        names: list[str] = []
        rows, codes = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        _, block = np.unique(trial.blocks, return_inverse=True)
        for number in range(1 if trial.rows.others is None else 1 + trial.rows.others.shape[1]):
            there, code, count = np.unique(
                trial.rows.in_slicing(number).astype(str), return_inverse=True, return_counts=True
            )
            cells = np.unique(block * len(there) + code)
            blocks = np.bincount(cells % max(len(there), 1), minlength=len(there))
            chosen = np.flatnonzero((count >= ROWS_MIN) & (blocks >= BLOCKS_MIN))
            place = np.full(len(there), -1, dtype=np.int64)
            place[chosen] = len(names) + np.arange(len(chosen))
            inside = np.flatnonzero(place[code] >= 0)
            rows, codes = [*rows, inside], [*codes, place[code[inside]]]
            names += there[chosen].tolist()
        return cls(names, np.concatenate(rows), np.concatenate(codes), block)

    def shares(self, scores: Scores) -> _Shares:
        """Of rows that can be scored; of rows that resemble each other fewer count (Kish's design effect)."""
        counted = scores.scorable[self.rows]
        rows, code, number = self.rows[counted], self.codes[counted], len(self.names)
        hit = (scores.p_value[rows] <= ALARM_ALPHA).astype(np.float64)
        n = np.bincount(code, minlength=number).astype(np.float64)
        share = np.bincount(code, weights=hit, minlength=number) / np.maximum(n, 1.0)
        width = int(self.blocks.max(initial=0)) + 1
        cell, of_row = np.unique(code * width + self.blocks[rows], return_inverse=True)
        sums = np.bincount(of_row, weights=hit - share[code], minlength=len(cell))
        m = np.bincount(cell // width, minlength=number)
        between = np.bincount(cell // width, weights=sums**2, minlength=number) * m / np.maximum(m - 1, 1)
        effect = np.maximum(between / np.maximum(n * share * (1.0 - share), 1e-12), 1.0)
        return _Shares.of(share, n / np.where((share == 0) | (share == 1), 1.0, effect))


@dataclass(frozen=True)
class _Shares:
    """Shares of s slices with simultaneous intervals, ``(s,)`` each."""

    share: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, share: Floats, count: Floats) -> _Shares:
        """Shares of so many independent rows."""
        level, found = _ERROR / len(share), share * count
        low = np.where(found > 0, beta.ppf(level, np.maximum(found, 1e-9), count - found + 1.0), 0.0)
        high = np.where(found < count, beta.isf(level, found + 1.0, np.maximum(count - found, 1e-9)), 1.0)
        return cls(share, low, high)
