"""The blocks of a pane that is final, from all source partitions, as one row for each slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowlib.table import Ints
from schemas.pane_layout import OTHER, PaneLayout
from schemas.records import PaneBlock


@dataclass(frozen=True, slots=True)
class SlicingPane:
    """A final pane of one slicing, m slices.

    Attributes:
        names, models: of each slice; what it is called and which model scored it here.
        rows: ``(m, w)`` int64, columns as :class:`~schemas.pane_layout.PaneLayout` says.
    """

    slicing: str
    start_ms: int
    end_ms: int
    names: list[str]
    models: list[str]
    rows: Ints

    def take(self, order: Ints) -> SlicingPane:
        """The slices in another order (indices)."""
        names, models = [self.names[i] for i in order], [self.models[i] for i in order]
        return SlicingPane(self.slicing, self.start_ms, self.end_ms, names, models, self.rows[order])


def merge_blocks(layout: PaneLayout, blocks: list[PaneBlock], kept: set[str]) -> tuple[list[str], list[str], Ints]:
    """Names (ascending), models and rows ``(m, w)`` of a pane's slices; at least one block.

    Rows of one slice and model add up. Slices that are not among ``kept`` share ``__other__``.
    """
    merged: dict[tuple[str, str], Ints] = {}
    for block in blocks:
        rows = layout.decode(block.columns, len(block.slices))
        for name, row in zip(block.slices, rows, strict=True):
            key = (name if name in kept else OTHER, block.model_id)
            merged[key] = merged[key] + row if key in merged else row
    one_each = _one_model_each(layout, merged)
    names = list(one_each)
    return names, [one_each[name][0] for name in names], np.array([one_each[name][1] for name in names])


def kept_names(blocks: list[PaneBlock], known: dict[str, int], slices_max: int) -> set[str]:
    """Names that keep windows of their own: those known, then new ones in order as long as there is room."""
    names = {name for block in blocks for name in block.slices}
    room = max(slices_max - len(known), 0)
    return (names & known.keys()) | set(sorted(names - known.keys())[:room])


def _one_model_each(layout: PaneLayout, merged: dict[tuple[str, str], Ints]) -> dict[str, tuple[str, Ints]]:
    """Slice name, ascending, to model and row.

    Where source partitions swap one after the other, a slice may have two models in one pane: the likelihoods of the
    one with more rows stay, and what depends on no model adds up.
    """
    chosen: dict[str, tuple[str, Ints]] = {}
    for (name, model_id), row in sorted(merged.items()):
        if name not in chosen:
            chosen[name] = (model_id, row)
            continue
        pair = sorted((chosen[name], (model_id, row)), key=lambda item: -int(layout.get(item[1], "scored")))
        (keep, total), (_, drop) = (pair[0][0], pair[0][1].copy()), pair[1]
        total[: layout.model_free] += drop[: layout.model_free]
        chosen[name] = (keep, total)
    return chosen
