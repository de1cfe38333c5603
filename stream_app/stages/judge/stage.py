"""JUDGE: one step over consecutive messages of the evidence topic.

    evidence ─► pending       marker ─► which panes have all partials partitions closed?
                                          └─► groups, __other__ ─► control over slices ─► incidents ─► messages
                                                                                             └─► retrain request

Panes are judged in order and partitions in theirs, so what comes out is a function of what arrived, not of how the
partials partitions interleaved. What people say enters as a decision, at a time of the stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowlib.reference.reference import Reference
from schemas.evidence import Evidence, EvidenceClosed, PaneEvidence
from schemas.intake import Refusal, take_in
from stream_app.config import Config
from stream_app.stages.batches import PartialMessage
from stream_app.stages.dead_letters import dead_letter
from stream_app.stages.decisions import Acted
from stream_app.stages.judge.state import JudgeState
from stream_app.stages.outputs import Outputs

References = Mapping[str, Sequence[Reference]]
"""Model id to what is normal under it, for each slicing."""


@dataclass(frozen=True, slots=True)
class JudgedPane:
    """All that WATCH found in a pane.

    Attributes:
        evidence: of the partials partitions in order, each message by its number.
        closed: the markers, by partition; of one that went over the pane with those after it there is none.
    """

    start_ms: int
    end_ms: int
    evidence: list[PaneEvidence]
    closed: list[EvidenceClosed]


class JudgeStage:
    """Runs JUDGE for a stream. It holds the configuration; the state is handed in."""

    def __init__(self, config: Config) -> None:
        self.config, self._pane_ms = config, int(config.windows.pane)

    def step(self, state: JudgeState, messages: Sequence[PartialMessage], references: References) -> Outputs:
        """Process consecutive messages of the evidence topic, each marker with the panes that it completes.

        A pane that names a model which is not here waits for it, and those after it do. All messages are taken.

        Args:
            state: changed in place.
            messages: offsets ascending; those below ``state.next_offset`` are skipped. What is not of this stream or
                not of its shape is refused: it is counted, and becomes a dead letter.
            references: of the models that are here.
        """
        out = Outputs()
        for message in messages:
            if message.offset < state.next_offset:
                continue
            state.next_offset = message.offset + 1
            taken = self._take_in(message)
            if isinstance(taken, Refusal):
                self._refuse(state, message, taken, out)
                continue
            state.taken += 1
            state.keep(taken)
            if isinstance(taken, EvidenceClosed):
                self._judge(state, references, out)
        self._judge(state, references, out)
        return out

    def act(self, state: JudgeState, decision: Acted, references: References) -> Outputs:
        """Take in what a person has said, at once where its time has come."""
        out = Outputs()
        if decision.offset > max((act.offset for act in state.acts), default=state.acted_offset):
            state.acts.append(decision)
        self._judge(state, references, out)
        return out

    def _take_in(self, message: PartialMessage) -> Evidence | Refusal:
        taken = take_in("evidence", self.config.stream, message.value, message.headers)
        if isinstance(taken, Refusal):
            return taken
        assert isinstance(taken, Evidence)
        fault = self._fault(taken)
        return Refusal("not_accepted", "", fault) if fault else taken

    def _fault(self, message: Evidence) -> str:
        """What is wrong with a message beyond its schema, in one sentence, or ""."""
        width = self.config.topics.partitions
        if message.partition >= width:
            return f"it says it is of partials partition {message.partition}, and slices are spread over {width}"
        return ""

    def _refuse(self, state: JudgeState, message: PartialMessage, refusal: Refusal, out: Outputs) -> None:
        state.refused += 1
        out.refused.append((message.offset, refusal))
        topic = self.config.topics.evidence
        out.messages.append(dead_letter(self.config, topic, 0, message.offset, refusal, message.value))

    def _judge(self, state: JudgeState, references: References, out: Outputs) -> None:
        """Judge every pane that is due, and take in what people said, each at its time."""
        for end_ms in state.due():
            if not references.keys() >= state.models(end_ms):
                return
            self._act_until(state, end_ms - 1, out)
            of_pane = sorted(state.pending.pop(end_ms).items())
            pane = JudgedPane(
                end_ms - self._pane_ms,
                end_ms,
                [message for _, message in of_pane if isinstance(message, PaneEvidence)],
                [message for _, message in of_pane if isinstance(message, EvidenceClosed)],
            )
            self._judge_pane(state, pane, references, out)
            state.final_ms = end_ms
        self._act_until(state, state.final_ms, out)

    def _act_until(self, state: JudgeState, time_ms: int, out: Outputs) -> None:
        while state.acts and state.acts[0].at_ms <= time_ms:
            decision = state.acts.pop(0)
            state.acted_offset = decision.offset
            self._act(state, decision, out)

    def _act(self, state: JudgeState, decision: Acted, out: Outputs) -> None:
        """What a person has said takes effect."""

    def _judge_pane(self, state: JudgeState, pane: JudgedPane, references: References, out: Outputs) -> None:
        """One pane that all partials partitions have closed."""
