"""What is said when another model comes into service, or ought to: to the trainer, and to people as an incident."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.incidents import Finding, Incident
from schemas.records import ServiceChange, record_id
from stream_app.config import Config
from stream_app.stages.judge import words
from stream_app.stages.judge.served import LEVEL, Question, Served
from stream_app.stages.links import links

RULE = "model"
"""Rule of these incidents; no rule of a configuration has its name."""
BY = "driftflow"
"""Who rolls a model back where no person does."""

_MEASURE = {"noisy": "share of alarms", "silent": "share of alarms", "unscorable": "share that cannot be scored"}
_SHORT = 12


class ModelIncident(msgspec.Struct, frozen=True):
    """An incident about a model that is open.

    Attributes:
        question: what was found, the ``detector``.
        hits, events, null, e_value: the figures.
        opened_ms: end of the pane at which it opened.
        says: what was found, in words.
        follows: what follows, in words.
    """

    id: str
    number: int
    model_id: str
    question: str
    hits: int
    events: int
    null: float
    e_value: float
    since_ms: int
    opened_ms: int
    says: str
    follows: str

    @classmethod
    def of(
        cls, config: Config, of: Served, question: Question, says: str, returns_to: str, pinned: str, end_ms: int
    ) -> ModelIncident:
        """One that opens.

        Args:
            of: the model.
            question: what was found of it.
            says: the same in words.
            returns_to: what returns in its place; "" where nothing does.
            pinned: what a person keeps in service, or "".
        """
        return cls(
            id=record_id(RULE, config.stream, of.model_id, question.name, end_ms),
            number=1,
            model_id=of.model_id,
            question=question.name,
            hits=question.hits,
            events=question.events,
            null=question.null,
            e_value=question.e_value(of.design),
            since_ms=of.since_ms,
            opened_ms=end_ms,
            says=says,
            follows=_follows(of.model_id, returns_to, pinned),
        )

    def next(self) -> ModelIncident:
        """As it stands with its next message."""
        return msgspec.structs.replace(self, number=self.number + 1)


def _follows(model_id: str, returns_to: str, pinned: str) -> str:
    if returns_to:
        return f"model {returns_to[:_SHORT]} returns to service in its place"
    if pinned:
        return f"nothing follows from it, for model {pinned[:_SHORT]} is pinned"
    return "it stays in service, for there is no model before it that could return"


def sentence(config: Config, question: Question, of: Served) -> str:
    """What was found of a model."""
    since = words.when(of.since_ms, config.event.timezone)
    figures = f"{question.hits:,} of {question.events:,} events since {since}"
    name = f"model {of.model_id[:_SHORT]}"
    if question.name == "silent":
        return f"{name} takes next to nothing for strange: {figures} have a p-value of .01 or less, where 1 % should"
    if question.name == "noisy":
        most = words.share(question.null)
        return f"{name} takes too much for strange: {figures} have a p-value of .01 or less, and {most} may"
    return f"{name} cannot score {figures}, and {words.share(question.null)} may be so"


def figures(question: Question, of: Served) -> dict[str, Any]:
    """What has asked for a change, in figures."""
    return {
        "found": question.name,
        "hits": question.hits,
        "events": question.events,
        "null": question.null,
        "design": of.design,
        "e_value": question.e_value(of.design),
        "level": LEVEL,
        "since_ms": of.since_ms,
    }


def change(
    config: Config,
    verb: str,
    model_id: str,
    returns_to: str,
    by: str,
    end_ms: int,
    why: str,
    cause: str = "",
    figures: dict[str, Any] | None = None,
) -> ServiceChange:
    """Another model in service, or another reason for the same.

    Args:
        cause: id of the action that it follows from, or "".
    """
    return ServiceChange(
        id=record_id("service", config.stream, verb, model_id, cause or end_ms),
        stream=config.stream,
        verb=verb,
        model_id=model_id,
        returns_to=returns_to,
        by=by,
        pane_end_ms=end_ms,
        why=why,
        figures=figures or {},
    )


def extension(config: Config, of: Served, end_ms: int) -> ServiceChange:
    """A model that has begun on a share of the source partitions scores the others too."""
    since = words.when(of.since_ms, config.event.timezone)
    why = (
        f"model {of.model_id[:_SHORT]} has scored {of.scored:,} events since {since} on a share of the source "
        "partitions, and nothing was found against it"
    )
    found = {"events": of.scored, "alarm_share": of.alarms, "design": of.design, "since_ms": of.since_ms}
    return change(config, "extend", of.model_id, of.model_id, BY, end_ms, why, figures=found)


def incident(config: Config, one: ModelIncident, end_ms: int, by: str | None) -> Incident:
    """A message of an incident about a model.

    Args:
        end_ms: of the pane that is judged.
        by: who has taken note of it, which ends it; "" where it ends by itself; None as long as it is open.
    """
    pane = int(config.windows.pane)
    seen = one.hits / one.events if one.events else 0.0
    finding = Finding(
        detector=one.question,
        feature="",
        weight=1.0,
        direction="down" if one.question == "silent" else "up",
        measure=_MEASURE[one.question],
        seen=seen,
        expected=one.null,
        events=one.events,
        says=one.says,
    )
    over = "" if by is None else f"Noted by {by}: " if by else "Over: "
    return Incident(
        id=one.id,
        stream=config.stream,
        number=one.number,
        state="open" if by is None else "accepted" if by else "resolve",
        reason="opened" if by is None else "action" if by else "ended",
        kind="fault",
        severity="critical",
        rules=[RULE],
        detector=one.question,
        feature="",
        members=[],
        member_count=0,
        slice_count=0,
        since_ms=one.since_ms,
        opened_pane_ms=max(one.opened_ms - pane, 0),
        pane_start_ms=max(end_ms - pane, 0),
        pane_end_ms=end_ms,
        events=one.events,
        share=1.0,
        statistic=one.e_value,
        threshold=1.0 / LEVEL,
        evidence="betting odds that the model is not in order; while it is they reach A with probability 1/A at most",
        promise=f"Of a model that is in order this is said with probability {LEVEL:g} at most.",
        findings=[finding],
        examples=[],
        marks=[],
        model_id=one.model_id,
        links=links(config, one.id, one.opened_ms, end_ms),
        acked_by=by or "",
        next="" if by is not None else _NEXT.format(model_id=one.model_id),
        summary=f"{over}{one.says}; {one.follows}.",
    )


_NEXT = (
    "It ends when somebody says `driftflow ack` or `driftflow accept`, or when the longest window has gone by. You "
    "can: driftflow models pin {model_id} (it is in service whatever is found), driftflow models list (what there is)."
)
