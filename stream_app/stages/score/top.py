"""The strangest flagged events of each open pane, which go with its blocks: examples for who looks into an incident.

Of each partials partition that looks after their slices a bounded number is kept, the smallest p-values first, then the
smallest offsets. That is a function of the rows, however they were cut into batches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas.records import TOP_MAX, EventAnomaly, TopEvent
from stream_app.stages.partitioning import slice_partition

TOP_BYTES = 64 * 1024
"""Size of the events of a block at most: their names and values are what events say."""

Top = Mapping[int, Sequence[TopEvent]]
"""The events of a pane by the partials partition of their slices, the strangest first."""


@dataclass(slots=True)
class Tops:
    """Of one source partition.

    Attributes:
        panes: pane start to its events.
    """

    panes: dict[int, dict[int, list[TopEvent]]] = field(default_factory=dict)

    def take(self, slicing: str, targets: int, flagged: Iterable[tuple[int, str, EventAnomaly]]) -> None:
        """Take flagged events in.

        Args:
            slicing: name of the first slicing.
            targets: partials partitions.
            flagged: each with the start of its pane, and the slice that it is counted in.
        """
        new = defaultdict[tuple[int, int], list[tuple[str, EventAnomaly]]](list)
        for start, name, event in flagged:
            new[start, slice_partition(slicing, name, targets)].append((name, event))
        for (start, target), events in new.items():
            of_pane = self.panes.setdefault(start, {})
            of_pane[target] = _joined(of_pane.get(target, []), events)

    def forget_closed(self, pane_ms: int, closed_ms: int) -> None:
        """Drop the events of panes that are closed."""
        self.panes = {start: events for start, events in self.panes.items() if start + pane_ms > closed_ms}

    def to_state(self) -> list[Any]:
        """Plain values, for a snapshot."""
        return [
            [start, [[target, msgspec.to_builtins(events)] for target, events in sorted(of_pane.items())]]
            for start, of_pane in sorted(self.panes.items())
        ]

    @classmethod
    def from_state(cls, state: list[Any]) -> Tops:
        """Inverse of :meth:`to_state`."""
        return cls(
            {
                start: {target: msgspec.convert(events, list[TopEvent]) for target, events in of_pane}
                for start, of_pane in state
            }
        )


def of_block(events: Iterable[TopEvent], names: Collection[str]) -> list[TopEvent]:
    """Those of some slices, as many as a message has room for."""
    size, kept = 0, list[TopEvent]()
    for event in events:
        if event.slice in names:
            size += len(msgspec.msgpack.encode(event))
            if size > TOP_BYTES:
                break
            kept.append(event)
    return kept


def _joined(known: list[TopEvent], new: list[tuple[str, EventAnomaly]]) -> list[TopEvent]:
    """The strangest of both. Of events that a drifted slice flags by the thousand most are never looked at again."""
    strangest = sorted(new, key=lambda one: _strangeness(one[1]))[:TOP_MAX]
    if len(known) == TOP_MAX:
        strangest = [one for one in strangest if _strangeness(one[1]) < _strangeness(known[-1])]
    return sorted([*known, *(_top(name, event) for name, event in strangest)], key=_strangeness)[:TOP_MAX]


def _strangeness(event: TopEvent | EventAnomaly) -> tuple[float, int]:
    return event.p_value, event.offset


def _top(name: str, event: EventAnomaly) -> TopEvent:
    return TopEvent(
        partition=event.partition,
        offset=event.offset,
        event_time_ms=event.event_time_ms,
        slice=name,
        model_id=event.model_id,
        log_prob=event.log_prob,
        p_value=event.p_value,
        blame=event.blame,
    )
