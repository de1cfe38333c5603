"""The blocks of a pane that is final, from all source partitions, as one row for each slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowlib.table import Ints, Objects
from schemas.pane_layout import OTHER, PaneLayout
from schemas.records import PaneBlock


@dataclass(frozen=True, slots=True)
class ModelPart:
    """What one model scored of a pane: p slices.

    Attributes:
        at: ``(p,)`` their places among the slices of the pane.
        rows: ``(p, w)`` int64.
    """

    model_id: str
    at: Ints
    rows: Ints


@dataclass(frozen=True, slots=True)
class SlicingPane:
    """A final pane of one slicing, m slices.

    Attributes:
        names, models: of each slice; what it is called and which model scored most of it here.
        rows: ``(m, w)`` int64, columns as :class:`~schemas.pane_layout.PaneLayout` says; those that depend on a model
            are of the one in ``models`` alone.
        parts: the same, model by model.
    """

    slicing: str
    start_ms: int
    end_ms: int
    names: list[str]
    models: list[str]
    rows: Ints
    parts: list[ModelPart]


def merge_blocks(
    layout: PaneLayout, slicing: str, start_ms: int, end_ms: int, blocks: list[PaneBlock], kept: set[str]
) -> SlicingPane:
    """A pane of its blocks; slices come in the order of their names. Those that are not ``kept`` share ``__other__``.

    Where source partitions swap one after the other, a slice may have two models in one pane: evidence is made of each,
    and in the windows the one with more rows stays.
    """
    keys = [(name if name in kept else OTHER, block.model_id) for block in blocks for name in block.slices]
    decoded = [layout.decode(block.columns, len(block.slices)) for block in blocks]
    rows = np.concatenate(decoded) if decoded else layout.blank(0)
    order = sorted(range(len(keys)), key=keys.__getitem__)
    first = [i for i, k in enumerate(order) if i == 0 or keys[k] != keys[order[i - 1]]]
    merged = layout.merge_sorted(rows[order], np.array(first)) if first else rows
    each = [keys[order[i]] for i in first]
    names = list(dict.fromkeys(name for name, _ in each))
    place = {name: i for i, name in enumerate(names)}
    at = np.array([place[name] for name, _ in each], dtype=np.int64)
    models = np.array([model_id for _, model_id in each], dtype=object)
    parts = [
        ModelPart(model_id, at[models == model_id], merged[models == model_id])
        for model_id in sorted(set(models.tolist()))
    ]
    main, whole = _one_model_each(layout, at, models, merged, len(names))
    return SlicingPane(slicing, start_ms, end_ms, names, main, whole, parts)


def _one_model_each(layout: PaneLayout, at: Ints, models: Objects, rows: Ints, m: int) -> tuple[list[str], Ints]:
    """Model and row of each slice: what depends on no model adds up, the rest is of the model with most rows."""
    if len(at) == m:
        return models.tolist(), rows
    whole, scored = layout.blank(m), layout.get(rows, "scored")
    order = np.lexsort((np.arange(len(at)), -scored, at))
    best = order[np.flatnonzero(np.diff(at[order], prepend=-1))]
    for i in range(len(at)):
        layout.merge(whole, at[[i]], rows[[i]])
    whole[:, layout.model_free :] = rows[best, layout.model_free :]
    return models[best].tolist(), whole


def kept_names(blocks: list[PaneBlock], known: dict[str, int], slices_max: int) -> set[str]:
    """Names that keep windows of their own: those known, then new ones in order as long as there is room."""
    names = {name for block in blocks for name in block.slices}
    room = max(slices_max - len(known), 0)
    return (names & known.keys()) | set(sorted(names - known.keys())[:room])
