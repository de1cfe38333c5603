"""What a smaller form of a model costs beside the model itself, on some rows: nats, p-values, bytes and seconds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from flowlib.intervals import wilson_of_one
from flowlib.table import Floats

ALPHA = 0.01
"""p-values at most this are counted."""

SMALLER = 1.5
"""How many times smaller a form must be to be worth anything."""
SLOWER = 1.1
"""How many times as long it may take."""

_TURN_S, _BLOCK_S = 0.1, 0.001
"""Processor seconds of a measurement at least, and of one of its blocks, far above a clock's grain."""


@dataclass(frozen=True)
class Price:
    """Bytes of a form, and processor microseconds a row at one row and at many."""

    bytes: int
    one_us: float
    many_us: float


@dataclass(frozen=True)
class Cost:
    """A form beside the model.

    Attributes:
        rows: on how many.
        nats_mean, nats_worst: difference in log-likelihood, mean and largest.
        share, share_low, share_high: of p-values ≤ ``ALPHA`` by the form, with a 95 % interval (Wilson).
        share_model: the same by the model.
        p_worst: largest difference of a p-value.
        of, beside: what the form takes, and what the form beside it (float32) takes.
    """

    rows: int
    nats_mean: float
    nats_worst: float
    share: float
    share_low: float
    share_high: float
    share_model: float
    p_worst: float
    of: Price
    beside: Price

    @property
    def says(self) -> list[str]:
        """Sentences: what it costs, and whether it pays."""
        of, beside = self.of, self.beside
        return [
            f"{of.bytes / 1e3:,.0f} kB, {beside.bytes / of.bytes:.1f} times smaller than in float32; here a row alone "
            f"takes {of.one_us:.0f} µs (float32 {beside.one_us:.0f}), one of many {of.many_us:.1f} µs "
            f"(float32 {beside.many_us:.1f})",
            f"of {self.rows:,} rows: {self.nats_mean:.2g} nats off on average and {self.nats_worst:.2g} at worst; "
            f"{self.share:.1%} of them have p ≤ {ALPHA} ({self.share_low:.1%} to {self.share_high:.1%}), by the model "
            f"{self.share_model:.1%}; a p-value is at most {self.p_worst:.2g} off",
            "it pays where bytes are short" if not self.against else "it hardly pays: " + "; ".join(self.against),
        ]

    @property
    def against(self) -> list[str]:
        """What speaks against it."""
        of, beside = self.of, self.beside
        reasons = []
        if beside.bytes < SMALLER * of.bytes:
            reasons.append(f"it is not {SMALLER} times smaller")
        if of.one_us > SLOWER * beside.one_us:
            reasons.append(f"a row alone takes {of.one_us / beside.one_us:.1f} times as long")
        if of.many_us > SLOWER * beside.many_us:
            reasons.append(f"rows that come together take {of.many_us / beside.many_us:.1f} times as long")
        if not self.share_low <= self.share_model <= self.share_high:
            reasons.append("its p-values are not what they were calibrated to be")
        return reasons

    def to_state(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"against": self.against}


def cost_of(
    model: tuple[Floats, Floats], form: tuple[Floats, Floats], of: Price, beside: Price, alpha: float = ALPHA
) -> Cost:
    """Of log-likelihoods and p-values ``(n,)`` of the same rows, all scorable, by the model and by the form.

    Raises:
        ValueError: there are no rows.
    """
    n = len(model[0])
    if not n:
        raise ValueError("there is no row to compare on")
    nats, hits = np.abs(form[0] - model[0]), int((form[1] <= alpha).sum())
    return Cost(
        n,
        float(nats.mean()),
        float(nats.max()),
        hits / n,
        *wilson_of_one(hits, n),
        float((model[1] <= alpha).mean()),
        float(np.abs(form[1] - model[1]).max()),
        of,
        beside,
    )


def seconds(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    """For one call, the least of the blocks of a turn, by a clock in seconds: other work only adds to a block."""
    call()
    best, began, blocks, calls = math.inf, clock(), 0, 1
    while blocks < 2 or clock() - began < _TURN_S:
        start = clock()
        for _ in range(calls):
            call()
        took = clock() - start
        if took < _BLOCK_S and not blocks:
            calls *= 2
            continue
        best, blocks = min(best, took / calls), blocks + 1
    return best
