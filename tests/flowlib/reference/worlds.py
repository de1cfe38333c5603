"""Held-out rows of slices that differ, with their event scores: what a reference is fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from flowlib.channels import Channels, EventScores
from flowlib.density import Scores
from flowlib.reference.fit import fit_reference
from flowlib.reference.reference import VARIES, Reference
from flowlib.table import Bools, Floats, Ints, Table

PANE_MS = 3_600_000
START_MS = 1_700_006_400_000


@dataclass(frozen=True)
class Held:
    """n rows and what a model says of them."""

    channels: Channels
    events: EventScores
    table: Table
    kinds: Ints
    code: Ints
    location: Floats

    def reference(self, **change: object) -> Reference:
        return fit_reference(self.channels, self.events, self.table, self.kinds, PANE_MS, **change)  # type: ignore[arg-type]


def scores_of(z: Floats, missing: Bools, levels: Ints) -> Scores:
    """As a model gives them."""
    n, zeros, yes = len(z), np.zeros(len(z)), np.ones(len(z), dtype=bool)
    single = np.where(missing, 0, z).astype(np.float32)
    return Scores(
        log_prob=zeros, parts=np.zeros((n, 1)), z=single, features=single, levels=levels, distance=zeros,
        surprise=(z**2).sum(axis=1), p_value=zeros + 0.5, pooled=~yes, scorable=yes, missing=missing,
    )  # fmt: skip


def held_out(
    slices: int = 20, panes: int = 200, n: int = 4, d: int = 2, phi: float = 0.0, differ: float = 0.0, seed: int = 0,
    gaps: float = 0.05, kinds: Ints | None = None, numeric: Floats | None = None,
) -> Held:  # fmt: skip
    """Rows of slices, n a pane each; an AR(1) in time, slices' means of sd ``differ``."""
    rng = np.random.default_rng(seed)
    steps = panes * n
    z = rng.standard_normal((steps + 30, slices, d)) * (1 - phi**2) ** 0.5
    z = lfilter([1.0], [1.0, -phi], z, axis=0)[30:]
    location = differ * rng.standard_normal((slices, d))
    z = (z + location).reshape(-1, d)
    code = np.tile(np.arange(slices), steps)
    missing = rng.random(z.shape) < gaps
    levels = rng.choice(3, (len(z), 1), p=[0.6, 0.3, 0.1]).astype(np.int64)
    values = z.astype(np.float32) if numeric is None else numeric
    table = Table.of(
        np.where(missing, np.nan, values),
        slices=np.array([f"s{i:03d}" for i in code], dtype=object),
        time_ms=START_MS + np.repeat(np.arange(steps) * (PANE_MS // n), slices),
    )
    kinds = np.full(d, VARIES, dtype=np.int64) if kinds is None else kinds
    scores = scores_of(z, missing, levels)
    channels = Channels.fit(scores, (3,), kinds == VARIES)
    return Held(channels, channels.of(scores), table, kinds, code, location)
