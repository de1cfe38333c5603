"""What WATCH remembers of one partials partition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas.codecs import decode_partial, encode_partials
from schemas.records import PaneBlock
from stream_app.config import Config
from stream_app.stages.judge.policy import Policy
from stream_app.stages.judge.retraining import OffsetMarks, Retraining
from stream_app.stages.layout import layout_of
from stream_app.stages.watch.judging import Known, RuleState, rule_state
from stream_app.stages.windows import SlicingWindows

Span = tuple[int, int]
"""Event time ``[start_ms, end_ms)``."""


@dataclass(slots=True)
class WatchState:
    """State of one partials partition.

    Attributes:
        policy, retraining: the incidents, and when a model was last asked for.
        windows: rolling windows by slicing name.
        rules: what each rule remembers, by rule and slicing name.
        known: where each slice stands in the models' references, by slicing name; not kept, looked up again.
        closed_ms: source partition to the time up to which it has closed its panes.
        offset_marks: source partition to where its panes end in its log.
        next_offset: messages below it are done with.
        taken, refused: how many of them were partials of this stream, and how many were not.
        passed_over: decisions; panes of a source partition in these spans are not waited for, and their blocks not
            taken.
        joined_ms: decisions; source partition that came later to the time from which it is waited for.
        pending: blocks of panes that are not final yet, by pane start, then by source partition and block number.
        final_ms: panes that end at or before it are final.
        busy_ms: end of the last of them that held anything; 0 before the first.
        late_blocks: blocks that came after their own partition's marker, or for a pane that was final or passed over.
        service: the model that most slices of the last pane were scored by.
    """

    policy: Policy
    retraining: Retraining
    windows: dict[str, SlicingWindows]
    rules: dict[tuple[str, str], RuleState]
    known: dict[str, Known]
    closed_ms: dict[int, int]
    offset_marks: dict[int, OffsetMarks]
    next_offset: int = 0
    taken: int = 0
    refused: int = 0
    passed_over: dict[int, list[Span]] = field(default_factory=dict)
    joined_ms: dict[int, int] = field(default_factory=dict)
    pending: dict[int, dict[tuple[int, int], PaneBlock]] = field(default_factory=dict)
    final_ms: int = 0
    busy_ms: int = 0
    late_blocks: int = 0
    service: str = ""

    @classmethod
    def empty(cls, config: Config, sources: int) -> WatchState:
        """The state before the first message, of a stream with so many source partitions."""
        return cls(
            policy=Policy(config.stream, config.rules),
            retraining=Retraining(config),
            windows={name: SlicingWindows.empty(config.windows) for name in config.slicing_names},
            rules=_rules(config),
            known={name: Known(i) for i, name in enumerate(config.slicing_names)},
            closed_ms=dict.fromkeys(range(sources), 0),
            offset_marks={partition: OffsetMarks() for partition in range(sources)},
        )

    def join(self, partition: int, from_ms: int) -> None:
        """Wait for a source partition too; that panes before ``from_ms`` are passed over is another step."""
        self.closed_ms.setdefault(partition, 0)
        self.offset_marks.setdefault(partition, OffsetMarks())
        self.joined_ms[partition] = from_ms

    def marks_at(self, time_ms: int) -> dict[int, OffsetMarks]:
        """The offset marks of the source partitions that were waited for in the pane that ends then, whichever have
        come since: a request is the same in a replay, which knows all decisions from its start.
        """
        joined = self.joined_ms
        return {
            partition: marks for partition, marks in self.offset_marks.items() if joined.get(partition, -1) < time_ms
        }

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
        """Plain values and arrays for a snapshot (what joined when is a decision and is kept with them)."""
        blocks = [block for _, of_pane in sorted(self.pending.items()) for _, block in sorted(of_pane.items())]
        return {
            "next_offset": self.next_offset,
            "taken": self.taken,
            "refused": self.refused,
            "closed_ms": list(self.closed_ms.items()),
            "passed_over": list(self.passed_over.items()),
            "service": self.service,
            "final_ms": self.final_ms,
            "busy_ms": self.busy_ms,
            "late_blocks": self.late_blocks,
            "pending": [message.value for message in encode_partials(blocks)],
            "offset_marks": [[partition, marks.marks] for partition, marks in self.offset_marks.items()],
            "windows": [[name, windows.to_state()] for name, windows in self.windows.items()],
            "rules": [[*key, rule.to_state()] for key, rule in self.rules.items()],
            "policy": self.policy.to_state(),
            "retraining": self.retraining.to_state(),
        }

    @classmethod
    def from_state(cls, config: Config, state: dict[str, Any]) -> WatchState:
        """Inverse of :meth:`to_state`."""
        restored = cls.empty(config, 0)
        restored.next_offset, restored.service = state["next_offset"], state["service"]
        restored.final_ms, restored.busy_ms = state["final_ms"], state["busy_ms"]
        restored.taken, restored.refused = state["taken"], state["refused"]
        restored.late_blocks, restored.closed_ms = state["late_blocks"], dict(state["closed_ms"])
        restored.passed_over = {p: [(start, end) for start, end in spans] for p, spans in state["passed_over"]}
        for value in state["pending"]:
            block = decode_partial(value, {"kind": b"block"})
            assert isinstance(block, PaneBlock)
            restored.pending.setdefault(block.pane_start_ms, {})[block.partition, block.index] = block
        restored.offset_marks = {
            p: OffsetMarks([(end, offset) for end, offset in marks]) for p, marks in state["offset_marks"]
        }
        restored.windows = {name: SlicingWindows.from_state(windows) for name, windows in state["windows"]}
        for rule, slicing, remembered in state["rules"]:
            restored.rules[rule, slicing].restore(remembered)
        restored.policy.restore(state["policy"])
        restored.retraining.restore(state["retraining"])
        return restored


def _rules(config: Config) -> dict[tuple[str, str], RuleState]:
    layout = layout_of(config)
    return {
        (name, slicing): rule_state(config, rule, layout)
        for name, rule in config.rules.items()
        for slicing, fields in zip(config.slicing_names, config.event.slicings, strict=True)
        if rule.slicing is None or rule.slicing == fields
    }
