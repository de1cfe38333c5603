"""Writes down what was decided, and only then sends it: registry, audit log, answers, topics, in the order that a crash
allows. Whatever is done again gives what was kept the first time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from schemas.incidents import Action
from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.models import audit_lines
from stream_app.models.audit import AuditLog
from stream_app.models.audit import Entry as Line
from stream_app.models.history import Entry
from stream_app.models.registry import Registry
from stream_app.monitor.meter import Meter
from stream_app.monitor.metrics import REQUESTS
from stream_app.trainer.delivery import Delivery
from stream_app.trainer.outcome import Outcome
from stream_app.trainer.requests.answers import Answers, Step
from stream_app.trainer.requests.believing import Asked

_REASON_MAX = 4_000


class Keeping:
    """What is decided about requests and models of one stream.

    Args:
        config: the stream.
        registry: keeps models and notices.
        delivery: where notices go.
        say: takes a line for the person who watches.
        meter: counts what was decided.

    Attributes:
        answers: what became of each request.
        audit: the log of all that happened.

    Raises:
        DriftflowError: a file is damaged.
    """

    def __init__(
        self, config: Config, registry: Registry, delivery: Delivery, say: Callable[[str], None], meter: Meter
    ) -> None:
        self.answers, self.audit = Answers(config), AuditLog(config)
        self._registry, self._delivery, self._say, self._meter = registry, delivery, say, meter
        self._said: dict[str, Line] | None = None
        if lost := self.audit.begin(notice.provenance.get("audit_head", "") for notice in registry.notices()):
            say(f"{self.audit.path} is gone, and {lost:,} notices name lines of it: a log is begun that says so")

    def finish_earlier(self) -> None:
        """Send what an earlier process has decided and not sent."""
        notices = {notice.sequence: notice for notice in self._registry.notices()}
        for step in self.answers.unsent():
            if step.sequence in notices:
                self._deliver(step, notices[step.sequence])

    def note(self, event: str, about: str, body: Mapping[str, Any]) -> None:
        """Add to the audit log that something happened, once."""
        self.audit.append(event, about, body)

    def known(self, action: Action) -> Line | None:
        """The line of what a person has said; None where it is news. All of it is read anew at every start: the log is
        looked at once.
        """
        if self._said is None:
            self._said = {entry.about: entry for entry in self.audit.entries()}
        return self._said.get(action.id)

    def note_said(self, action: Action, line: audit_lines.Line | None = None) -> None:
        """Add what a person has said, once; in a line of its own where that says what follows, too."""
        if self.known(action) is None:
            assert self._said is not None
            self._said[action.id] = self.audit.append(*(line or audit_lines.of_action(action)))

    def note_nothing(self, action: Action, why: str) -> None:
        """Add that nothing follows from what a person has said, and why, once; nothing ever will."""
        if self.known(action) is None:
            self.note_said(action, audit_lines.of_nothing(action, why))
            self._say(f"nothing follows from what {action.by} says ({action.verb}): {why}")

    def answer(self, asked: Asked, outcome: Outcome, dated: bool = True) -> ModelNotice:
        """A request is answered.

        Args:
            asked: the request.
            outcome: what came of it.
            dated: whether its date can be right: only then it moves its writer's sequence on.

        Returns:
            the answer as it is kept; an earlier one where there was one.
        """
        kept = self._keep(outcome)
        self._meter.count(REQUESTS, kept.status)
        self._say(_line(kept))
        self.send(asked, kept, dated)
        return kept

    def send(self, asked: Asked, kept: ModelNotice, dated: bool = True) -> None:
        """Write down that a request has its answer, and send that where it is not on its topics yet."""
        step = self.answers.answered(asked.request.id) or self.answers.answer(asked, kept.sequence, dated)
        if step.state != "sent":
            self._deliver(step, kept)

    def announce(self, outcome: Outcome) -> ModelNotice:
        """News of a candidate that answer no request yet, for people; as it is kept, once for each status."""
        kept = self._keep(outcome)
        self._note_of(kept)
        self._delivery.deliver(kept)
        return kept

    def _keep(self, outcome: Outcome) -> ModelNotice:
        if outcome.model is not None:
            self._registry.save(outcome.model)
        notice = outcome.notice
        said = {**notice.provenance, "audit_head": self.audit.head}
        notice = msgspec.structs.replace(notice, reason=notice.reason[:_REASON_MAX], provenance=said)
        return self._registry.record(notice, self._delivery.highest)

    def _deliver(self, step: Step, notice: ModelNotice) -> None:
        if notice.status == "promoted":
            self._registry.check(notice.model_id)
        self._note_of(notice)
        self._delivery.deliver(self._registry.whole(notice))
        if notice.status == "promoted":
            self._registry.change(Entry(notice.model_id, notice.request_id, notice.created_ms))
        self.answers.sent(step)

    def _note_of(self, notice: ModelNotice) -> None:
        self.note(*audit_lines.of_notice(notice))


def _line(notice: ModelNotice) -> str:
    if notice.status == "covered":
        return f"request {notice.request_id[:8]} needs no new model: {notice.reason}"
    return f"model {notice.model_id} {notice.status}: {notice.reason}"
