"""Panes of a simulated stream straight into WATCH, what WATCH finds straight into JUDGE: no flow, no broker.

The panes are those of :class:`~stream_app.stages.detection.detectors.simulated.World`, as SCORE would send them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from flowlib.table import Ints
from schemas.codecs import Partial, WireMessage, decode_event, encode_partials
from schemas.incidents import Incident
from schemas.records import PaneBlock, PaneClosed
from stream_app.config import Config
from stream_app.stages.batches import PartialMessage
from stream_app.stages.decisions import Activated
from stream_app.stages.detection.detectors.simulated import PANE_MS, START_MS, Change, World
from stream_app.stages.outputs import Outputs
from stream_app.stages.partitioning import slice_partition
from stream_app.stages.pipeline import Pipeline
from stream_app.stages.score.partials import BLOCK_SLICES_MAX

MODEL = "m"


def config_of(world: World, false_incidents_per_month: float = 1.0, partitions: int = 1) -> Config:
    """The world's stream, with the default rules."""
    replace, config = msgspec.structs.replace, world.config
    return replace(
        config,
        topics=replace(config.topics, partitions=partitions),
        windows=replace(config.windows, max_slices=2 * world.slices + 10),
        alerts=replace(config.alerts, false_incidents_per_month=false_incidents_per_month),
    )


class Simulated:
    """WATCH on every partials partition, and JUDGE.

    Attributes:
        incidents: every message of one, in order.
    """

    def __init__(self, config: Config, world: World) -> None:
        self._width = config.topics.partitions
        self._pipeline = Pipeline(config, 1, [Activated(0, 0, MODEL)])
        self._pipeline.models.references[MODEL] = [world.fitted[1]]
        for partition in range(self._width):
            self._pipeline.open_watch(partition)
        self._pipeline.open_judge()
        self._ends, self._evidence_end = [0] * self._width, 0
        self.incidents: list[Incident] = []

    def feed(self, partition: int, partials: Sequence[WireMessage]) -> None:
        """Take in what SCORE has sent to a partials partition."""
        out = self._pipeline.watch(partition, _fetched(partials, self._ends[partition]))
        self._ends[partition] += len(partials)
        evidence = [message for message in out.messages if message.role == "evidence"]
        judged = self._pipeline.judge(_fetched(evidence, self._evidence_end))
        self._evidence_end += len(evidence)
        assert not out.refused
        assert not judged.refused
        self._hear(judged)

    def _hear(self, out: Outputs) -> None:
        for message in out.messages:
            record = decode_event(message.value, message.headers)
            if isinstance(record, Incident):
                self.incidents.append(record)

    @property
    def opened(self) -> list[Incident]:
        """The first message of each incident."""
        return [incident for incident in self.incidents if incident.reason == "opened"]


def _fetched(messages: Sequence[WireMessage], first: int) -> list[PartialMessage]:
    return [PartialMessage(first + i, message.value, message.headers) for i, message in enumerate(messages)]


def played(
    world: World, panes: int, width: int, seed: int, changes: dict[int, Change] | None = None, first: int = 0
) -> Iterator[tuple[int, list[WireMessage]]]:
    """Partials partition and messages, pane by pane.

    Args:
        panes: how many.
        width: number of partials partitions.
        seed: of the events.
        changes: of slices, from the first of these panes on.
        first: number of the first pane.
    """
    names = world.names
    of = np.array([slice_partition("slice", name, width) for name in names])
    for number, rows in enumerate(world.rows(world.events(panes, seed, changes), panes), first):
        for partition in range(width):
            yield partition, encode_partials(_pane(world, names, number, rows, np.flatnonzero(of == partition)))


def _pane(world: World, names: list[str], number: int, rows: Ints, at: Ints) -> list[Partial]:
    start_ms = START_MS + number * PANE_MS
    span = {"stream": world.config.stream, "partition": 0, "pane_start_ms": start_ms, "pane_end_ms": start_ms + PANE_MS}
    seen = at[world.layout.get(rows[at], "seen") > 0]
    blocks: list[Partial] = [
        PaneBlock(
            **span,
            model_id=MODEL,
            slicing="slice",
            index=index,
            slices=[names[i] for i in some],
            columns=world.layout.encode(rows[some]),
        )
        for index, some in enumerate(np.split(seen, range(BLOCK_SLICES_MAX, len(seen), BLOCK_SLICES_MAX)))
        if len(some)
    ]
    return [*blocks, PaneClosed(**span, offset_end=number)]
