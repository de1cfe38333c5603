"""Answers a request: looks whether it can be right, trains, writes down what was decided, and only then sends it.

Whatever happens in between, the next try goes on from what is written down: a request is trained twice at most, and
answered once. A model that its gates have let through may be compared on live events first, or wait for a person: its
request is answered then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import msgspec

from flowlib.artifact import Ed25519PrivateKey
from flowlib.table import DAY_MS
from schemas.incidents import Action
from schemas.records import ModelNotice, RetrainRequest, ServiceChange
from stream_app.config import Config
from stream_app.kafka.types import ClientSettings
from stream_app.models import audit_lines
from stream_app.models.history import Entry, Verb
from stream_app.models.registry import Registry
from stream_app.monitor.meter import Meter
from stream_app.trainer.delivery import Delivery
from stream_app.trainer.keeping import Keeping
from stream_app.trainer.outcome import Outcome, Retrain
from stream_app.trainer.requests import checking
from stream_app.trainer.requests.believing import Asked
from stream_app.trainer.requests.checking import Seen
from stream_app.trainer.requests.looking import look
from stream_app.trainer.shadow.candidates import Candidates
from stream_app.trainer.stopping import Stopping, persistently
from stream_app.trainer.trying import Trying

_SHOWN = 64
"""Characters of a name that a person gives."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What comes of a request, and whether its date can be right: only then it moves its writer's sequence on."""

    outcome: Outcome
    dated: bool


