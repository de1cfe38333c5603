"""What an encoder refuses: tables that are not its columns, and parts that do not fit each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flowlib.table import Table

if TYPE_CHECKING:
    from flowlib.encoder.encoder import Encoder, FeatureSpec


def check_shapes(spec: FeatureSpec, table: Table) -> None:
    """Raise ValueError, with names, on arrays that are not the columns of ``spec``."""
    numeric, categories, names = table.numeric, table.categories, spec.numeric
    if numeric.ndim != 2 or numeric.shape[1] != len(names):
        raise ValueError(f"numeric has shape {numeric.shape}, expected (n, {len(names)}): {', '.join(names)}")
    if numeric.dtype != np.float32:
        raise ValueError(f"numeric is {numeric.dtype}, expected float32 with NaN for missing: build it with Table.of")
    if categories.shape != (len(numeric), len(spec.categorical)):
        expected = f"({len(numeric)}, {len(spec.categorical)}): {', '.join(spec.categorical) or 'no columns'}"
        raise ValueError(f"categories has shape {categories.shape}, expected {expected}")


def check_parts(encoder: Encoder) -> None:
    """Refuse parts that do not fit each other: a signature says who made a model, not that it makes sense."""
    d, steps, limit, share = len(encoder.spec.numeric), encoder.resolution, encoder.limit, encoder.missing_share
    if sorted(j for columns, _ in encoder.maps for j in columns.tolist()) != list(range(d)):
        raise ValueError("encoder: each numeric column needs exactly one map")
    if any(a.shape != (d,) or a.dtype != np.float64 or not np.isfinite(a).all() for a in (steps, limit, share)):
        raise ValueError("encoder: resolution, limit and missing_share must be finite float64, one for each column")
    if not ((steps >= 0).all() and (limit > 0).all() and (share > 0).all() and (share < 1).all()):
        raise ValueError("encoder: resolutions must be at least 0, limits positive, missing shares inside (0, 1)")
    tables = zip(encoder.level_log_prob, encoder.levels, strict=True)
    if len(encoder.levels) != len(encoder.spec.categorical) or any(t.shape != (len(known) + 1,) for t, known in tables):
        raise ValueError("encoder: tables of the categories do not fit their levels")
    rare = encoder.rare_levels
    if len(rare) != len(encoder.levels) or any(not isinstance(count, int) or count < 0 for count in rare):
        raise ValueError("encoder: rare_levels must be a whole number for each categorical column, 0 at least")
    width = encoder.config.embedding if "slice" in encoder.config.context else 0
    if encoder.slice_table.shape != (len(encoder.slices) + 1, width) or encoder.slice_table.dtype != np.float32:
        raise ValueError(f"encoder: slice_table must be float32 of shape ({len(encoder.slices) + 1}, {width})")
