"""What is remembered of an incident: its members, and what people were told of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from schemas.records import TopEvent
from stream_app.stages.judge.harm import harm_of
from stream_app.stages.judge.heard import Heard, Key
from stream_app.stages.judge.naming import Named


class Said(msgspec.Struct):
    """What a message said.

    Attributes:
        ms: end of its pane.
        severity: number of it among :data:`~stream_app.stages.judge.severity.SEVERITIES`.
        slices: how many there were by then.
        slots: reminders that were due by then.
    """

    ms: int
    severity: int
    kind: str
    slices: int
    slots: int


class Thread(msgspec.Struct):
    """An incident.

    Attributes:
        opened_ms: start of the pane at which it opened.
        begun_ms: end of the pane at which it opened, or came again.
        newest_ms: end of the pane in which the newest member came.
        ended_ms: end of the pane in which it ended; −1 while it is open.
        over_ms: end of the pane since which none of its members speaks; −1 where one does.
        comebacks: how often it has come again after people were told that it is over.
        threshold, parts, together: evidence that one slice alone opens one with; into how many parts the promise of the
            rule was shared; candidates of the rule that could open one in that pane.
        opener: rule that opened it.
        names: causes that its members came with.
        about: what its messages have named, with the figures of the last one.
        number: messages so far.
        people, audit: what people, and what anybody, was told last.
        silenced_by: the silence that kept the last message from people.
        asks: whether a member asks for a model.
        hurt: whether the model in service is hurt by it.
        burst: whether far more of its events than should be were alarms, at any time.
        called: whether a model is asked for because a person has accepted it.
        severity, worst: numbers of it, now and at its worst.
        slices: how many ever were members.
        dropped: members that are over and were forgotten.
        examples: strangest events.
    """

    id: str
    opened_ms: int
    begun_ms: int
    newest_ms: int
    since_ms: int
    model_id: str
    kind: str
    opener: str
    threshold: float
    parts: float
    together: int
    names: list[str] = msgspec.field(default_factory=list)
    about: list[Named] = msgspec.field(default_factory=list)
    members: dict[Key, Heard] = msgspec.field(default_factory=dict)
    number: int = 0
    ended_ms: int = -1
    over_ms: int = -1
    comebacks: int = 0
    acked_by: str = ""
    people: Said | None = None
    audit: Said | None = None
    silenced_by: str = ""
    asks: bool = False
    hurt: bool = False
    burst: bool = False
    called: bool = False
    severity: int = 0
    worst: int = 0
    slices: int = 0
    dropped: int = 0
    examples: list[TopEvent] = msgspec.field(default_factory=list)

    @property
    def live(self) -> list[Heard]:
        """Members that are not over, in the order in which they came."""
        return [of for of in self.members.values() if not of.over]

    def asking(self, rules: Collection[str], spoilt: Collection[tuple[str, str]]) -> list[Heard]:
        """Members of these rules that ask for a model: drift that hurts the one in service, but of slices of whose
        values a fault is found, which a model would learn. While nobody has judged it, a burst or a fault asks for
        none.
        """
        if self.is_unjudged or not self.hurt:
            return []
        return [of for of in self.live if of.kind == "drift" and of.rule in rules and of.key[1:] not in spoilt]

    @property
    def is_unjudged(self) -> bool:
        """Whether no model may learn its events until a person has accepted them."""
        return self.burst or self.kind == "fault"

    def weigh_harm(self) -> None:
        """Look whether the model in service is hurt, by those of its members that are not over."""
        if members := self.live:
            self.hurt, burst = harm_of(members)
            self.burst |= burst

    @property
    def told_of(self) -> list[Heard]:
        """Members that a message is about: those that are not over, or all where it ends. Most evidence first."""
        return sorted(self.live or self.members.values(), key=lambda of: (-of.statistic, of.key))

    def to_state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        plain: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(self, members={}))
        return plain | {"members": [msgspec.to_builtins(of) for of in self.members.values()]}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Thread:
        """Inverse of :meth:`to_state`."""
        members = msgspec.convert(state["members"], list[Heard])
        thread = msgspec.convert(state | {"members": {}}, Thread)
        thread.members = {of.key: of for of in members}
        return thread
