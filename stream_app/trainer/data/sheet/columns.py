"""Columns that say nothing, say the same as another one, or fall silent."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flowlib.encoder.findings import duplicates as exact_copies
from flowlib.table import Floats
from stream_app.trainer.data.sheet.findings import Finding, Material

ALIKE = 0.999
"""Correlation, in size, from which on two columns say the same."""
NEW_SHARE = 0.01
GONE = 0.99
_ROWS_MIN = 50
_ROWS_MAX = 5_000


def constants(m: Material) -> Iterator[Finding]:
    """Columns that are constant in training: severe where held-out rows have other values."""
    for name, train, held in zip(m.names, m.train.numeric.T, m.held.numeric.T, strict=True):
        train, held = train[~np.isnan(train)], held[~np.isnan(held)]
        if len(train) and train.min() == train.max():
            share = float(np.mean(held != train[0])) if len(held) else 0.0
            severe = share > NEW_SHARE
            says = (
                f"{name} is constant in training and has other values in {share:.0%} of the held-out rows, which would "
                "all be very unlikely: train on rows from the change on"
                if severe
                else f"{name} is constant: it says nothing, and any other value will be very unlikely"
            )
            figure = {"other_share": share}
            yield Finding("constant", "severe" if severe else "warning", (name,), figure, says)


def missing(m: Material) -> Iterator[Finding]:
    """Columns that are there in training and gone in the gate, or the other way round."""
    gate = m.strange_only(m.split.gate)
    if not len(gate) or not len(m.train):
        return
    shares = (np.isnan(table.numeric).mean(axis=0) for table in (m.train, gate))
    for name, train, judged in zip(m.names, *shares, strict=True):
        if abs(judged - train) > m.config.trainer.max_missing_share:
            severe = max(judged, train) >= GONE
            says = f"{name} is missing in {train:.0%} of the training rows and in {judged:.0%} of those of the gate"
            figure = {"train_share": float(train), "gate_share": float(judged)}
            yield Finding("missing", "severe" if severe else "warning", (name,), figure, says)


def near_duplicates(m: Material) -> Iterator[Finding]:
    """Pairs of columns with |r| > :data:`ALIKE` in training, exact copies up to their units among them."""
    numeric = m.looked_at(m.train).numeric
    if len(numeric) < _ROWS_MIN:
        return
    exact = {(a, b) for a, b, _ in exact_copies(numeric)}
    r = np.abs(_correlations(numeric))
    for a, b in np.argwhere(np.triu(r > ALIKE, 1)).tolist():
        copy = "an exact copy of" if (a, b) in exact else "nearly the same as"
        says = (
            f"{m.names[b]} is {copy} {m.names[a]} up to its unit (|r| {r[a, b]:.5f}): leave one of them out, or their "
            "likelihood counts the same news twice"
        )
        yield Finding("near-duplicate", "warning", (m.names[a], m.names[b]), {"r": float(r[a, b])}, says)


def _correlations(numeric: Floats) -> Floats:
    """``(d, d)``, each of the rows that have both columns; 0 of too few, and of what does not vary."""
    d = numeric.shape[1]
    step = max(len(numeric) // _ROWS_MAX, 1)
    x = np.where(np.isfinite(numeric[::step]), numeric[::step], np.nan)
    x = (x - np.nanmean(x, axis=0)) if len(x) and not np.isnan(x).all(axis=0).any() else np.nan_to_num(x)
    there = (~np.isnan(x)).astype(np.float64)
    x = np.nan_to_num(x)
    n = there.T @ there
    mean, square = (x.T @ there) / np.maximum(n, 1), (x.T**2 @ there) / np.maximum(n, 1)
    variance = square - mean**2
    together = (x.T @ x) / np.maximum(n, 1) - mean * mean.T
    scale = np.sqrt(np.maximum(variance * variance.T, 0.0))
    varies = (n >= _ROWS_MIN) & (scale > 1e-12 * np.maximum(square, square.T)) & ~np.eye(d, dtype=bool)
    return np.where(varies, together / np.where(varies, scale, 1.0), 0.0)
