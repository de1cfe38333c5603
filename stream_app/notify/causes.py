"""What is one to people: what several source partitions tell of one fault, each for itself, is one thread; so is what
several processes tell of one part of theirs.

One broken producer is seen on every partition that it writes to. The first of them to tell of it opens the thread;
those that tell the same while one is open join it without a message of their own, but for a channel in which incidents
last, whose alert then names them all; it is told to be graver where it is on any of them, and over once it is on all.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stream_app.notify.notices import Notice

SOURCES_MAX = 1_000
"""Partitions that are remembered of a cause: those beyond are threads of their own."""

_GRAVE = ("info", "warning", "critical")
_NAMED = 5


_GONE_MS = 86_400_000
"""A process that has told of a failure so long before another does is taken for gone: who has ended for good never says
that it works again."""


class _Member(msgspec.Struct):
    """What a partition or a process has told."""

    source: str
    over: bool = False
    at_ms: int = 0


class Cause(msgspec.Struct):
    """A fault of some partitions. It is remembered until the next of its kind: messages may be read again.

    Attributes:
        thread: id of the incident that told it first.
        title: of that.
        worst: the gravest that was told.
        members: incident id to what it has told.
    """

    thread: str
    title: str
    worst: str
    members: dict[str, _Member]

    @property
    def is_over(self) -> bool:
        """Whether it is on every partition that has told of it."""
        return all(member.over for member in self.members.values())

    def forget(self, notice: Notice) -> None:
        """Processes that were there long before one that speaks now, and have not spoken since, are over."""
        for name, member in self.members.items():
            if name != notice.thread and notice.at_ms - member.at_ms > _GONE_MS:
                member.over = True

    @property
    def speaker(self) -> str:
        """Id of the first incident that goes on: it is who reminds."""
        return next((name for name, member in self.members.items() if not member.over), "")


class Causes:
    """The faults that are open, and of each kind the last that was; ``known`` is what :meth:`to_bytes` gave."""

    def __init__(self, known: bytes = b"") -> None:
        self._known: dict[str, Cause] = msgspec.json.decode(known, type=dict[str, Cause]) if known else {}

    def to_bytes(self) -> bytes:
        """For the next process."""
        return msgspec.json.encode(self._known)

    def fold(self, notices: Sequence[Notice]) -> list[Notice]:
        """Notices with those of one cause in one thread; what is said by another already is left out."""
        folded = list[Notice]()
        for notice in notices:
            one = self._fold(notice) if notice.cause else notice
            if one is None:
                continue
            before = next((i for i, of in enumerate(folded) if of.thread == one.thread), -1)
            joins = one.reason == "joined" or (one.about == "health" and one.reason == "members")
            if joins and before >= 0 and folded[before].state != "over":
                folded[before] = _with_lines(folded[before], one)  # told together: one message has them all
            else:
                folded.append(one)
        return folded

    def _fold(self, notice: Notice) -> Notice | None:
        cause = self._known.get(notice.cause)
        if cause is not None and _fails(notice):
            cause.forget(notice)
        if cause is None or (cause.is_over and (notice.thread not in cause.members or _fails(notice))):
            return notice if notice.state == "over" else self._begin(notice)
        known = cause.members.get(notice.thread)
        if notice.state == "over":
            if known is None:  # of a process that had not said that it fails there is nothing to end
                return None if notice.about == "health" else notice
            return self._end(notice, cause, known)
        if known is None and len(cause.members) >= SOURCES_MAX:
            return notice
        cause.members[notice.thread] = _Member(notice.source, at_ms=notice.at_ms)
        graver = _GRAVE.index(notice.severity) > _GRAVE.index(cause.worst)
        cause.worst = notice.severity if graver else cause.worst
        if notice.thread in (cause.thread, cause.speaker):
            return _in_thread(notice, cause)
        if graver:
            return _in_thread(notice, cause, reason="severity")
        reason = "joined" if notice.about == "incidents" else "members"  # of processes each is told
        return _in_thread(notice, cause, reason) if known is None else None

    def _begin(self, notice: Notice) -> Notice:
        members = {notice.thread: _Member(notice.source, at_ms=notice.at_ms)}
        self._known[notice.cause] = Cause(notice.thread, notice.title, notice.severity, members)
        return notice

    def _end(self, notice: Notice, cause: Cause, member: _Member) -> Notice | None:
        if member.over:  # it is read again
            return None
        member.over = True
        if not cause.is_over:
            return None
        title = notice.title if notice.about == "health" else f"{cause.title.removesuffix(' is over')} is over"
        return msgspec.structs.replace(_in_thread(notice, cause), title=title)


def _fails(notice: Notice) -> bool:
    """Whether a process says that a part of it fails."""
    return notice.about == "health" and notice.state == "open"


def _in_thread(notice: Notice, cause: Cause, reason: str = "") -> Notice:
    """A notice as one of the thread, with the partitions that it is about."""
    leads = notice.thread == cause.thread
    changed = msgspec.structs.replace(
        notice,
        thread=cause.thread,
        state=notice.state if leads or notice.state == "over" else "update",
        reason=reason or notice.reason,
        severity=cause.worst,
        labels={**notice.labels, "severity": cause.worst},
        title=notice.title if leads else cause.title,
    )
    return _with_sources(changed, cause)


def _with_sources(notice: Notice, cause: Cause) -> Notice:
    sources = [member.source for member in cause.members.values()]
    if len(sources) == 1:
        return notice
    more = f" and {len(sources) - _NAMED:,} more" if len(sources) > _NAMED else ""
    return msgspec.structs.replace(notice, lines=[f"The same on {', '.join(sources[:_NAMED])}{more}", *notice.lines])


def _with_lines(notice: Notice, joined: Notice) -> Notice:
    """A message that was about to go out, with a partition that has joined meanwhile."""
    rest = [line for line in notice.lines if not line.startswith("The same on ")]
    return msgspec.structs.replace(notice, lines=[joined.lines[0], *rest])