class Answering:
    """Answers the requests of one stream, one at a time.

    Args:
        config: the stream, with the number of partials partitions that it really has.
        client: kafka-python connection settings.
        key: the trainer's, which signs models and notices.
        delivery: where answers go.
        stopping: ends what is under way.
        say: takes a line for the person who watches.
        meter: counts what was decided, and measures trainings.

    Attributes:
        candidates: what is not decided yet: the shadow, and what waits for a person.

    Raises:
        DriftflowError: the registry is damaged.
    """

    def __init__(
        self,
        config: Config,
        client: ClientSettings,
        key: Ed25519PrivateKey,
        delivery: Delivery,
        stopping: Stopping,
        say: Callable[[str], None],
        meter: Meter,
    ) -> None:
        self._config, self._client = config, client
        self._delivery, self._stopping, self._say = delivery, stopping, say
        self._registry = Registry(config)
        self._keeping = Keeping(config, self._registry, delivery, say, meter)
        self._answers = self._keeping.answers
        self._trying = Trying(config, client, key, self._registry, self._answers, stopping, say, meter)
        self.candidates = Candidates(config, client, key, self._registry, self._keeping, stopping, say)

    def finish_earlier(self) -> None:
        """Send what an earlier process has decided and not sent, and go on with its candidate."""
        self._keeping.finish_earlier()
        self.candidates.resume()

    def release(self) -> None:
        """The attempt in hand does not count: the process was told to stop. May be called from any thread."""
        self._answers.release()

    def answer(self, asked: Asked, local: bool = False) -> ModelNotice | None:
        """Answer a request; one that has been answered before only gets what was decided then.

        Args:
            asked: a request that is believed.
            local: asked for on this machine, by whoever started the trainer: it may come again, for any date.

        Returns:
            what was decided, or that there is a candidate now; None where the answer is on the topic, and what was
            decided is not kept here, and where its candidate is not decided yet.

        Raises:
            DriftflowError: the registry, a key or the disk needs mending; nothing was decided.
            KafkaError: the broker refuses.
            Stopped: told to.
        """
        request, current = asked.request, self.candidates.current
        if current is not None and current.request.id == request.id:
            return None
        kept = self._registry.answer_to(request.id)
        if kept is not None:
            self._keeping.send(asked, kept)
            return kept
        if self._delivery.is_told(request.id):
            self._say(f"request {request.id[:8]} has been answered already")
            return None
        self._keeping.note(*audit_lines.of_request(request, asked.writer))
        return self._follow(asked, self._decide(asked, local))

    def change(self, change: ServiceChange) -> None:
        """Take in that another model is in service by now; what comes twice counts once."""
        self._keeping.note(*audit_lines.of_change(change))
        entry = Entry(change.model_id, change.id, change.pane_end_ms, cast(Verb, change.verb), change.returns_to)
        before = self._registry.in_service()
        self._registry.change(entry)
        after = self._registry.in_service()
        if after != before:
            self._say(f"model {after or 'none'} is in service in place of {before} ({change.verb}: {change.why})")

    def act(self, action: Action) -> None:
        """Take in what a person says of a model, and write down what is said of all else; what comes twice counts
        once, and what nothing has followed from has no effect later.
        """
        line = self._keeping.known(action)
        if line is not None and line.event == audit_lines.NOTHING:
            return
        if action.verb in ("approve", "reject"):
            if nothing := self.candidates.act(action):
                self._keeping.note_nothing(action, nothing)
            return
        promoted = {entry.model_id: entry.promoted_ms for entry in self._registry.promotions()}
        if action.verb in ("anchor", "pin", "rollback") and action.model not in promoted:
            name = action.model[:_SHOWN] or "(none)"
            self._keeping.note_nothing(action, f"no model {name} was promoted for stream {self._config.stream}")
            return
        self._keeping.note_said(action)
        if action.verb == "anchor":
            self._registry.change(Entry(action.model, action.id, promoted[action.model], "anchor"))

    def _follow(self, asked: Asked, decision: Decision) -> ModelNotice:
        outcome = decision.outcome
        if outcome.verdict != "refuse" or outcome.notice.gates:
            self._keeping.note(*audit_lines.of_training(outcome.notice))
            self._keeping.note(*audit_lines.of_gates(outcome.notice, outcome.verdict))
        if outcome.model is None:
            return self._keeping.answer(asked, outcome, decision.dated)
        if not self.candidates.is_at_once(outcome):
            self._answers.over()
            return self.candidates.enter(asked, outcome)
        self.candidates.replace(outcome.notice.model_id)
        return self._keeping.answer(asked, outcome, decision.dated)

    # What to decide -------------------------------------------------------------------------------------------------

    def _decide(self, asked: Asked, local: bool) -> Decision:
        request, parent_id, promotions = asked.request, self._registry.in_service(), self._registry.promotions()
        known = Retrain(self._config, request, None, max((entry.promoted_ms for entry in promotions), default=None))

        def refused(reason: str, retrain: Retrain = known, dated: bool = False) -> Decision:
            outcome = retrain.refused(0, reason)
            return Decision(_of_parent(outcome, parent_id), dated)

        newest_ms = self._answers.newest_pane_ms(asked)
        if not local and request.requested_pane_ms <= newest_ms:
            return refused(checking.stale(request, asked.writer, newest_ms))
        if fault := checking.fault_of(self._config, request):
            return refused(fault)
        seen = self._look(request)
        retrain = Retrain(self._config, request, None, seen.newest_ms)
        if fault := checking.fault_in_log(request, seen):
            return refused(fault, retrain if seen.newest_ms is not None else known)
        if not local and (fault := checking.fault_of_date(request, seen)):
            return refused(fault, retrain)
        covering = self._covered_by(request)
        if covering and (not local or self._registry.is_usable(covering.model_id)):
            outcome = retrain.covered(covering.model_id, covering.request_id)
            return Decision(_of_parent(outcome, parent_id), True)
        if not local and (waiting := self.candidates.covers(request)):
            return Decision(_of_parent(retrain.covered_by(waiting), parent_id), True)
        if not local and (fault := self._beaten(request)):
            return refused(fault, retrain, dated=True)
        if fault := self._spent(retrain):
            return refused(fault, retrain, dated=True)
        return Decision(self._trying.train(asked, seen, retrain), True)

    def _look(self, request: RetrainRequest) -> Seen:
        def ask() -> Seen:
            return look(self._config, self._client, request.train)

        return persistently(ask, "looking at what a request names", self._stopping, self._say)

    def _covered_by(self, request: RetrainRequest) -> Entry | None:
        """The promotion that answers a request too: it has replaced the model that the request finds too old, and is
        not older than a cooldown itself, and people have accepted nothing since that it has not learned.
        """
        promotions = self._registry.promotions()
        if not promotions or promotions[-1].model_id != self._registry.in_service():
            return None
        newest = promotions[-1]
        if request.requested_pane_ms >= newest.promoted_ms + int(self._config.retrain.cooldown):
            return None
        answer = self._registry.answer_to(newest.request_id)
        if request.model_id == newest.model_id or (answer is not None and _is_news(request, answer)):
            return None
        return newest

    def _beaten(self, request: RetrainRequest) -> str:
        """Why a request needs no training: what was trained for another, not a cooldown before, was refused by live
        events or by a person, the model in service is the same, and people have accepted nothing since. "" where there
        is none such.
        """
        refused = [notice for notice in self._registry.notices() if _was_beaten(notice)]
        cooldown = int(self._config.retrain.cooldown)
        if not refused or refused[-1].parent_id != request.model_id or _is_news(request, refused[-1]):
            return ""
        last = refused[-1]
        if request.requested_pane_ms >= last.created_ms + cooldown:
            return ""
        return (
            f"a model was trained for request {last.request_id} within a cooldown before (retrain.cooldown), and "
            f"refused: {last.reason}"
        )

    def _spent(self, retrain: Retrain) -> str:
        """Why the budget allows no model more, or "". Days are of event time that was seen, whatever requests say."""
        budget = self._config.trainer.budget_per_day
        day = [entry for entry in self._registry.promotions() if entry.promoted_ms > retrain.dated_ms - DAY_MS]
        return f"the budget of {budget} models a day is spent (trainer.budget_per_day)" if len(day) >= budget else ""


def _of_parent(outcome: Outcome, parent_id: str) -> Outcome:
    return replace(outcome, notice=msgspec.structs.replace(outcome.notice, parent_id=parent_id))


def _is_news(request: RetrainRequest, answer: ModelNotice) -> bool:
    """Whether people have accepted incidents since an earlier request, of which this is the answer: their events train
    only now.
    """
    known = answer.provenance.get("accepted_incidents", ())
    return any(span.incident_id not in known for span in request.accepted)


def _was_beaten(notice: ModelNotice) -> bool:
    """Whether the gates had let it through, and nothing came of it."""
    return notice.status == "refused" and bool(notice.provenance.get("candidate"))
