"""Draws from a fitted density, in raw space."""

from __future__ import annotations

import numpy as np
import torch

from flowlib.encoder.encoder import Encoder
from flowlib.flows import Flow
from flowlib.surroundings import undisturbed
from flowlib.table import DAY_MS, Bools, Ints, Objects, Singles, Table

RARE = "(rare)"
"""Stands in drawn rows for any level beyond those that the encoder keeps apart."""

_WEEK_MS = 7 * DAY_MS
_ROWS = 4_096


@undisturbed()
def draw(encoder: Encoder, flow: Flow, n: int, seed: int, whole: Bools, times: Ints | None = None) -> Table:
    """n rows: gaps and categories from their own factors, the numbers given them; the same seed gives the same rows.

    Slices are drawn evenly from those with codes. Rare levels come as often as in training, each as :data:`RARE`; a
    level never seen is not drawn.

    Args:
        encoder, flow: the model.
        n: rows.
        seed: of the draws.
        whole: ``(d,)`` columns that get no gaps, whatever share smoothing gives them.
        times: ``(m,)`` milliseconds since the epoch to draw from; without them a week.
    """
    rng = np.random.default_rng(seed)
    missing = rng.random((n, len(encoder.spec.numeric))) < np.where(whole, 0.0, encoder.missing_share)
    empty = missing.all(axis=1)
    missing[empty, rng.integers(missing.shape[1], size=n)[empty]] = False  # a row without any number is no event
    slices = np.array(encoder.slices or ("",), dtype=object)[rng.integers(max(len(encoder.slices), 1), size=n)]
    rows = Table(
        np.where(missing, np.nan, 0.0),
        _categories(encoder, n, rng),
        slices,
        rng.integers(_WEEK_MS, size=n) if times is None else times[rng.integers(len(times), size=n)],
    )
    return draw_given(encoder, flow, rows, seed)


@undisturbed()
def draw_given(encoder: Encoder, flow: Flow, rows: Table, seed: int) -> Table:
    """Numbers for each row, drawn given its gaps, categories, slice and time: values that training rows had where their
    column has few, else on the grids of their columns and within what training rows had.
    """
    generator = torch.Generator().manual_seed(seed)
    missing = np.isnan(rows.numeric)
    ordinary = encoder.decode(np.zeros((1, missing.shape[1])))
    context = encoder.encode(rows.with_numeric(np.where(missing, np.nan, ordinary))).context
    drawn = [np.zeros((0, missing.shape[1]), np.float32)] + [
        flow.sample(torch.from_numpy(context[start : start + _ROWS]), generator).numpy()
        for start in range(0, len(rows), _ROWS)
    ]
    features = np.concatenate(drawn)
    values = encoder.grids.seen.table()
    cells = encoder.cells(Table.of(values, np.full((len(values), len(encoder.levels)), None)))
    rng, raw = np.random.default_rng(seed), encoder.decode(features)
    settled = encoder.grids.settled(raw, encoder.resolution, rng, features, cells)
    return rows.with_numeric(np.where(missing, np.nan, settled))


def push_out(encoder: Encoder, flow: Flow, rows: Table, z: Singles, by: float) -> Table:
    """The rows so many times as far out in the base, with their gaps, categories, slices and times.

    Args:
        encoder, flow: the model.
        rows: n rows.
        z: ``(n, d)`` their base coordinates.
        by: factor.
    """
    context = encoder.encode(rows).context
    with torch.no_grad():
        features = [
            flow.inverse(
                torch.tensor(by * z[start : start + _ROWS]), torch.tensor(context[start : start + _ROWS])
            ).numpy()
            for start in range(0, len(rows), _ROWS)
        ]
    missing = np.isnan(rows.numeric)
    numeric = encoder.decode(np.concatenate(features)) if features else rows.numeric
    return rows.with_numeric(np.where(missing, np.nan, numeric))


def _categories(encoder: Encoder, n: int, rng: np.random.Generator) -> Objects:
    columns = np.empty((n, len(encoder.levels)), dtype=object)
    tables = zip(encoder.levels, encoder.rare_levels, encoder.level_log_prob, strict=True)
    for k, (levels, rare, log_prob) in enumerate(tables):
        share = np.exp(log_prob) * np.append(np.ones(len(levels)), rare)
        codes = rng.choice(len(levels) + 1, size=n, p=share / share.sum())
        columns[:, k] = np.array([*levels, RARE], dtype=object)[codes]
    return columns
