"""Slices that a rule has found: where the evidence for each was largest, and what remains of it.

What was found ends by evidence: that against the change, since its own was largest. Of each channel that speaks for it
the bet that was largest at the channel's peak says how the change was found to be; its R over what it was then is the
likelihood ratio of "still so" to "normal again"; where another bet has gained since, the change has become smaller, and
the R of that one over the most it has been since counts as well. It is over where that of every channel has fallen to
``resolve``, or the channel to below 1, where it says nothing any more; or where none has gained in any pane for some
days, while panes spoke against it. So it never ends by forgetting.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np

from flowlib.table import Bools, Floats, Ints

try:
    from stream_app.native import _panes
except ImportError:  # no compiler when driftflow was installed
    _panes = None  # type: ignore[assignment]

STEPS = 128.0
"""Steps of ``log(1 + R)`` to a nat."""

LARGEST = 65_535
"""Most steps: they are kept in two bytes."""

HIGH = 51_200
"""Steps from which on the evidence of a slice is taken down, by half of it: they end at :data:`LARGEST`."""

_ACCUSED = 0.1
"""Channels whose part of the mixture is this share of the floor or more speak for what was found."""

_NEAR = 2e-4
"""Steps by which the single precision of :func:`steps_of` may be wrong, with some room."""

_FEW = 1_024
"""Numbers up to which double precision costs next to nothing."""

_SMALLER = 4.0
"""Nats that a bet gains while a larger one falls, where the change has become smaller and is not over."""


class Peaks:
    """What one rule has found on the slices of one slicing, m of them, with c channels and w bets in all.

    Args:
        floor: evidence from which on a slice is followed.
        weights: ``(w,)`` of the bets.
        first: ``(c,)`` column of each channel's first bet.
        patience: panes after which it is over where none of them spoke for it.

    Attributes:
        numbers: ``(m,)`` of the slices, ascending.
    """

    def __init__(self, floor: float, weights: Floats, first: Ints, patience: int) -> None:
        self._weights, self._first, self._patience = weights, np.ascontiguousarray(first, dtype=np.int64), patience
        self._least = np.log(floor * _ACCUSED)
        c, w = len(first), len(weights)
        self._channel = np.repeat(np.arange(c), np.diff(np.append(first, w)))
        self.numbers = np.zeros(0, dtype=np.int64)
        # Log of the channel's part of the mixture at its peak (−inf where it does not speak for it) and the column of
        # its largest bet then; the steps of every bet then, and the most they have been since.
        self._mixed, self._bet = np.zeros((0, c)), np.zeros((0, c), dtype=np.int64)
        self._level, self._since = np.zeros((0, w), dtype=np.int64), np.zeros((0, w), dtype=np.int64)
        # The steps in the pane before, and how many panes in a row have spoken against it and none for it.
        self._before, self._against = np.zeros((0, w), dtype=np.int64), np.zeros(0, dtype=np.int64)

    def parts(self, steps: Ints) -> tuple[Floats, Floats]:
        """Each bet's part of the mixture ``(m, w)`` and the log of each channel's ``(m, c)``; −inf where it is 0."""
        parts = np.expm1(steps / STEPS) * self._weights
        of_channels = np.add.reduceat(parts, self._first, axis=1)
        return parts, np.log(of_channels, out=np.full(of_channels.shape, -np.inf), where=of_channels > 0)

    @property
    def mixed(self) -> Floats:
        """Log of each channel's part of the mixture at its peak ``(m, c)``; −inf where it does not speak for it."""
        return self._mixed

    def add(self, numbers: Ints) -> None:
        """Slices ``(j,)`` that are followed from now on."""
        if not len(numbers):
            return
        at = np.searchsorted(self.numbers, numbers)
        self.numbers = np.insert(self.numbers, at, numbers)
        self._mixed = np.insert(self._mixed, at, -np.inf, axis=0)
        self._bet, self._level, self._since, self._before = (
            np.insert(part, at, 0, axis=0) for part in (self._bet, self._level, self._since, self._before)
        )
        self._against = np.insert(self._against, at, 0)

    def remaining(self, now: Floats, parts: Floats, steps: Ints) -> Floats:
        """The largest ``R / R at the peak`` of the channels that speak for each slice ``(m,)``, in [0, 1].

        Args:
            now, parts: of :meth:`parts`.
            steps: ``(m, w)``.
        """
        accused = (now >= self._least) | (self._mixed > -np.inf)
        none = ~accused.any(axis=1)
        if none.any():  # it was found by many small parts
            accused[none] = now[none] >= now[none].max(axis=1, keepdims=True) + np.log(_ACCUSED)
        rising = accused & (now >= self._mixed)
        if rising.any():
            self._rise(rising, now, steps)
        np.maximum(self._since, steps, out=self._since)
        speaks = (self._since - self._level > _SMALLER * STEPS) & (parts > 1.0)
        slice_, channel = np.nonzero(self._mixed > -np.inf)
        speaks[slice_, self._bet[slice_, channel]] = True
        fallen = np.maximum.reduceat(np.where(speaks, steps - self._since, -np.inf), self._first, axis=1) / STEPS
        still = accused & (now > 0.0)  # below that nothing speaks for it any more
        still[self._wait(steps, speaks) > self._patience] = False
        return np.asarray(np.exp(np.where(still, fallen, -np.inf).max(axis=1)))

    def through(self, now: Floats, parts: Floats, steps: Ints) -> tuple[Floats, Floats]:
        """:meth:`remaining` after each of n panes ``(n, m)``, and :attr:`mixed` then ``(n, m, c)``.

        Args:
            now: ``(n, m, c)``.
            parts, steps: ``(n, m, w)``.
        """
        fallen, peak = np.empty(now.shape[:2]), np.empty(now.shape)
        if _panes is None:
            for k in range(len(now)):
                fallen[k] = self.remaining(now[k], parts[k], steps[k])
                peak[k] = self._mixed
            return fallen, peak
        place = np.array([len(self._weights), self._patience, _SMALLER * STEPS, STEPS], dtype=np.int64)
        limits = np.array([self._least, np.log(_ACCUSED)])
        state = self._mixed, self._bet, self._level, self._since, self._before, self._against
        _panes.remain(now, parts, steps, self._first, place, limits, *state, fallen, peak)
        return np.exp(fallen), peak

    def copy(self) -> Peaks:
        """Another one that stands as this does."""
        other = copy(self)
        for name in ("numbers", "_mixed", "_bet", "_level", "_since", "_before", "_against"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def _wait(self, steps: Ints, speaks: Bools) -> Ints:
        """Panes in a row ``(m,)`` that have spoken against it and none for it. What comes in runs, such as missing
        values, takes years of ordinary panes to be made up for by their evidence alone.
        """
        gained = ((steps > self._before) & speaks).any(axis=1)
        lost = ((steps < self._before) & speaks).any(axis=1)
        self._against = np.where(gained, 0, self._against + lost)
        self._before = steps.copy()
        return self._against

    def _rise(self, rising: Bools, now: Floats, steps: Ints) -> None:
        """Move the peaks of channels ``(m, c)`` to where they are now."""
        largest = np.maximum.reduceat(steps, self._first, axis=1)[:, self._channel]
        at = np.where(steps == largest, np.arange(steps.shape[1]), steps.shape[1])
        self._bet = np.where(rising, np.minimum.reduceat(at, self._first, axis=1), self._bet)
        self._mixed = np.where(rising, now, self._mixed)
        bets = rising[:, self._channel]
        self._level, self._since = np.where(bets, steps, self._level), np.where(bets, steps, self._since)

    def lower(self, which: Bools) -> None:
        """Take the peaks of slices ``(m,)`` down by half of :data:`HIGH`, as their bets are. Channels that spoke for it
        much less than the others are out: near 0 nothing can fall.
        """
        lowered = self._mixed[which] - HIGH // 2 / STEPS
        self._mixed[which] = np.where(lowered >= self._least, lowered, -np.inf)
        for steps in (self._level, self._since, self._before):
            steps[which] -= np.minimum(steps[which], HIGH // 2)

    def forget(self, which: Bools) -> None:
        """Slices ``(m,)`` of which it is over."""
        self._stay(~which)

    def keep(self, numbers: Ints) -> None:
        """Only slices of these numbers stay, ascending; they are numbered anew."""
        self._stay(np.isin(self.numbers, numbers))
        self.numbers = np.searchsorted(numbers, self.numbers)

    def _stay(self, stay: Bools) -> None:
        self.numbers, self._mixed, self._bet = self.numbers[stay], self._mixed[stay], self._bet[stay]
        self._level, self._since = self._level[stay], self._since[stay]
        self._before, self._against = self._before[stay], self._against[stay]

    def to_state(self) -> list[Any]:
        """The peaks of each slice, for a snapshot."""
        of_slices = (self._mixed, self._bet, self._level, self._since, self._before)
        return [*zip(self.numbers.tolist(), self._against.tolist(), *of_slices, strict=True)]

    def restore(self, peaks: list[Any]) -> None:
        """Take a state of :meth:`to_state` back."""
        c, w = len(self._first), len(self._weights)
        self.numbers = np.array([peak[0] for peak in peaks], dtype=np.int64)
        self._against = np.array([peak[1] for peak in peaks], dtype=np.int64)
        self._mixed = np.array([peak[2] for peak in peaks], dtype=np.float64).reshape(-1, c)
        self._bet = np.array([peak[3] for peak in peaks], dtype=np.int64).reshape(-1, c)
        self._level, self._since, self._before = (
            np.array([peak[k] for peak in peaks], dtype=np.int64).reshape(-1, w) for k in (4, 5, 6)
        )


def steps_of(log_r: Floats) -> Floats:
    """``log(1 + r)`` in steps, rounded down, of logarithms of r; at most what two bytes hold.

    Many in single precision, which is several times as fast; where that leaves open which step it is, in double.

    >>> steps_of(np.log([0.001, 1.0, 1e300])).tolist()
    [0.0, 88.0, 65535.0]
    """
    if log_r.size < _FEW:
        return np.floor(np.minimum(np.logaddexp(0.0, log_r) * STEPS, LARGEST))
    rest = np.abs(log_r).astype(np.float32)
    np.negative(rest, out=rest)
    np.exp(rest, out=rest)
    rest += np.float32(1.0)
    np.log(rest, out=rest)
    steps = np.maximum(log_r, 0.0)
    steps += rest
    steps *= STEPS
    whole = np.floor(steps)
    steps -= whole
    # Below 0 nothing is rounded.
    near = np.flatnonzero((steps > 1.0 - _NEAR) | ((steps < _NEAR) & (whole > 0)))
    if len(near):
        whole.ravel()[near] = np.floor(np.logaddexp(0.0, log_r.ravel()[near]) * STEPS)
    return np.minimum(whole, LARGEST, out=whole)
