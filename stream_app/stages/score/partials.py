"""What SCORE sends to WATCH: the blocks of closed panes, and markers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from flowlib.table import Ints
from schemas.codecs import Partial, encode_partials
from schemas.pane_layout import PaneLayout
from schemas.records import PaneBlock, PaneClosed, Strangers, TopEvent
from stream_app.config import Config
from stream_app.stages.outputs import Outgoing
from stream_app.stages.partitioning import slice_partitions
from stream_app.stages.score.panes import Closing, Pane
from stream_app.stages.score.top import Top, of_block

BLOCK_SLICES_MAX = 1_000
BLOCK_BYTES = 512 * 1024
"""Size of a block's columns, half of what a broker takes by default (``message.max.bytes``, 1 MiB) at most."""
NAMES_BYTES = 256 * 1024
"""Size of the names of a block's slices at most; they are what events say."""


def partials(
    config: Config,
    layout: PaneLayout,
    partition: int,
    closings: list[Closing],
    offsets: Ints,
    strangers: Mapping[int, list[Strangers]],
    top: Mapping[int, Top],
) -> list[Outgoing]:
    """Blocks and markers of a source partition's closed panes, oldest pane first, each followed by its markers.

    Args:
        config: the stream.
        layout: columns of the panes.
        partition: the source partition.
        closings: in order.
        offsets: ``(n,)`` of the records at which the events close.
        strangers: of the panes, by start: whose events are in ``__other__``.
        top: of the panes, by start: their strangest events.
    """
    writer = _Writer(config, layout, partition)
    pane_ms = int(config.windows.pane)
    for closing in closings:
        offset = int(offsets[closing.row])
        for start, panes in closing.panes:
            writer.add_blocks(start, panes, top.get(start, {}))
            writer.add_markers(start + pane_ms, offset, strangers.get(start, ()))
        if not closing.panes or closing.panes[-1][0] + pane_ms < closing.closed_ms:
            writer.add_markers(closing.closed_ms, offset)
    return writer.messages()


def _chunks(names: list[str], slices_max: int) -> Iterator[list[str]]:
    """The names of one block after the other."""
    if 4 * slices_max * max(map(len, names)) <= NAMES_BYTES:  # as bytes they are no longer than this
        yield from (names[first : first + slices_max] for first in range(0, len(names), slices_max))
        return
    chunk: list[str] = []
    room = NAMES_BYTES
    for name in names:
        size = len(name.encode())
        if chunk and (len(chunk) == slices_max or size > room):
            yield chunk
            chunk, room = [], NAMES_BYTES
        chunk.append(name)
        room -= size
    yield chunk


class _Writer:
    """Collects partials in order and encodes them at once."""

    def __init__(self, config: Config, layout: PaneLayout, partition: int) -> None:
        self._stream, self._layout, self._partition = config.stream, layout, partition
        self._slicings, self._targets = config.slicing_names, config.topics.partitions
        self._pane_ms = int(config.windows.pane)
        self._slices_max = max(min(BLOCK_SLICES_MAX, BLOCK_BYTES // (8 * layout.width)), 1)
        self._sent: list[tuple[int, Partial]] = []
        self._rows: list[tuple[Ints, list[int]]] = []

    def add_blocks(self, pane_start_ms: int, panes: list[Pane], top: Top) -> None:
        """The blocks of a pane, one Pane for each slicing; their columns are filled in at the end."""
        blocks = defaultdict[int, int](int)
        for slicing, pane in zip(self._slicings, panes, strict=True):
            routes, names = defaultdict[int, list[str]](list), sorted(pane.slices)
            for target, name in zip(slice_partitions(slicing, names, self._targets), names, strict=True):
                routes[target].append(name)
            for target, names in sorted(routes.items()):
                for chunk in _chunks(names, self._slices_max):
                    rows = list(map(pane.slices.__getitem__, chunk))
                    block = PaneBlock(
                        stream=self._stream,
                        partition=self._partition,
                        pane_start_ms=pane_start_ms,
                        pane_end_ms=pane_start_ms + self._pane_ms,
                        model_id=pane.model_id,
                        slicing=slicing,
                        index=blocks[target],
                        slices=chunk,
                        columns={},
                        top=self._top(top.get(target, ()), chunk) if pane is panes[0] else [],
                    )
                    self._sent.append((target, block))
                    self._rows.append((pane.rows, rows))
                    blocks[target] += 1

    @staticmethod
    def _top(events: Sequence[TopEvent], names: list[str]) -> list[TopEvent]:
        return of_block(events, set(names)) if events else []

    def add_markers(self, pane_end_ms: int, offset_end: int, strangers: Sequence[Strangers] = ()) -> None:
        """``PaneClosed`` on every partials partition: all panes up to ``pane_end_ms`` are complete."""
        marker = PaneClosed(
            stream=self._stream,
            partition=self._partition,
            pane_start_ms=pane_end_ms - self._pane_ms,
            pane_end_ms=pane_end_ms,
            offset_end=offset_end,
            strangers=list(strangers),
        )
        self._sent += [(target, marker) for target in range(self._targets)]

    def _columns(self) -> Iterator[dict[str, bytes]]:
        """Of each block; of many small ones at once."""
        waiting, n = list[Ints](), 0
        for rows, index in self._rows:
            if waiting and n + len(index) > BLOCK_SLICES_MAX:
                yield from self._layout.encode_blocks(np.concatenate(waiting), [len(one) for one in waiting])
                waiting, n = [], 0
            waiting.append(rows[index])
            n += len(index)
        if waiting:
            yield from self._layout.encode_blocks(np.concatenate(waiting), [len(one) for one in waiting])

    def messages(self) -> list[Outgoing]:
        """Everything collected, encoded."""
        columns = self._columns()
        whole = [
            msgspec.structs.replace(partial, columns=next(columns)) if isinstance(partial, PaneBlock) else partial
            for _, partial in self._sent
        ]
        return [
            Outgoing("partials", target, None, message.value, message.headers)
            for (target, _), message in zip(self._sent, encode_partials(whole), strict=True)
        ]
