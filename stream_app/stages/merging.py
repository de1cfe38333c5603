"""The blocks of panes that are final, from all source partitions, as one row for each slice and pane."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import lt

import numpy as np

from flowlib.table import Ints, Objects
from schemas.pane_layout import OTHER, PaneLayout
from schemas.records import PaneBlock

_LARGE = 64
"""Slices of a block from which on, on average, blocks are decoded one by one."""

Key = tuple[int, str, str]
"""Number of the pane, slice, model."""


@dataclass(frozen=True, slots=True)
class ModelPart:
    """What one model scored of some panes: p rows.

    Attributes:
        at: ``(p,)`` their places among the cells.
        rows: ``(p, w)`` int64.
        edges: pane k has the rows ``edges[k]`` to ``edges[k + 1]``.
    """

    model_id: str
    at: Ints
    rows: Ints
    edges: list[int]


@dataclass(frozen=True, slots=True)
class SlicingPanes:
    """Final panes of one slicing, one after the other; m cells, each a slice in a pane, pane by pane.

    Attributes:
        starts_ms: of each pane.
        edges: pane k has the cells ``edges[k]`` to ``edges[k + 1]``.
        names, models: of each cell; what its slice is called and which model scored most of it.
        rows: ``(m, w)`` int64, columns as :class:`~schemas.pane_layout.PaneLayout` says; those that depend on a model
            are of the one in ``models`` alone.
        parts: the same, model by model.
        others: of each pane, the model and row ``(w,)`` of the events that share ``__other__``, model by model.
    """

    slicing: str
    starts_ms: list[int]
    edges: list[int]
    names: list[str]
    models: list[str]
    rows: Ints
    parts: list[ModelPart]
    others: list[list[tuple[str, Ints]]]


def merge_blocks(
    layout: PaneLayout, slicing: str, panes: Sequence[tuple[int, list[PaneBlock]]], kept: Collection[str]
) -> SlicingPanes:
    """Panes, each with its start and blocks; slices come in the order of their names. Those that are not ``kept`` share
    ``__other__``, which is no slice unless it is ``kept`` itself.

    Where source partitions swap one after the other, a slice may have two models in one pane: evidence is made of each,
    and in the windows the one with more rows stays.
    """
    blocks = [block for _, of_pane in panes for block in of_pane]
    if (plain := _plain(layout, slicing, panes, blocks, kept)) is not None:
        return plain
    keys = [
        (k, name if name in kept else OTHER, block.model_id)
        for k, (_, of_pane) in enumerate(panes)
        for block in of_pane
        for name in block.slices
    ]
    keys, rows = _in_order(layout, keys, _rows(layout, blocks))
    others: list[list[tuple[str, Ints]]] = [[] for _ in panes]
    if OTHER not in kept:
        keys, rows = _apart(keys, rows, others)
    cells = list(dict.fromkeys([key[:2] for key in keys]))
    starts = [start for start, _ in panes]
    models, whole = _one_model_each(layout, keys, cells, rows)
    edges, names = _edges([k for k, _ in cells], len(panes)), [name for _, name in cells]
    return SlicingPanes(slicing, starts, edges, names, models, whole, _parts(keys, cells, rows, len(panes)), others)


def _plain(
    layout: PaneLayout,
    slicing: str,
    panes: Sequence[tuple[int, list[PaneBlock]]],
    blocks: list[PaneBlock],
    kept: Collection[str],
) -> SlicingPanes | None:
    """Panes that one source partition has sent, under one model, of slices that are all kept: as they come. None where
    they are not like this.
    """
    names, edges, models = list[str](), [0], {block.model_id for block in blocks}
    for _, of_pane in panes:
        own = [name for block in of_pane for name in block.slices]
        if not all(map(lt, own, own[1:])):
            return None
        names += own
        edges.append(len(names))
    if len(models) != 1 or not all(map(kept.__contains__, names)):
        return None
    model, rows, starts = *models, _rows(layout, blocks), [start for start, _ in panes]
    parts = [ModelPart(model, np.arange(len(names)), rows, edges)]
    return SlicingPanes(slicing, starts, edges, names, [model] * len(names), rows, parts, [[] for _ in panes])


def _rows(layout: PaneLayout, blocks: list[PaneBlock]) -> Ints:
    """Rows ``(M, w)`` of blocks, one below the other."""
    m = sum([len(block.slices) for block in blocks])
    if m == 1:  # its columns one behind the other are the row
        return np.frombuffer(b"".join([blocks[0].columns[name] for name in layout.columns]), dtype="<i8")[None]
    if m < _LARGE * len(blocks):
        columns = {name: b"".join([block.columns[name] for block in blocks]) for name in layout.columns}
        return layout.decode(columns, m)
    rows, first = np.empty((m, layout.width), dtype=np.int64), 0
    for block in blocks:  # each by itself stays in the cache
        layout.decode_into(rows[first : first + len(block.slices)], block.columns)
        first += len(block.slices)
    return rows


def _in_order(layout: PaneLayout, keys: list[Key], rows: Ints) -> tuple[list[Key], Ints]:
    """One row for each key, keys ascending."""
    if all(a < b for a, b in pairwise(keys)):  # of one source partition they mostly come like this
        return keys, rows
    order = sorted(range(len(keys)), key=keys.__getitem__)
    first = [i for i, k in enumerate(order) if i == 0 or keys[k] != keys[order[i - 1]]]
    return [keys[order[i]] for i in first], layout.merge_sorted(rows[order], np.array(first))


def _apart(keys: list[Key], rows: Ints, others: list[list[tuple[str, Ints]]]) -> tuple[list[Key], Ints]:
    """Slices alone; what shares ``__other__`` in each pane goes to ``others``."""
    named = [name != OTHER for _, name, _ in keys]
    if all(named):
        return keys, rows
    for i, (k, name, model) in enumerate(keys):
        if name == OTHER:
            others[k].append((model, rows[i]))
    return [key for key, is_slice in zip(keys, named, strict=True) if is_slice], rows[np.array(named)]


def _edges(panes: list[int], n: int) -> list[int]:
    """Where each of n panes begins among ascending numbers of panes, and where the last one ends."""
    edges: list[int] = np.searchsorted(np.array(panes, dtype=np.int64), np.arange(n + 1)).tolist()
    return edges


def _parts(keys: list[Key], cells: list[tuple[int, str]], rows: Ints, n: int) -> list[ModelPart]:
    models = sorted({model for *_, model in keys})
    if len(models) == 1 and len(cells) == len(keys):
        return [ModelPart(models[0], np.arange(len(keys)), rows, _edges([k for k, *_ in keys], n))]
    place, out = {cell: i for i, cell in enumerate(cells)}, []
    for model in models:
        own = [i for i, key in enumerate(keys) if key[2] == model]
        at = np.array([place[keys[i][:2]] for i in own], dtype=np.int64)
        out.append(ModelPart(model, at, rows[own], _edges([keys[i][0] for i in own], n)))
    return out


def _one_model_each(
    layout: PaneLayout, keys: list[Key], cells: list[tuple[int, str]], rows: Ints
) -> tuple[list[str], Ints]:
    """Model and row of each cell: what depends on no model adds up, the rest is of the model with most rows."""
    if len(keys) == len(cells):
        return [model for *_, model in keys], rows
    place = {cell: i for i, cell in enumerate(cells)}
    at = np.array([place[key[:2]] for key in keys], dtype=np.int64)
    models: Objects = np.array([model for *_, model in keys], dtype=object)
    whole, scored = layout.blank(len(cells)), layout.get(rows, "scored")
    order = np.lexsort((np.arange(len(at)), -scored, at))
    best = order[np.flatnonzero(np.diff(at[order], prepend=-1))]
    for i in range(len(at)):
        layout.merge(whole, at[[i]], rows[[i]])
    whole[:, layout.model_free :] = rows[best, layout.model_free :]
    return models[best].tolist(), whole


def kept_names(
    blocks: list[PaneBlock], known: dict[str, int], slices_max: int, usual: Collection[str] = ()
) -> set[str]:
    """Names that keep windows of their own: those known, then new ones in order as long as there is room, the ``usual``
    ones first; ``__other__`` is none.
    """
    names = set[str]().union(*(block.slices for block in blocks)) - {OTHER}
    if names <= known.keys():
        return names
    room = max(slices_max - len(known), 0)
    return (names & known.keys()) | set(sorted(names - known.keys(), key=lambda name: (name not in usual, name))[:room])
