"""What a partial must be beyond its schema: of a pane, a source partition and a model of ours, and with columns that
can be summed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from schemas.codecs import Partial
from schemas.pane_layout import NO_HIGH, NO_LOW, TOGETHER, PaneLayout
from schemas.records import PaneBlock
from stream_app.config import Config
from stream_app.stages.watch.judging import References

COUNT_MAX = 2**40
"""A count of rows is below it: sums of counts over any span and any number of source partitions fit into int64."""

SUM_MAX = 2**60
"""A sum in fixed point is below it, either way."""

_TOGETHER = 1_000
"""Rows whose columns are looked at together: they stay in the cache."""

_SUMS = ("log_prob_sum", "log_prob_square_sum", "base", "square", "product", "value")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known when partials are taken in.

    Attributes:
        references: what is normal under each model that is here, by model id.
        decided: models that a decision names: a pane of theirs waits until they are here.
        informed: whether every decision is known that was made before the partials were fetched.
    """

    references: References
    decided: Collection[str] = ()
    informed: bool = True


class PartialChecker:
    """Says what is wrong with partials of a stream."""

    def __init__(self, config: Config, layout: PaneLayout) -> None:
        self._pane_ms, self._slicings = int(config.windows.pane), config.slicing_names
        self._sizes = {name: 8 * width for name, width in layout.shapes.items()}
        self._widths = np.array(list(layout.shapes.values()))
        self._bounds = np.array([_bounds(name) for name in layout.shapes]).T

    def faults(self, partials: Sequence[Partial]) -> list[str]:
        """Of each one sentence, or "" where nothing is wrong; the columns of all of them are looked at together."""
        found = [self._beside_columns(partial) for partial in partials]
        blocks = [(k, partial) for k, partial in enumerate(partials) if not found[k] and isinstance(partial, PaneBlock)]
        for (k, block), is_sound in zip(blocks, self._are_sound([block for _, block in blocks]), strict=True):
            if not is_sound:
                faults = (self._column_fault(block, name) for name in self._sizes)
                found[k] = next(fault for fault in faults if fault)
        return found

    def fault(self, partial: Partial) -> str:
        """One sentence, or "" where nothing is wrong."""
        return self.faults([partial])[0]

    def _beside_columns(self, partial: Partial) -> str:
        start, end = partial.pane_start_ms, partial.pane_end_ms
        if start % self._pane_ms or end - start != self._pane_ms:
            return f"[{start}, {end}) ms is no pane: they are {self._pane_ms} ms long and begin at multiples of that"
        return self._block_fault(partial) if isinstance(partial, PaneBlock) else ""

    def stranger(self, partial: Partial, sources: Collection[int], known: Known) -> str:
        """Which name of a partial nobody has decided on, in one sentence, or "". Its owner writes down that it scores a
        source partition, and by which model, before it sends anything.

        Args:
            partial: without a fault.
            sources: source partitions that are waited for.
            known: the models.
        """
        if partial.partition not in sources:
            return f"no decision names source partition {partial.partition}"
        if not isinstance(partial, PaneBlock) or partial.model_id in known.references:
            return ""
        return "" if partial.model_id in known.decided else f"no decision names model {partial.model_id!r}"

    def _block_fault(self, block: PaneBlock) -> str:
        if not block.slices:
            return "a block has no slices"
        if block.slicing not in self._slicings:
            return f"slicing {block.slicing!r} is not one of {', '.join(self._slicings)}"
        if TOGETHER in block.slices:
            return f"a block has a slice {TOGETHER!r}, which is the name of all of them"
        unknown = block.columns.keys() - self._sizes.keys()
        if unknown:
            return f"column {min(unknown)!r} of a block is none of ours"
        return ""

    def _are_sound(self, blocks: list[PaneBlock]) -> list[bool]:
        """All columns at once: nearly every block is sound, and there are thousands."""
        sound, alike = [False] * len(blocks), defaultdict[int, list[int]](list)
        for k, block in enumerate(blocks):
            m, columns = len(block.slices), block.columns
            if all(len(columns.get(name, b"")) == m * size for name, size in self._sizes.items()):
                alike[m].append(k)
        for m, places in alike.items():
            some = max(_TOGETHER // m, 1)
            low, high = np.repeat(self._bounds, m * self._widths, axis=1)
            for first in range(0, len(places), some):
                part = places[first : first + some]
                joined = b"".join([blocks[k].columns[name] for k in part for name in self._sizes])
                values = np.frombuffer(joined, dtype="<i8").reshape(len(part), -1)
                for k, is_sound in zip(part, ((values > low) & (values < high)).all(axis=1).tolist(), strict=True):
                    sound[k] = is_sound
        return sound

    def _column_fault(self, block: PaneBlock, name: str) -> str:
        column, size = block.columns.get(name, b""), self._sizes[name] * len(block.slices)
        if len(column) != size:
            return f"column {name!r} of a block has {len(column)} bytes, {size} are expected"
        values = np.frombuffer(column, dtype="<i8")
        low, high = _bounds(name)
        smallest, largest = int(values.min(initial=0)), int(values.max(initial=0))
        if low < smallest and largest < high:
            return ""
        wrong = largest if largest >= high else smallest
        return f"column {name!r} of a block holds {wrong}, which is not between {low} and {high}"


def _bounds(name: str) -> tuple[int, int]:
    """What every number of a column lies between, these two excluded."""
    if name in ("low", "high"):
        return NO_HIGH - 1, NO_LOW + 1
    return (-SUM_MAX, SUM_MAX) if name in _SUMS else (-1, COUNT_MAX)
