"""What a source partition remembers of event time: its clock, what is closed, and the events that wait."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

NOTHING = -1
"""``clock_ms`` and ``newest_ms`` before there is one."""


class Held(NamedTuple):
    """An event that waits for the clock to come near its time; body, id and first slice as they came."""

    offset: int
    value: bytes
    time_ms: int
    id: str
    slice: str


class Ahead(NamedTuple):
    """A row of a run ahead of the clock; ``mark`` is its id, or else a hash of its body, ``held`` the bytes of it that
    are held.
    """

    time_ms: int
    slice: str
    mark: str
    held: int


@dataclass(slots=True)
class Timing:
    """Event-time state of a source partition.

    Attributes:
        clock_ms: how far the stream is: the lower median of ``votes``, never back.
        votes: times of the last ``windows.clock`` accepted events, oldest first.
        newest_ms: newest time of an event that is in a pane.
        closed_ms: panes that end at or before this are closed.
        open_ms: starts of the open panes that an event has reached, ascending.
        ids: ids seen in panes that are still open, with their event times.
        held: events that wait, by offset.
        near: rows that have come ahead of the clock since the last one that was not, those beyond ``max_future`` left
            out; they are believed where they agree (:mod:`.holding`).
        far: rows beyond ``max_future`` since the last one that was not.
        far_from: offset of the first of them.
        is_restored: held events are from a snapshot, and the configuration may be another now; in no snapshot.
    """

    clock_ms: int = NOTHING
    votes: list[int] = field(default_factory=list)
    newest_ms: int = NOTHING
    closed_ms: int = 0
    open_ms: list[int] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)
    near: list[Ahead] = field(default_factory=list)
    far: list[Ahead] = field(default_factory=list)
    far_from: int = 0
    is_restored: bool = False

    def to_state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        names = (one.name for one in fields(self))
        return {name: copy(getattr(self, name)) for name in names if name != "is_restored"}  # asdict copies every id

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Timing:
        """Inverse of :meth:`to_state`."""
        held = [Held(*one) for one in state["held"]]
        near, far = ([Ahead(*one) for one in state[run]] for run in ("near", "far"))
        return cls(**{**state, "held": held, "near": near, "far": far}, is_restored=True)
