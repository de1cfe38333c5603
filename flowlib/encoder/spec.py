"""What an encoder is fitted for: the columns, and what it may do with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowlib.encoder.columns import MAPS
from flowlib.encoder.context import KINDS
from flowlib.encoder.zones import check_zone
from flowlib.table import Table


@dataclass(frozen=True)
class FeatureSpec:
    """Names of the columns, in order.

    >>> FeatureSpec(("amount", "items"), ("shop",)).numeric
    ('amount', 'items')
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...] = ()

    def check(self, table: Table) -> None:
        """Raise ValueError, with names, on a table of other columns."""
        numeric, categories = table.numeric, table.categories
        if numeric.ndim != 2 or numeric.shape[1] != len(self.numeric):
            expected = f"(n, {len(self.numeric)}): {', '.join(self.numeric)}"
            raise ValueError(f"numeric has shape {numeric.shape}, expected {expected}")
        if numeric.dtype != np.float64:
            raise ValueError(
                f"numeric is {numeric.dtype}, expected float64 with NaN for missing: build it with Table.of"
            )
        if categories.shape != (len(numeric), len(self.categorical)):
            expected = f"({len(numeric)}, {len(self.categorical)}): {', '.join(self.categorical) or 'no columns'}"
            raise ValueError(f"categories has shape {categories.shape}, expected {expected}")


@dataclass(frozen=True)
class EncoderConfig:
    """What the encoder may do.

    Attributes:
        maps: kinds of column map to choose from, the simpler ones first (:data:`~flowlib.encoder.columns.MAPS`).
        context: of ``hour``, ``weekday``, ``season``, ``slice``: what the flow is conditioned on beside gaps and
            categories. A model that is conditioned on the slice does not find a slice strange for being unlike the
            others.
        embedding: width of the learnt row for each slice.
        dequantize: spread rounded values over their cells in training.
        zone: time zone of hour, weekday and season, and of the hours at which events come.
    """

    maps: tuple[str, ...] = ("standard", "robust", "log", "asinh", "quantile")
    context: tuple[str, ...] = ()
    embedding: int = 8
    dequantize: bool = True
    zone: str = "UTC"

    def __post_init__(self) -> None:
        try:
            check_zone(self.zone)
        except ValueError as error:
            raise ValueError(f"encoder zone: {error}") from None
        for name, allowed in (("maps", tuple(MAPS)), ("context", KINDS)):
            chosen = getattr(self, name)
            if set(chosen) - set(allowed) or len(set(chosen)) < len(chosen):
                raise ValueError(f"encoder {name}: each of {', '.join(allowed)} at most once, got {', '.join(chosen)}")
        if not self.maps or not 1 <= self.embedding <= 64:
            raise ValueError(
                f"encoder: at least one map and an embedding of 1 to 64, got {self.maps}, {self.embedding}"
            )
