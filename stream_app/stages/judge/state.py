"""What JUDGE remembers of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas.codecs import decode_evidence, encode_partials
from schemas.evidence import Evidence, EvidenceClosed, PaneEvidence
from stream_app.config import Config
from stream_app.stages.decisions import Acted
from stream_app.stages.judge.groups import Groups
from stream_app.stages.judge.incidents import Incidents
from stream_app.stages.judge.pane import JudgedPane
from stream_app.stages.judge.probation import Probation
from stream_app.stages.judge.retraining import OffsetMarks, Retraining
from stream_app.stages.judge.singles import Singles
from stream_app.stages.judge.strangers import StrangerWatch

Key = tuple[int, int]
"""Partials partition and number of a message of a pane; the marker's number is −1."""

_MARKER = -1


def models_in(message: Evidence) -> set[str]:
    """Models that a message names."""
    if isinstance(message, PaneEvidence):
        return set(message.models) - {""}
    of_sums = [*(of.model_id for of in message.groups), *(of.model_id for of in message.other)]
    return {*of_sums, *(of.model_id for of in message.models), message.service} - {""}


@dataclass(slots=True)
class JudgeState:
    """State of a stream.

    Attributes:
        closed_ms: partials partition to the time up to which it has closed its panes.
        slices: partials partition to how many slices each slicing has there.
        groups, strangers: the evidence that only JUDGE can make.
        incidents, singles: what people were told.
        retraining: when a model was last asked for.
        probation: which model is in service, and how it does.
        offset_marks: source partition to where its panes end in its log.
        next_offset: messages below it are done with.
        taken, refused: how many of them were evidence of this stream, and how many were not.
        late: messages that came after their partition's marker.
        pending: evidence and markers of panes that are not judged yet, by pane end.
        final_ms: panes that end at or before it are judged.
        acts: decisions that wait for their time, in order.
        acted_offset: offset of the last action that was taken in; −1 before the first.
        service: the model that most slices of the last pane were scored by.
    """

    closed_ms: dict[int, int]
    groups: Groups
    strangers: StrangerWatch
    incidents: Incidents
    singles: Singles
    retraining: Retraining
    probation: Probation
    slices: dict[int, dict[str, int]] = field(default_factory=dict)
    offset_marks: dict[int, OffsetMarks] = field(default_factory=dict)
    next_offset: int = 0
    taken: int = 0
    refused: int = 0
    late: int = 0
    pending: dict[int, dict[Key, Evidence]] = field(default_factory=dict)
    final_ms: int = 0
    acts: list[Acted] = field(default_factory=list)
    acted_offset: int = -1
    service: str = ""

    @classmethod
    def empty(cls, config: Config) -> JudgeState:
        """The state before the first message."""
        return cls(
            dict.fromkeys(range(config.topics.partitions), 0),
            Groups(config),
            StrangerWatch(config),
            Incidents(config),
            Singles(config),
            Retraining(config),
            Probation(config),
        )

    def note(self, pane: JudgedPane, is_canary: bool = False) -> None:
        """Take in what the markers of a pane say of slices and models.

        Args:
            pane: that is judged.
            is_canary: whether models begin on a share of the source partitions: the former is in service as long as it
                scores any, so that two that score as much do not take turns.
        """
        for marker in pane.closed:
            self.slices[marker.partition] = marker.slices
        named = [marker for marker in pane.closed if marker.service]
        if named and not (is_canary and self.service in pane.models()):
            self.service = max(named, key=lambda marker: (sum(marker.slices.values()), marker.service)).service

    def mark(self, pane: JudgedPane) -> None:
        """Take in where the panes of the source partitions end, as the markers of a pane say."""
        for mark in (mark for marker in pane.closed for mark in marker.marks):
            marks = self.offset_marks.setdefault(mark.partition, OffsetMarks())
            marks.add([(mark.pane_end_ms, mark.offset_end)])

    def slice_counts(self) -> dict[str, int]:
        """How many slices each slicing has on all partials partitions."""
        counts: dict[str, int] = {}
        for _, of_partition in sorted(self.slices.items()):
            for slicing, n in of_partition.items():
                counts[slicing] = counts.get(slicing, 0) + n
        return counts

    def keep(self, message: Evidence) -> None:
        """One sent twice is one. After its partition's marker none is due: it has come before, or comes too late."""
        if message.pane_end_ms <= self.closed_ms[message.partition]:
            self.late += 1
            return
        of_pane = self.pending.setdefault(message.pane_end_ms, {})
        if isinstance(message, EvidenceClosed):
            of_pane[message.partition, _MARKER] = message
            self.closed_ms[message.partition] = message.pane_end_ms
        else:
            of_pane[message.partition, message.index] = message

    def due(self) -> list[int]:
        """Ends of the panes that every partials partition has closed, in order."""
        closed_ms = min(self.closed_ms.values())
        return sorted(end for end in self.pending if end <= closed_ms)

    def models(self, end_ms: int) -> set[str]:
        """Models that the evidence of a pane names, and those that what is being found was found under."""
        named = {model_id for message in self.pending[end_ms].values() for model_id in models_in(message)}
        return named | self.groups.models(self.service)

    def needed_models(self) -> set[str]:
        """Models whose references the pending panes need."""
        return {model_id for end_ms in self.pending for model_id in self.models(end_ms)}

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot (acts are decisions and are kept with them)."""
        messages = [message for _, of_pane in sorted(self.pending.items()) for _, message in sorted(of_pane.items())]
        return {
            "closed_ms": list(self.closed_ms.items()),
            "slices": list(self.slices.items()),
            "groups": self.groups.to_state(),
            "strangers": self.strangers.to_state(),
            "incidents": self.incidents.to_state(),
            "singles": self.singles.to_state(),
            "retraining": self.retraining.to_state(),
            "probation": self.probation.to_state(),
            "offset_marks": [[partition, marks.marks] for partition, marks in self.offset_marks.items()],
            "next_offset": self.next_offset,
            "taken": self.taken,
            "refused": self.refused,
            "late": self.late,
            "pending": [[dict(message.headers)["kind"], message.value] for message in encode_partials(messages)],
            "final_ms": self.final_ms,
            "acted_offset": self.acted_offset,
            "service": self.service,
        }

    @classmethod
    def from_state(cls, config: Config, state: dict[str, Any]) -> JudgeState:
        """Inverse of :meth:`to_state`."""
        restored = cls.empty(config)
        for name in ("next_offset", "taken", "refused", "late", "final_ms", "acted_offset", "service"):
            setattr(restored, name, state[name])
        restored.closed_ms, restored.slices = dict(state["closed_ms"]), dict(state["slices"])
        for name in ("groups", "strangers", "incidents", "singles", "retraining", "probation"):
            getattr(restored, name).restore(state[name])
        restored.offset_marks = {
            p: OffsetMarks([(end, offset) for end, offset in marks]) for p, marks in state["offset_marks"]
        }
        for kind, value in state["pending"]:
            message = decode_evidence(value, {"kind": kind})
            number = _MARKER if isinstance(message, EvidenceClosed) else message.index
            restored.pending.setdefault(message.pane_end_ms, {})[message.partition, number] = message
        return restored
