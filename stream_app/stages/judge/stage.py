"""JUDGE: one step over consecutive messages of the evidence topic.

    evidence ─► pending       marker ─► which panes have all partials partitions closed?
                                          └─► groups, __other__ ─► control over slices ─► incidents ─► messages
                                                                                             └─► retrain request

Panes are judged in order and partitions in theirs, so what comes out is a function of what arrived, not of how the
partials partitions interleaved. What people say enters as a decision, at a time of the stream.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import cast

import msgspec

from schemas.evidence import Evidence, EvidenceClosed, PaneEvidence
from schemas.incidents import Incident
from schemas.intake import Refusal, take_in
from schemas.names import EVERYTHING
from schemas.pane_layout import TOGETHER
from stream_app.config import Config
from stream_app.stages.batches import PartialMessage
from stream_app.stages.dead_letters import dead_letter
from stream_app.stages.decisions import Acted
from stream_app.stages.judge import messages
from stream_app.stages.judge.candidates import OTHER_RULE, Candidate
from stream_app.stages.judge.checking import Columns, EvidenceChecker
from stream_app.stages.judge.facts import PaneFacts
from stream_app.stages.judge.findings import Findings, References
from stream_app.stages.judge.groups import GroupsFound
from stream_app.stages.judge.pane import JudgedPane
from stream_app.stages.judge.probation import Said
from stream_app.stages.judge.retraining import thin
from stream_app.stages.judge.state import JudgeState, models_in
from stream_app.stages.judge.streams import Counts, Streams
from stream_app.stages.layout import layout_of
from stream_app.stages.outputs import Outputs
from stream_app.stages.points import action_point, incident_point, retrain_point, service_point, strange_point

_READ_ANEW: Mapping[int, Columns] = MappingProxyType({})


class _Noted(msgspec.Struct, frozen=True):
    """A pane whose markers were taken in: the slices that there are, and the model in service, as it says."""

    pane: JudgedPane
    slices: dict[str, int]
    counts: Counts
    service: str
    groups: GroupsFound


class JudgeStage:
    """Runs JUDGE for a stream. It holds the configuration; the state is handed in."""

    def __init__(self, config: Config) -> None:
        self.config, self._pane_ms, self._layout = config, int(config.windows.pane), layout_of(config)
        self._checker, self._findings = EvidenceChecker(config, self._layout), Findings(config, self._layout)
        self._streams = Streams(config)

    def step(
        self,
        state: JudgeState,
        messages: Sequence[PartialMessage],
        references: References,
        decided: Collection[str] | None = None,
        informed: bool = True,
    ) -> Outputs:
        """Process consecutive messages of the evidence topic, each marker with the panes that it completes.

        A pane that names a model which is not here waits for it, and those after it do.

        Args:
            state: changed in place.
            messages: offsets ascending; those below ``state.next_offset`` are skipped. What is not of this stream or
                not of its shape is refused: it is counted, and becomes a dead letter.
            references: of the models that are here.
            decided: models that a decision names: what names another is refused. None where none is known.
            informed: whether every decision is known that was made before the messages were fetched; where it is not,
                the step stops before what it would refuse for that, and sets ``Outputs.unknown``.
        """
        out, columns = Outputs(), dict[int, Columns]()
        fresh = [message for message in messages if message.offset >= state.next_offset]
        for message, taken in zip(fresh, self._take_in(fresh, columns), strict=True):
            unknown = set() if decided is None or isinstance(taken, Refusal) else models_in(taken).difference(decided)
            if unknown - references.keys():
                if not informed:
                    out.unknown = True
                    break
                taken = Refusal("not_accepted", "", f"no decision names model {min(unknown - references.keys())!r}")
            state.next_offset = message.offset + 1
            if isinstance(taken, Refusal):
                self._refuse(state, message, taken, out)
                continue
            state.taken += 1
            state.keep(taken)
        self._judge(state, references, out, columns)
        return out

    def act(self, state: JudgeState, decision: Acted, references: References) -> Outputs:
        """Take in what a person has said, at once where its time has come."""
        out = Outputs()
        if decision.offset > max((act.offset for act in state.acts), default=state.acted_offset):
            state.acts.append(decision)
        self._judge(state, references, out)
        return out

    def _take_in(self, messages: Sequence[PartialMessage], columns: dict[int, Columns]) -> list[Evidence | Refusal]:
        """The messages as evidence, whose columns are put with the others, by the identity of each."""
        stream = self.config.stream
        taken = [take_in("evidence", stream, message.value, message.headers) for message in messages]
        places = [k for k, one in enumerate(taken) if not isinstance(one, Refusal)]
        evidence = [cast(Evidence, taken[k]) for k in places]
        found: list[Evidence | Refusal] = cast(list[Evidence | Refusal], taken)
        for k, one, read in zip(places, evidence, self._checker.read(evidence), strict=True):
            if isinstance(read, str):
                found[k] = Refusal("not_accepted", "", read)
            else:
                columns[id(one)] = read
        return found

    def _refuse(self, state: JudgeState, message: PartialMessage, refusal: Refusal, out: Outputs) -> None:
        state.refused += 1
        out.refused.append((message.offset, refusal))
        topic = self.config.topics.evidence
        out.messages.append(dead_letter(self.config, topic, 0, message.offset, refusal, message.value))

    def _judge(
        self, state: JudgeState, references: References, out: Outputs, columns: Mapping[int, Columns] = _READ_ANEW
    ) -> None:
        """Judge every pane that is due, and take in what people said, each at its time."""
        for noted in self._noted(state, references):
            self._act_until(state, noted.pane.end_ms - 1, out)
            self._judge_pane(state, noted, references, out, columns)
            state.final_ms = noted.pane.end_ms
        self._act_until(state, state.final_ms, out)

    def _noted(self, state: JudgeState, references: References) -> list[_Noted]:
        """The panes that are due, as far as their models are here. The evidence of groups goes by the panes alone, and
        comes before all that follows from any of them.
        """
        noted = []
        for end_ms in state.due():
            if not references.keys() >= state.models(end_ms):
                break
            of_pane = sorted(state.pending.pop(end_ms).items())
            pane = JudgedPane(
                end_ms - self._pane_ms,
                end_ms,
                [message for _, message in of_pane if isinstance(message, PaneEvidence)],
                [message for _, message in of_pane if isinstance(message, EvidenceClosed)],
            )
            state.note(pane, self.config.trainer.canary_share > 0)
            slices = state.slice_counts()
            counts = self._streams.count(slices)
            groups = state.groups.take(pane, references, counts, state.service)
            noted.append(_Noted(pane, slices, counts, state.service, groups))
        state.groups.release()
        return noted

    def _act_until(self, state: JudgeState, time_ms: int, out: Outputs) -> None:
        while state.acts and state.acts[0].at_ms <= time_ms:
            decision = state.acts.pop(0)
            state.acted_offset = decision.offset
            out.points.append(action_point(decision.action, decision.at_ms))
            if not decision.refused:
                self._tell(state.incidents.act(decision.action, decision.at_ms), out)
                self._serve(state.probation.act(decision.action, decision.at_ms), out)

    def _judge_pane(
        self, state: JudgeState, noted: _Noted, references: References, out: Outputs, columns: Mapping[int, Columns]
    ) -> None:
        """One pane that all partials partitions have closed."""
        pane = noted.pane
        state.mark(pane)
        out.points += noted.groups.points
        candidates, facts = self._candidates(state, noted, references, columns), self._facts(noted)
        self._tell(state.incidents.judge(facts, self._streams.allowed(candidates, state.incidents.members)), out)
        for strange in state.singles.judge(facts, self._taken(state, facts)):
            out.messages.append(messages.strange_events(self.config, strange))
            out.points.append(strange_point(strange))
        explained = state.incidents.any_open
        self._serve(state.probation.take(pane.start_ms, pane.end_ms, pane.models(), explained), out)
        self._ask(state, noted, out)
        thin(state.offset_marks.values(), pane.end_ms)

    def _candidates(
        self, state: JudgeState, noted: _Noted, references: References, columns: Mapping[int, Columns]
    ) -> list[Candidate]:
        """What WATCH sends, and what only JUDGE sees."""
        pane, counts = noted.pane, noted.counts
        candidates = [*state.groups.candidates(noted.groups, pane, references, counts)]
        for message in pane.evidence:
            read = columns.get(id(message))
            candidates += self._findings.candidates(message, references, counts.slice_shares, read)
        told = [strangers for marker in pane.closed for strangers in marker.strangers]
        others, floor = pane.other_events(self._layout), 1.0 / self._streams.alpha(OTHER_RULE)
        candidates += state.strangers.take(pane.end_ms, others, pane.events, told, floor)
        return candidates

    def _facts(self, noted: _Noted) -> PaneFacts:
        pane = noted.pane
        return PaneFacts(
            start_ms=pane.start_ms,
            end_ms=pane.end_ms,
            events=pane.events,
            slices=noted.slices,
            service=noted.service,
            top=pane.top,
            thresholds=noted.counts.thresholds,
            streams=noted.counts.streams,
        )

    def _taken(self, state: JudgeState, facts: PaneFacts) -> set[str]:
        """Slices of the first slicing whose strange events are an incident's: all, where one is about all events."""
        open_ = state.incidents.slices
        if any(slice_ in (TOGETHER, EVERYTHING) for _, slice_ in open_):
            return {event.slice for event in facts.top}
        first = self.config.slicing_names[0]
        return {slice_ for slicing, slice_ in open_ if slicing == first}

    def _tell(self, incidents: Sequence[Incident], out: Outputs) -> None:
        for incident in incidents:
            out.messages.append(messages.incident(self.config, incident))
            out.points.append(incident_point(incident))

    def _serve(self, said: Said, out: Outputs) -> None:
        """Which model is in service changes."""
        for change in said.changes:
            out.changes.append(change)
            out.messages.append(messages.service_change(self.config, change))
            out.points.append(service_point(change))
        self._tell(said.incidents, out)

    def _ask(self, state: JudgeState, noted: _Noted, out: Outputs) -> None:
        """A retrain request, where open incidents or people call for one and it is time."""
        spans, end_ms, service = state.incidents.spans, noted.pane.end_ms, noted.service
        accepted = spans.asking
        if not state.retraining.is_due(end_ms, service, accepted, spans.judged):
            return
        asking = state.incidents.asking(state.retraining.rules)
        if not (asking or accepted):
            return
        of_request = state.incidents.of_request(end_ms)
        request = state.retraining.ask(end_ms, asking, service, state.offset_marks, accepted, of_request)
        if request is not None:
            spans.asked()
            out.messages.append(messages.request(self.config, request))
            out.points.append(retrain_point(request))
