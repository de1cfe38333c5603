"""The incidents of a stream: candidates in, messages out.

Pure, and bounded: a candidate is remembered as long as WATCH speaks of it, an incident until it has ended and
``alerts.join_within`` has passed. What it does follows from panes and actions alone, in whatever order the candidates
of a pane come.

    hear (figures, what is over) ─► join or open (joining.py) ─► how grave (severity.py) ─► say something (telling.py)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.incidents import Action, Incident
from schemas.names import EVERYTHING
from schemas.pane_layout import TOGETHER
from schemas.records import IncidentSpan
from stream_app.config import Config
from stream_app.config.promise import alpha
from stream_app.stages.judge.candidates import Candidate
from stream_app.stages.judge.drafting import draft, strangest, successor
from stream_app.stages.judge.facts import Allowed, PaneFacts
from stream_app.stages.judge.figures import largest_sd, traffic
from stream_app.stages.judge.heard import Heard, Key, usual
from stream_app.stages.judge.joining import Threads, in_order
from stream_app.stages.judge.naming import renamed
from stream_app.stages.judge.sentences import has_promise
from stream_app.stages.judge.severity import SEVERITIES, effect, grave, kind_of, severity
from stream_app.stages.judge.silences import Marks, Silences
from stream_app.stages.judge.spans import Spans
from stream_app.stages.judge.telling import Standing, has_rested, note, reason
from stream_app.stages.judge.threads import Thread

_NO_PANE = PaneFacts(0, 0, 0, {}, "", (), {}, {})
_OF_PANE = ("start_ms", "end_ms", "events", "slices", "service")
"""Of the last pane, what people's answers after it need."""


