"""Silences: what people do not want to be told of, and marks: what they did.

A silence covers a member of an incident where all that it names fits: the slice, the channel, the direction, and the
size of the effect; an incident is silenced while every member is covered by one that is in force. It counts from the
next message on, by the stream's time. What it keeps from people goes to the audit.

A pattern of slices is ``field=value`` or ``value``, with ``*`` for any text: ``country=DE`` is every slice of a slicing
with the field ``country`` in which it has the value ``DE``; ``Dong*`` is every slice with a name, or with a part of it,
that begins so.

    >>> fits("country=D*", "country+city", "DE|Berlin"), fits("Ber*", "country+city", "DE|Berlin")
    (True, True)
    >>> fits("country=Berlin", "country+city", "DE|Berlin"), fits("DE", "country", "DE2")
    (False, False)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.incidents import Action, Mark
from stream_app.stages.judge.heard import Heard

SILENCES_MAX = 1_000
"""Silences that are kept: beyond, the one that ends first is given up, so that people are told rather than not."""
MARKS_MAX = 1_000
"""Marks that are kept, the newest."""
NEAR_MS = 86_400_000
"""What was done so long before or after the beginning of an incident may have to do with it."""
NEAR_MAX = 10
"""Marks that a message lists."""


class Silence(msgspec.Struct, frozen=True):
    """See :class:`~schemas.incidents.Action`."""

    id: str
    slices: tuple[str, ...]
    channel: str
    direction: str
    below_sd: float
    from_ms: int
    to_ms: int

    def covers(self, member: Heard) -> bool:
        """Whether all that it names fits a member."""
        return (
            all(fits(pattern, member.slicing, member.slice) for pattern in self.slices)
            and self._is_about(member)
            and self.direction in ("", member.direction)
            and (self.below_sd <= 0 or 0 <= member.largest_sd < self.below_sd)
        )

    def _is_about(self, member: Heard) -> bool:
        named = " ".join([member.detector, *member.features])
        return self.channel in ("", member.detector, named, *member.features) or self.channel in (
            f"{member.detector} {feature}" for feature in member.features
        )


def fits(pattern: str, slicing: str, slice_: str) -> bool:
    """Whether a pattern fits a slice."""
    fields, parts = slicing.split("+"), slice_.split("|")
    field, equals, value = pattern.partition("=")
    if equals and field == slicing:
        return _like(value, slice_)
    if equals and len(fields) == len(parts) and field in fields:
        return _like(value, parts[fields.index(field)])
    return _like(pattern, slice_) or any(_like(pattern, part) for part in parts)


def _like(pattern: str, text: str) -> bool:
    """Each part at its first place behind the one before, so that no pattern takes long."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *between, last = rest
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in between:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


class Silences:
    """Those that are in force or to come."""

    def __init__(self) -> None:
        self._silences: dict[str, Silence] = {}

    def add(self, action: Action) -> None:
        """Take one in."""
        self._silences[action.id] = Silence(
            action.id,
            tuple(action.slices),
            action.channel,
            action.direction,
            action.below_sd,
            action.from_ms,
            action.to_ms,
        )
        if len(self._silences) > SILENCES_MAX:
            del self._silences[min(self._silences.values(), key=lambda of: (of.to_ms, of.id)).id]

    def remove(self, silence_id: str) -> None:
        """People want to be told again."""
        self._silences.pop(silence_id, None)

    @property
    def any_kept(self) -> bool:
        """Whether there is one."""
        return bool(self._silences)

    def forget(self, time_ms: int) -> None:
        """Drop those that have ended."""
        self._silences = {of.id: of for of in self._silences.values() if of.to_ms > time_ms}

    def covering(self, members: Sequence[Heard], time_ms: int) -> str:
        """Id of a silence where every member is covered by one that is in force; else ""."""
        active = [of for of in self._silences.values() if of.from_ms <= time_ms < of.to_ms]
        found = ""
        for member in members:
            own = next((of.id for of in active if of.covers(member)), "")
            if not own:
                return ""
            found = found or own
        return found

    def to_state(self) -> Any:
        """Plain values for a snapshot."""
        return [msgspec.to_builtins(of) for of in self._silences.values()]

    def restore(self, state: Any) -> None:
        """Inverse of :meth:`to_state`."""
        silences = msgspec.convert(state, list[Silence])
        self._silences = {of.id: of for of in silences}


class Marks:
    """What people did, such as releases."""

    def __init__(self) -> None:
        self._marks: dict[str, Mark] = {}

    def add(self, action: Action) -> None:
        """Take one in; those that lie furthest back are given up beyond :data:`MARKS_MAX`."""
        self._marks[action.id] = Mark(at_ms=action.at_ms, text=action.why, by=action.by)
        if len(self._marks) > MARKS_MAX:
            del self._marks[min(self._marks, key=lambda key: (self._marks[key].at_ms, key))]

    def near(self, time_ms: int) -> list[Mark]:
        """Those within a day of a time, the nearest :data:`NEAR_MAX`, in the order of their times."""
        near = [of for of in self._marks.values() if abs(of.at_ms - time_ms) <= NEAR_MS]
        nearest = sorted(near, key=lambda of: (abs(of.at_ms - time_ms), of.at_ms, of.text))[:NEAR_MAX]
        return sorted(nearest, key=lambda of: (of.at_ms, of.text))

    def to_state(self) -> Any:
        """Plain values for a snapshot."""
        return [[key, msgspec.to_builtins(of)] for key, of in self._marks.items()]

    def restore(self, state: Any) -> None:
        """Inverse of :meth:`to_state`."""
        self._marks = {key: msgspec.convert(of, Mark) for key, of in state}
