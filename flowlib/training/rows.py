"""Rows as training takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flowlib.encoder.encoder import Encoder
from flowlib.table import Table


@dataclass(frozen=True)
class TrainingRows:
    """Encoded rows as tensors.

    Attributes:
        features: ``(n, d)``.
        context: ``(n, c)``.
        missing: ``(n, d)`` bool.
        cells: ``(2, n, d)`` features at the lower and upper end of each value's cell; None where nothing is rounded.
        codes: ``(n,)`` codes of the slices, where the flow carries a table of them.
    """

    features: Tensor
    context: Tensor
    missing: Tensor
    cells: Tensor | None = None
    codes: Tensor | None = None

    @classmethod
    def of(cls, encoder: Encoder, table: Table, name: str) -> TrainingRows:
        """The rows of a table that can be scored; raises ValueError, with the table's name, where none can."""
        encoded = encoder.encode(table)
        rows = encoded.scorable
        if not rows.any():
            raise ValueError(f"none of the {name} rows can be scored")
        rounded = bool(encoder.resolution.any())
        return cls(
            torch.from_numpy(encoded.features[rows]),
            torch.from_numpy(encoded.context[rows]),
            torch.from_numpy(encoded.missing[rows]),
            torch.from_numpy(np.stack(encoder.cells(table.take(rows)))) if rounded else None,
            torch.from_numpy(encoded.codes[rows]) if encoder.slice_table.size else None,
        )

    def __len__(self) -> int:
        return len(self.features)

    def noisy(self, rows: Tensor | slice, blur: float, normal: Tensor, uniform: Tensor | None) -> Tensor:
        """Features of the chosen rows as training sees them, ``(m, d)``.

        Rounded values lie anywhere in their cells, observed values are blurred, gaps are filled.

        Args:
            rows: indices.
            blur: standard deviation of the blur, in scale units.
            normal: ``(m, d)`` fresh draws of N(0, 1).
            uniform: ``(m, d)`` fresh draws of U(0, 1), needed where there are cells.
        """
        if self.cells is None:
            features = taken(self.features, rows)
        else:
            assert uniform is not None
            low, high = (taken(end, rows) for end in self.cells)
            features = low + (high - low) * uniform
        return torch.where(taken(self.missing, rows), normal, features + blur * normal)

    def draws(self, m: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """The draws that :meth:`noisy` takes for m rows."""
        shape = m, self.features.shape[1]
        normal = torch.randn(shape, generator=generator)
        return normal, None if self.cells is None else torch.rand(shape, generator=generator)

    def joined(self, other: TrainingRows) -> TrainingRows:
        """These rows, then the others, of the same encoder."""
        cells = None if self.cells is None or other.cells is None else torch.cat((self.cells, other.cells), dim=1)
        codes = None if self.codes is None or other.codes is None else torch.cat((self.codes, other.codes))
        features, context, missing = (
            torch.cat((getattr(self, name), getattr(other, name))) for name in ("features", "context", "missing")
        )
        return TrainingRows(features, context, missing, cells, codes)


def taken(values: Tensor, rows: Tensor | slice) -> Tensor:
    """``values[rows]`` by NumPy, on this thread.

    PyTorch shares even a few thousand numbers out among its threads, whose waiting for each other, on a machine that
    has other work, cost ten times the training.
    """
    return torch.from_numpy(values.numpy()[rows if isinstance(rows, slice) else rows.numpy()])
