"""What WATCH sends of a final pane: the evidence of each rule, and a marker behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from flowlib.table import Ints
from schemas.codecs import encode_partials
from schemas.evidence import Evidence, EvidenceClosed, GroupSums, ModelPane, OtherRow, PaneEvidence, SourceMark
from schemas.records import TOP_MAX, PaneBlock, PaneClosed, Strangers, TopEvent
from stream_app.config import Config
from stream_app.stages.detection import detectors
from stream_app.stages.detection.causes import Found
from stream_app.stages.outputs import Outgoing

SLICES_MAX = 500
"""Slices of a message: a broker takes none beyond 1 MiB by default, and a name may have 800 bytes."""
MARKS_MAX = 10_000
"""Marks of a message: a source partition may have closed a month of panes by the minute while it was passed over."""


class PaneMessages:
    """The messages of one pane of a partials partition.

    Args:
        config: the stream.
        partition: the partials partition.
        start_ms: of the pane.
    """

    def __init__(self, config: Config, partition: int, start_ms: int) -> None:
        self._stream, self._partition = config.stream, partition
        self._start_ms, self._end_ms = start_ms, start_ms + int(config.windows.pane)
        self._evidence: list[PaneEvidence] = []
        self._groups: list[GroupSums] = []
        self._other: list[OtherRow] = []

    def found(
        self, rule: str, slicing: str, found: Found, names: Sequence[str], models: Sequence[str], counts: Ints
    ) -> None:
        """What a rule says of slices, which have names and models by number.

        Args:
            counts: ``(m, 2)`` of each slice that it speaks of, events that were scored, and alarms.
        """
        for first in range(0, len(found.numbers), SLICES_MAX):
            part = slice(first, first + SLICES_MAX)
            numbers = found.numbers[part].tolist()
            self._evidence.append(
                PaneEvidence(
                    stream=self._stream,
                    partition=self._partition,
                    pane_start_ms=self._start_ms,
                    pane_end_ms=self._end_ms,
                    rule=rule,
                    slicing=slicing,
                    index=len(self._evidence),
                    slices=[names[i] for i in numbers],
                    models=[models[i] for i in numbers],
                    scored=counts[part, 0].tolist(),
                    alarms=counts[part, 1].tolist(),
                    columns=found.encoded(first, first + len(numbers)),
                )
            )

    def group(self, rule: str, slicing: str, model_id: str, sums: detectors.GroupSums) -> None:
        """The sums over a rule's ordinary slices of one model."""
        events, deviations, unknown = map(_little, (sums.events, sums.deviations, sums.unknown))
        self._groups.append(
            GroupSums(
                rule=rule, slicing=slicing, model_id=model_id, events=events, deviations=deviations, unknown=unknown
            )
        )

    def other(self, slicing: str, model_id: str, row: Ints) -> None:
        """The row of the events of a slicing without a slice of their own."""
        self._other.append(OtherRow(slicing=slicing, model_id=model_id, row=_little(row)))

    def close(
        self,
        slices: dict[str, int],
        events: int,
        models: Sequence[str],
        blocks: Iterable[PaneBlock] = (),
        markers: Sequence[PaneClosed] = (),
        totals: Sequence[ModelPane] = (),
    ) -> list[Outgoing]:
        """All messages, the marker last.

        Args:
            slices: slicing to the number of slices that have a place there.
            events: of the first slicing.
            models: of each slice that has events.
            blocks: what the pane was made of.
            markers: of the source partitions, those that are sent on with the pane.
            totals: of each model, over the slices of the first slicing.
        """
        first = self._partition == 0  # on all partials partitions they are the same
        marker = EvidenceClosed(
            stream=self._stream,
            partition=self._partition,
            pane_start_ms=self._start_ms,
            pane_end_ms=self._end_ms,
            slices=slices,
            events=events,
            service=min(set(models), key=lambda model: (-models.count(model), model), default=""),
            models=list(totals),
            groups=self._groups,
            other=self._other,
            top=_strangest(blocks),
            marks=_marks(markers) if first else [],
            strangers=_strangers(markers) if first else [],
        )
        records: list[Evidence] = [*self._evidence, marker]
        return [Outgoing("evidence", 0, None, message.value, message.headers) for message in encode_partials(records)]


def _strangest(blocks: Iterable[PaneBlock]) -> list[TopEvent]:
    events = [event for block in blocks if block.top for event in block.top]
    return events and list(islice(sorted(events, key=lambda of: (of.p_value, of.partition, of.offset)), TOP_MAX))


def _marks(markers: Sequence[PaneClosed]) -> list[SourceMark]:
    """Of each source partition all, or every so many of them with the last: what lies between two is less exact then,
    never wrong.
    """
    step, after = max(-(-len(markers) // MARKS_MAX), 1), [*(of.partition for of in markers[1:]), -1]
    kept = [of for i, of in enumerate(markers) if i % step == 0 or of.partition != after[i]]
    return [SourceMark(partition=of.partition, pane_end_ms=of.pane_end_ms, offset_end=of.offset_end) for of in kept]


def _strangers(markers: Sequence[PaneClosed]) -> list[Strangers]:
    """Of each slicing what names most of them, the last of equals: JUDGE goes by no other."""
    found: dict[str, Strangers] = {}
    for one in (one for of in markers for one in of.strangers):
        if one.slicing not in found or one.names >= found[one.slicing].names:
            found[one.slicing] = one
    return list(found.values())


def _little(values: npt.NDArray[np.generic]) -> bytes:
    return values.astype("<i8" if values.dtype.kind == "i" else "<f8", copy=False).tobytes()
