"""What WATCH remembers of one partials partition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas.codecs import decode_partial, encode_partials
from schemas.records import PaneBlock, PaneClosed
from stream_app.config import Config
from stream_app.stages.layout import layout_of
from stream_app.stages.watch.judging import Known, RuleState, rule_state
from stream_app.stages.windows import SlicingWindows

Span = tuple[int, int]
"""Event time ``[start_ms, end_ms)``."""


@dataclass(slots=True)
class WatchState:
    """State of one partials partition.

    Attributes:
        windows: rolling windows by slicing name.
        rules: what each rule remembers, by rule and slicing name.
        known: where each slice stands in the models' references, by slicing name; not kept, looked up again.
        closed_ms: source partition to the time up to which it has closed its panes.
        markers: source partition to its markers that were not sent on yet.
        marked_ms: source partition to the end of the pane of the last one that was.
        ends: ends of panes that some source partition has closed, and that are not final.
        bucket: number of the bucket of the longest span that the last pane lies in which was gone through.
        next_offset: messages below it are done with.
        taken, refused: how many of them were partials of this stream, and how many were not.
        passed_over: decisions; panes of a source partition in these spans are not waited for, and their blocks not
            taken.
        pending: blocks of panes that are not final yet, by pane start, then by source partition and block number.
        final_ms: panes that end at or before it are final.
        busy_ms: end of the last of them that held anything; 0 before the first.
        late_blocks: blocks that came after their own partition's marker, or for a pane that was final or passed over.
    """

    windows: dict[str, SlicingWindows]
    rules: dict[tuple[str, str], RuleState]
    known: dict[str, Known]
    closed_ms: dict[int, int]
    next_offset: int = 0
    taken: int = 0
    refused: int = 0
    passed_over: dict[int, list[Span]] = field(default_factory=dict)
    markers: dict[int, list[PaneClosed]] = field(default_factory=dict)
    marked_ms: dict[int, int] = field(default_factory=dict)
    ends: set[int] = field(default_factory=set)
    pending: dict[int, dict[tuple[int, int], PaneBlock]] = field(default_factory=dict)
    final_ms: int = 0
    busy_ms: int = 0
    late_blocks: int = 0
    bucket: int = 0

    @classmethod
    def empty(cls, config: Config, sources: int) -> WatchState:
        """The state before the first message, of a stream with so many source partitions."""
        return cls(
            windows={name: SlicingWindows.empty(config.windows) for name in config.slicing_names},
            rules=_rules(config),
            known={name: Known(i) for i, name in enumerate(config.slicing_names)},
            closed_ms=dict.fromkeys(range(sources), 0),
        )

    def join(self, partition: int) -> None:
        """Wait for a source partition too; that panes before it came are passed over is another step."""
        self.closed_ms.setdefault(partition, 0)

    def mark(self, marker: PaneClosed) -> bool:
        """Note how far a source partition has closed its panes; True where the others may have waited for it. A marker
        that comes again is none.
        """
        source, end_ms = marker.partition, marker.pane_end_ms
        before_ms = self.closed_ms.get(source, 0)
        if end_ms > before_ms:
            self.closed_ms[source] = end_ms
            self.markers.setdefault(source, []).append(marker)
            # Where this lies in a span that is passed over, the others do not wait for it.
            if not any(start < end_ms <= end for start, end in self.passed_over.get(source, ())):
                self.ends.add(end_ms)
        return before_ms <= self.final_ms

    def take_markers(self, start_ms: int, end_ms: int) -> list[PaneClosed]:
        """The markers of source partitions that are sent on with a pane: of each those not sent yet, up to the first
        that ends with the pane or after it. That one is always here when the pane is final, and those after it may not
        be: so they are the same however the source partitions interleave.
        """
        out: list[PaneClosed] = []
        for source, waiting in sorted(self.markers.items()):
            until_ms = end_ms
            for first_ms, last_ms in self.passed_over.get(source, ()):
                if first_ms <= start_ms < last_ms:
                    until_ms = first_ms
            sent_ms = self.marked_ms.get(source, 0)
            while waiting and sent_ms < until_ms and (until_ms == end_ms or waiting[0].pane_end_ms <= until_ms):
                out.append(waiting[0])
                sent_ms = self.marked_ms[source] = waiting.pop(0).pane_end_ms
        return out

    def reached_ms(self, partition: int) -> int:
        """Time up to which a source partition has closed its panes or been passed over."""
        time_ms = self.closed_ms[partition]
        for start, end in self.passed_over.get(partition, ()):
            if start <= time_ms < end:
                time_ms = end
        return time_ms

    def behind(self) -> dict[int, Span]:
        """Source partitions that hold the others up, each with the span a decision would pass over."""
        reached = {partition: self.reached_ms(partition) for partition in self.closed_ms}
        newest = max(reached.values(), default=0)
        return {partition: (time_ms, newest) for partition, time_ms in reached.items() if time_ms < newest}

    def models(self) -> set[str]:
        """Models that slices were scored by when they last had events: they are silent by the same."""
        return {model_id for windows in self.windows.values() for model_id in windows.model}

    def needed_models(self) -> set[str]:
        """Models whose references the pending panes need."""
        return self.models() | {block.model_id for blocks in self.pending.values() for block in blocks.values()}

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot."""
        blocks = [block for _, of_pane in sorted(self.pending.items()) for _, block in sorted(of_pane.items())]
        markers = [marker for _, waiting in sorted(self.markers.items()) for marker in waiting]
        return {
            "next_offset": self.next_offset,
            "taken": self.taken,
            "refused": self.refused,
            "closed_ms": list(self.closed_ms.items()),
            "passed_over": list(self.passed_over.items()),
            "marked_ms": list(self.marked_ms.items()),
            "ends": sorted(self.ends),
            "bucket": self.bucket,
            "final_ms": self.final_ms,
            "busy_ms": self.busy_ms,
            "late_blocks": self.late_blocks,
            "pending": [message.value for message in encode_partials(blocks)],
            "markers": [message.value for message in encode_partials(markers)],
            "windows": [[name, windows.to_state()] for name, windows in self.windows.items()],
            "rules": [[*key, rule.to_state()] for key, rule in self.rules.items()],
        }

    @classmethod
    def from_state(cls, config: Config, state: dict[str, Any]) -> WatchState:
        """Inverse of :meth:`to_state`."""
        restored = cls.empty(config, 0)
        restored.next_offset, restored.bucket = state["next_offset"], state["bucket"]
        restored.marked_ms, restored.ends = dict(state["marked_ms"]), {*state["ends"]}
        restored.final_ms, restored.busy_ms = state["final_ms"], state["busy_ms"]
        restored.taken, restored.refused = state["taken"], state["refused"]
        restored.late_blocks, restored.closed_ms = state["late_blocks"], dict(state["closed_ms"])
        restored.passed_over = {p: [(start, end) for start, end in spans] for p, spans in state["passed_over"]}
        for value in state["pending"]:
            block = decode_partial(value, {"kind": b"block"})
            assert isinstance(block, PaneBlock)
            restored.pending.setdefault(block.pane_start_ms, {})[block.partition, block.index] = block
        for value in state["markers"]:
            marker = decode_partial(value, {"kind": b"closed"})
            assert isinstance(marker, PaneClosed)
            restored.markers.setdefault(marker.partition, []).append(marker)
        restored.windows = {name: SlicingWindows.from_state(windows) for name, windows in state["windows"]}
        for rule, slicing, remembered in state["rules"]:
            restored.rules[rule, slicing].restore(remembered)
        return restored


def _rules(config: Config) -> dict[tuple[str, str], RuleState]:
    layout = layout_of(config)
    return {
        (name, slicing): rule_state(config, name, layout)
        for name, rule in config.rules.items()
        for slicing, fields in zip(config.slicing_names, config.event.slicings, strict=True)
        if rule.slicing is None or rule.slicing == fields
    }