class Incidents:
    """The incidents of a stream; see the module."""

    def __init__(self, config: Config) -> None:
        self._config, self._alerts = config, config.alerts
        self._longest_ms = int(config.windows.spans[-1])
        self._retraining = {name for name, rule in config.rules.items() if rule.retrain}
        self._first_slicing = config.slicing_names[0]
        self._threads = Threads(config.stream, int(config.alerts.join_within))
        self._heard: dict[Key, Heard] = {}
        self._silences, self._marks, self.spans = Silences(), Marks(), Spans(config)
        self._facts = _NO_PANE

    @property
    def members(self) -> set[Key]:
        """Members of open incidents that are not over, and what a person has accepted and still has evidence."""
        settled = {key for key, of in self._heard.items() if of.settled}
        return settled | {of.key for thread in self._threads.open for of in thread.live}

    @property
    def slices(self) -> set[tuple[str, str]]:
        """(slicing, slice) of :attr:`members`."""
        return {key[1:] for key in self.members}

    @property
    def any_open(self) -> bool:
        """Whether one is."""
        return bool(self._threads.open)

    @property
    def open_counts(self) -> dict[str, int]:
        """How many are open, by ``severity kind``."""
        return dict(Counter(f"{SEVERITIES[thread.severity]} {thread.kind}" for thread in self._threads.open))

    def judge(self, facts: PaneFacts, candidates: Sequence[tuple[Candidate, Allowed]]) -> list[Incident]:
        """Take a pane in, and say what has to be said of it.

        Args:
            candidates: at most one for each rule and slice, each with what the control over slices allows it.
        """
        self._facts = facts
        self.spans.serve(facts.service, facts.end_ms)
        ordered = in_order(candidates)
        self._hear(facts, [candidate for candidate, _ in ordered])
        again = self._join(facts, ordered)
        self._expire(facts.end_ms)
        spoilt = self._spoilt()
        for thread in self._threads.open:
            self._take_examples(thread, facts)
            self._weigh(thread)
            thread.weigh_harm()
            thread.asks = bool(thread.asking(self._retraining, spoilt))
            over_ms = thread.over_ms if thread.over_ms >= 0 else facts.end_ms
            thread.over_ms = -1 if thread.live else over_ms
        messages: list[Incident] = []
        for thread in [*self._threads.open]:
            messages += self._tell(thread, facts.end_ms - 1, "again" if thread.id in again else "")
        self._threads.forget(facts.end_ms)
        self._silences.forget(facts.end_ms)
        return messages

    def _hear(self, facts: PaneFacts, candidates: Sequence[Candidate]) -> None:
        totals = _totals(facts, candidates)
        for candidate in candidates:
            heard = self._heard.get(candidate.key)
            if heard is None:
                if candidate.over:
                    continue
                heard = self._heard[candidate.key] = Heard.of(candidate, facts.start_ms)
            total = max(totals[candidate.slicing], usual(candidate))
            heard.take(candidate, facts.end_ms, total)
            if heard.over and heard.settled and candidate.model_id != heard.model_id:
                self._heard[candidate.key] = heard.rest(heard.settled)  # what was accepted is so under a new model too
            elif heard.over:
                del self._heard[candidate.key]
            elif heard.is_quiet(facts.end_ms):
                heard.over, self._heard[candidate.key] = True, heard.rest(heard.settled)

    def _join(self, facts: PaneFacts, ordered: Sequence[tuple[Candidate, Allowed]]) -> set[str]:
        """Candidates that may become members do; ids of the incidents that have come again by it."""
        again, taken = set(), {of.key for thread in self._threads.open for of in thread.live}
        together = Counter(_cause(candidate) for candidate, allowed in ordered if allowed == "open")
        for candidate, control in ordered:
            heard = self._heard.get(candidate.key)
            if heard is None or candidate.key in taken or not heard.names:
                continue
            allowed = self._alone(heard, candidate) if heard.settled else control
            causes = heard.fresh(candidate)
            if not allowed or not causes:
                continue
            if not heard.settled and candidate.since_ms:  # what leads now began then
                heard.since_ms = min(candidate.since_ms, facts.start_ms)
            thread = self._threads.route(heard, causes, allowed, facts.end_ms)
            if thread is not None and thread.ended_ms >= 0:
                self._threads.reopen(thread, candidate.model_id, facts.end_ms)
                self.spans.go_on(thread)
                again.add(thread.id)
            elif thread is None and allowed == "open":
                threshold = self._threshold(candidate, facts)
                thread = self._threads.new(candidate, heard, facts, threshold, together[_cause(candidate)])
            if thread is not None:
                self._threads.join(thread, heard, facts.end_ms)
        return again

    def _threshold(self, candidate: Candidate, facts: PaneFacts) -> float:
        if not has_promise(self._config, candidate.rule):
            return facts.thresholds.get(candidate.rule, self._config.rules[candidate.rule].open)
        return 1.0 / (alpha(self._config, candidate.rule) * candidate.share)

    def _alone(self, heard: Heard, candidate: Candidate) -> Allowed:
        """What a candidate may do of which a person has accepted something: its evidence is of that, so that a new
        cause has to have enough of its own. It is a part of the whole, and the promise holds for it as well.
        """
        if not has_promise(self._config, candidate.rule):
            return ""
        largest = max((of.weight for of in heard.fresh(candidate)), default=-math.inf)
        return "open" if largest >= math.log(self._threshold(candidate, self._facts)) else ""

    def _expire(self, end_ms: int) -> None:
        """What nothing was heard of for the longest span is over."""
        for key, heard in [*self._heard.items()]:
            if end_ms - heard.heard_ms > self._longest_ms:
                heard.over = True
                del self._heard[key]

    def _take_examples(self, thread: Thread, facts: PaneFacts) -> None:
        places = {of.slice for of in thread.live if of.slicing == self._first_slicing}
        every = any(of.slice == TOGETHER or of.slicing == EVERYTHING for of in thread.live)
        new = [of for of in facts.top if every or of.slice in places]
        if new:
            thread.examples = strangest([*thread.examples, *new])

    def _weigh(self, thread: Thread) -> None:
        members = thread.live
        if members:
            _, share = traffic(members)
            is_grave = grave(members)  # then no size matters
            level = severity(effect(None if is_grave else largest_sd(members), is_grave), share)
            thread.severity = SEVERITIES.index(level)
            thread.worst = max(thread.worst, thread.severity)
            thread.kind = kind_of(members, thread.kind)

    def _tell(self, thread: Thread, time_ms: int, why: str) -> list[Incident]:
        """What an open incident has to say at a time of the stream, for a reason, or for one of its own."""
        now = self._standing(thread, time_ms)
        if not thread.live:
            return [self._end(thread, now)] if has_rested(self._alerts, thread, now) else []
        if why == "again" and not now.silence and thread.people is None:
            why = "opened"
        why = why or reason(self._alerts, thread, now)
        return [self._say(thread, "open" if why == "opened" else "update", why, now, now.silence)] if why else []

    def _standing(self, thread: Thread, time_ms: int) -> Standing:
        of_all = sum(self._facts.slices.get(of, 0) for of in {key[1] for key in thread.members})
        silence = self._silences.covering(thread.told_of, time_ms) if self._silences.any_kept else ""
        due, still_ms = self._is_due(thread), max((of.still_ms for of in thread.live), default=0)
        end_ms = self._facts.end_ms
        return Standing(end_ms, thread.severity, thread.kind, thread.slices, of_all, silence, due, still_ms)

    def _is_due(self, thread: Thread) -> bool:
        """Whether a model that may end an incident can still be on its way: one is asked for once a cooldown, and as
        soon as no fault is found any more of the values that it would learn, which has an incident of its own.
        """
        harms = thread.hurt and not thread.is_unjudged
        drifts = self._config.retrain.enabled and harms and self._asks(thread)
        due_ms = thread.begun_ms + int(self._config.retrain.cooldown) + int(self._alerts.gather)
        return drifts and self._facts.end_ms <= due_ms

    def _end(self, thread: Thread, now: Standing) -> Incident:
        """It is over by itself. Who was never told that it opened is not told that it is over."""
        learned = self._asks(thread) and bool(successor(thread))
        silence = now.silence or (thread.silenced_by if thread.people is None else "")
        thread.ended_ms = now.now_ms
        if learned:
            self.spans.go_on(thread)
        else:
            self.spans.end(thread, now.now_ms)
        message = self._say(thread, "handover" if learned else "resolve", "ended", now, silence)
        self._threads.end(thread, now.now_ms, keep=True)
        return message

    def _asks(self, thread: Thread) -> bool:
        """Whether one of its members is of a kind that asks for a model."""
        return any(of.kind == "drift" and of.rule in self._retraining for of in thread.members.values())

    def _say(self, thread: Thread, state: str, why: str, now: Standing, silence: str) -> Incident:
        note(self._alerts, thread, now, silence)
        thread.about = renamed(thread.about, thread.told_of)
        marks = self._marks.near(thread.since_ms)
        return draft(self._config, thread, self._facts, state, why, marks, silence)

    def act(self, action: Action, time_ms: int) -> list[Incident]:
        """Take in what a person says, at a time of the stream. Of incidents that are over only what nobody had judged
        can be accepted; else what names no open incident has no effect.
        """
        if action.verb == "silence":
            self._silences.add(action)
        elif action.verb == "unsilence":
            self._silences.remove(action.incident_id)
        elif action.verb == "mark":
            self._marks.add(action)
        elif action.verb in ("accept", "ack"):
            named = self._named(action)
            if action.verb == "accept" and not named:
                self.spans.lift(action.incident_id, self._facts.service, self._config.retrain.enabled)
            return [self._answer(of, action, time_ms) for of in named]
        if action.verb in ("silence", "unsilence"):
            return [message for thread in [*self._threads.open] for message in self._tell(thread, time_ms, "")]
        return []

    def _named(self, action: Action) -> list[Thread]:
        found = [of for of in self._threads.open if of.id == action.incident_id]
        return [of for of in found if action.verb == "accept" or of.acked_by != action.by]

    def _answer(self, thread: Thread, action: Action, time_ms: int) -> Incident:
        now, thread.acked_by = self._standing(thread, time_ms), action.by
        if action.verb == "ack":
            return self._say(thread, "update", "action", now, now.silence)
        self._judge_as_normal(thread, now.now_ms)
        for member in thread.live:
            self._heard[member.key] = member.settle()
            member.over = True
        thread.ended_ms = now.now_ms
        message = self._say(thread, "accepted", "action", now, now.silence)
        self._threads.end(thread, now.now_ms, keep=False)
        return message

    def _judge_as_normal(self, thread: Thread, now_ms: int) -> None:
        """A person has said that a model may learn it; one that is hurt by it is asked for."""
        self.spans.judge(thread.id)
        asks = {of.slice for of in thread.live if of.kind == "drift" and of.rule in self._retraining}
        harms = thread.kind == "drift" and (thread.hurt or thread.burst)
        thread.called = self._config.retrain.enabled and harms and bool(asks)
        if harms:
            pairs = [(slice_, thread.id) for slice_ in sorted(asks)] if thread.called else []
            self.spans.accept(thread, now_ms, self._facts.service, pairs)

    def of_request(self, end_ms: int) -> tuple[list[IncidentSpan], list[IncidentSpan]]:
        """Spans of events for a request: those that were accepted, and those that nobody has judged."""
        return self.spans.of_request(self._threads.open, end_ms)

    def asking(self, rules: set[str]) -> list[tuple[str, str]]:
        """(slice, incident id) that ask for a model, sorted: drift of these rules on slices that have events, and of
        whose values no fault is found, which a model would learn.
        """
        end_ms, longest_ms = self._facts.end_ms, self._longest_ms
        spoilt = self._spoilt()
        asking = [(of, thread.id) for thread in self._threads.open for of in thread.asking(rules, spoilt)]
        return sorted({(of.slice, id_) for of, id_ in asking if end_ms - of.events_ms <= longest_ms})

    def _spoilt(self) -> set[tuple[str, str]]:
        """(slicing, slice) of whose values a fault is found."""
        return {of.key[1:] for thread in self._threads.open for of in thread.live if of.spoils}

    def to_state(self) -> Any:
        """Plain values for a snapshot."""
        in_threads = {id(of) for thread in self._threads.open for of in thread.members.values()}
        return {
            "heard": [msgspec.to_builtins(of) for _, of in sorted(self._heard.items()) if id(of) not in in_threads],
            "open": [of.to_state() for of in self._threads.open],
            "ended": [of.to_state() for of in self._threads.ended],
            "places": self._threads.places(),
            "silences": self._silences.to_state(),
            "marks": self._marks.to_state(),
            "spans": self.spans.to_state(),
            "pane": [getattr(self._facts, name) for name in _OF_PANE],
        }

    def restore(self, state: Any) -> None:
        """Inverse of :meth:`to_state`."""
        open_, ended = ([Thread.from_state(of) for of in state[name]] for name in ("open", "ended"))
        self._threads.restore(open_, ended, state["places"])
        alone = msgspec.convert(state["heard"], list[Heard])
        live = [of for thread in open_ for of in thread.live]
        self._heard = {of.key: of for of in [*alone, *live]}
        self._silences.restore(state["silences"])
        self._marks.restore(state["marks"])
        self.spans.restore(state["spans"])
        self._facts = msgspec.structs.replace(_NO_PANE, **dict(zip(_OF_PANE, state["pane"], strict=True)))


def _cause(candidate: Candidate) -> tuple[str, str]:
    return candidate.rule, candidate.causes[0].name


def _totals(facts: PaneFacts, candidates: Sequence[Candidate]) -> dict[str, float]:
    """Events of the pane, and those that failed to come, by slicing."""
    lacking: dict[Key, float] = {}
    for candidate in candidates:
        if candidate.slice != TOGETHER:
            place = ("", *candidate.key[1:])
            lacking[place] = max(lacking.get(place, 0.0), usual(candidate) - candidate.events)
    totals = {candidate.slicing: float(facts.events) for candidate in candidates}
    for (_, slicing, _), events in sorted(lacking.items()):
        totals[slicing] += events
    return totals
