"""Answers a request: looks whether it can be right, trains, writes down what was decided, and only then sends it.

Whatever happens in between, the next try goes on from what is written down: a request is trained twice at most, and
answered once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from flowlib.artifact import Ed25519PrivateKey
from flowlib.table import DAY_MS
from schemas.records import ModelNotice, RetrainRequest
from stream_app.config import Config
from stream_app.kafka.types import ClientSettings
from stream_app.models.history import Entry
from stream_app.models.registry import Registry
from stream_app.monitor.meter import Meter
from stream_app.monitor.metrics import REQUESTS
from stream_app.trainer.delivery import Delivery
from stream_app.trainer.outcome import Outcome, Retrain
from stream_app.trainer.requests import checking
from stream_app.trainer.requests.answers import Answers, Step
from stream_app.trainer.requests.believing import Asked
from stream_app.trainer.requests.checking import Seen
from stream_app.trainer.requests.looking import look
from stream_app.trainer.stopping import Stopping, persistently
from stream_app.trainer.trying import Trying

_REASON_MAX = 4_000


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
        self._meter = meter
        self._config, self._client, self._key = config, client, key
        self._delivery, self._stopping, self._say = delivery, stopping, say
        self._registry, self._answers = Registry(config), Answers(config)
        self._trying = Trying(config, client, key, self._registry, self._answers, stopping, say, meter)

    def finish_earlier(self) -> None:
        """Send what an earlier process has decided and not sent."""
        notices = {notice.sequence: notice for notice in self._registry.notices()}
        for step in self._answers.unsent():
            if step.sequence in notices:
                self._deliver(step, notices[step.sequence])

    def release(self) -> None:
        """The attempt in hand does not count: the process was told to stop. May be called from any thread."""
        self._answers.release()

    def answer(self, asked: Asked, local: bool = False) -> ModelNotice | None:
        """Answer a request; one that has been answered before only gets what was decided then.

        Args:
            asked: a request that is believed.
            local: asked for on this machine, by whoever started the trainer: it may come again, for any date.

        Returns:
            what was decided; None where the answer is on the topic, and what was decided is not kept here.

        Raises:
            DriftflowError: the registry, a key or the disk needs mending; nothing was decided.
            KafkaError: the broker refuses.
            Stopped: told to.
        """
        request = asked.request
        kept = self._registry.answer_to(request.id)
        if kept is None and self._delivery.is_told(request.id):
            self._say(f"request {request.id[:8]} has been answered already")
            return None
        dated = True
        if kept is None:
            decision = self._decide(asked, local)
            kept, dated = self._keep(decision), decision.dated
            self._meter.count(REQUESTS, kept.status)
            self._say(_line(kept))
        step = self._answers.answered(request.id) or self._answers.answer(asked, kept.sequence, dated)
        if step.state != "sent":
            self._deliver(step, kept)
        return kept

    def _keep(self, decision: Decision) -> ModelNotice:
        outcome = decision.outcome
        if outcome.model is not None:
            self._registry.save(outcome.model)
        notice = msgspec.structs.replace(outcome.notice, reason=outcome.notice.reason[:_REASON_MAX])
        return self._registry.record(notice, self._delivery.highest)

    def _deliver(self, step: Step, notice: ModelNotice) -> None:
        if notice.status == "promoted":
            self._registry.check(notice.model_id)
        self._delivery.deliver(self._registry.whole(notice))
        if notice.status == "promoted":
            self._registry.promote(Entry(notice.model_id, notice.request_id, notice.created_ms))
        self._answers.sent(step)

    # What to decide -------------------------------------------------------------------------------------------------

    def _decide(self, asked: Asked, local: bool) -> Decision:
        request, history = asked.request, self._registry.history()
        parent_id = history[-1].model_id if history else ""
        known = Retrain(self._config, request, None, max((entry.promoted_ms for entry in history), default=None))

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
        if fault := self._spent(retrain):
            return refused(fault, retrain, dated=True)
        return Decision(self._trying.train(asked, seen, retrain), True)

    def _look(self, request: RetrainRequest) -> Seen:
        def ask() -> Seen:
            return look(self._config, self._client, request.train)

        return persistently(ask, "looking at what a request names", self._stopping, self._say)

    def _covered_by(self, request: RetrainRequest) -> Entry | None:
        """The promotion that answers a request too: it has replaced the model that the request finds too old, and is
        not older than a cooldown itself.
        """
        history = self._registry.history()
        if not history or request.requested_pane_ms >= history[-1].promoted_ms + int(self._config.retrain.cooldown):
            return None
        return history[-1] if request.model_id != history[-1].model_id else None

    def _spent(self, retrain: Retrain) -> str:
        """Why the budget allows no model more, or "". Days are of event time that was seen, whatever requests say."""
        budget = self._config.trainer.budget_per_day
        day = [entry for entry in self._registry.history() if entry.promoted_ms > retrain.dated_ms - DAY_MS]
        return f"the budget of {budget} models a day is spent (trainer.budget_per_day)" if len(day) >= budget else ""


def _of_parent(outcome: Outcome, parent_id: str) -> Outcome:
    return replace(outcome, notice=msgspec.structs.replace(outcome.notice, parent_id=parent_id))


def _line(notice: ModelNotice) -> str:
    if notice.status == "covered":
        return f"request {notice.request_id[:8]} needs no new model: {notice.reason}"
    return f"model {notice.model_id} {notice.status}: {notice.reason}"
