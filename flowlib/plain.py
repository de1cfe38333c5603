"""Flows made of blocks as the papers write them, in float64 by NumPy: what other forms are compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowlib.layouts import BOUND, MIN_BIN, MIN_SLOPE, SLOPE_ZERO, Layout, layer_names
from flowlib.pit import HALF_LOG_TWO_PI
from flowlib.table import Floats, Singles

Z_LIMIT = 30.0
"""Bound on z of an ensemble: where members disagree by far, ladj cancels what z² adds, and float32 must hold both."""


def run(layouts: Sequence[Layout], arrays: Mapping[str, Any], x: Singles, context: Singles) -> tuple[Floats, Floats]:
    """z and ladj ``(n, d)`` of features ``(n, d)`` and context ``(n, c)``.

    Args:
        layouts: the blocks.
        arrays: their weights, named as PyTorch's ``state_dict`` has them.
        x, context: rows.
    """
    z, ladj = x.astype(np.float64), np.zeros(x.shape)
    for k, block in enumerate(layouts):
        rows = np.concatenate([z, context], axis=1)
        for i, mask in enumerate(block.masks):
            weight, bias = (arrays[name].astype(np.float64) for name in layer_names(k, i))
            rows = (np.maximum(rows, 0.0) if i else rows) @ (weight * mask).T + bias
        given = rows.reshape(len(x), block.parameters, -1)
        moved, part = _spline(z[:, block.features], given, block.bins) if block.bins else _affine(z, given, block)
        z[:, block.features] = moved
        ladj[:, block.features] += part
    return z, ladj


def combined(zs: Sequence[Any], ladjs: Sequence[Any]) -> tuple[Floats, Floats]:
    """One z and ladj ``(n, d)`` from those of the members of an ensemble; see :class:`flowlib.flows.Ensemble`."""
    each, slopes = np.stack(zs).astype(np.float64), np.stack(ladjs).astype(np.float64)
    parts = slopes - 0.5 * each * each - HALF_LOG_TWO_PI  # (m, n, d)
    totals = parts.sum(axis=2)
    top = totals.max(axis=0)
    shares = np.exp(totals - top)
    mean = top + np.log(shares.sum(axis=0)) - math.log(len(zs))
    weighted = ((shares / shares.sum(axis=0))[:, :, None] * parts).sum(axis=0)
    rest = (mean - weighted.sum(axis=1)) / each.shape[2]
    z = np.clip(each[0], -Z_LIMIT, Z_LIMIT)
    return z, weighted + rest[:, None] + 0.5 * z * z + HALF_LOG_TWO_PI


def _affine(z: Floats, given: Floats, block: Layout) -> tuple[Floats, Floats]:
    """See :class:`flowlib.flows.transforms.Affine`."""
    log_scale = 2.0 * np.tanh(0.5 * given[:, 1])
    return (z[:, block.features] - given[:, 0]) * np.exp(-log_scale), -log_scale


def _spline(x: Floats, given: Floats, bins: int) -> tuple[Floats, Floats]:
    """See :class:`flowlib.flows.transforms.RationalQuadratic`."""
    widths, heights = (_sizes(given[:, part * bins : (part + 1) * bins]) for part in (0, 1))
    slopes = MIN_SLOPE + np.logaddexp(0.0, given[:, 2 * bins :] + SLOPE_ZERO)
    ones = np.ones((len(x), 1, x.shape[1]))
    slopes = np.concatenate([ones, slopes, ones], axis=1)
    lefts, lows = (np.cumsum(sizes, axis=1) - sizes - BOUND for sizes in (widths, heights))
    at = np.clip((x[:, None] >= lefts).sum(axis=1, keepdims=True) - 1, 0, bins - 1)
    left, width, low, height = (np.take_along_axis(a, at, 1)[:, 0] for a in (lefts, widths, lows, heights))
    d0, d1 = (np.take_along_axis(slopes, at + k, 1)[:, 0] for k in (0, 1))
    s, t = height / width, np.clip((x - left) / width, 0.0, 1.0)
    u = t * (1.0 - t)
    below = s + (d1 + d0 - 2.0 * s) * u
    y = low + height * (s * t * t + d0 * u) / below
    above = d1 * t * t + 2.0 * s * u + d0 * (1.0 - t) ** 2
    ladj = 2.0 * np.log(s) + np.log(above) - 2.0 * np.log(below)
    within = np.abs(x) < BOUND
    return np.where(within, y, x), np.where(within, ladj, 0.0)


def _sizes(given: Floats) -> Floats:
    """Widths or heights ``(n, K, d)`` that add up to 2B."""
    shares = np.exp(given - given.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    bins = given.shape[1]
    sizes: Floats = 2.0 * BOUND * (MIN_BIN + (1.0 - MIN_BIN * bins) * shares)
    return sizes
