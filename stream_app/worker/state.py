"""Where a worker keeps the state of its partitions, and the decisions: what every such place can do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from stream_app.stages.decisions import Acted, Activated, Decision, Service
from stream_app.worker.heads import Head, Saved


class StateStore(Protocol):
    """Bases and heads by name (``source-3``, ``watch-0``), and the log of decisions. All of it blocks.

    Whoever takes a name over is the only one who may write under it: a worker that was believed dead and goes on is
    refused (:class:`~stream_app.errors.TakenOver`).
    """

    def take(self, name: str) -> Saved | None:
        """Take a name over; what is kept of it, None where nothing is.

        Raises:
            SnapshotError: something is kept, and it cannot be read, is damaged or of another version.
        """
        ...

    def put_base(self, name: str, base: bytes) -> None:
        """Keep a base durably, beside the one that counts: it counts once a head names it."""
        ...

    def put_head(self, name: str, head: Head) -> None:
        """Let a head count, durably once :meth:`settle` has returned; bases that it does not name may go then."""
        ...

    def settle(self) -> None:
        """Wait until every head is durable that was put."""
        ...

    def where(self, name: str) -> str:
        """What to call the place of a name in a message."""
        ...

    def record(self, decision: Decision) -> None:
        """Append a decision; it is durable when this returns."""
        ...

    def has_news(self) -> bool:
        """Whether the decisions have changed since they were last read, by any worker."""
        ...

    def decisions(self) -> list[Decision]:
        """Every decision so far."""
        ...

    def preset(self, decisions: Iterable[Decision]) -> None:
        """Start with the decisions of another run.

        Raises:
            SnapshotError: there are other decisions already, or they are of another number of partials partitions.
        """
        ...

    def unread(self, partition: int) -> int | None:
        """Records of a source partition that its owner has not settled; None where that is not known."""
        ...

    def close(self) -> None:
        """Let go of what it holds; nothing is asked of it any more."""
        ...


def name_of(decision: Decision) -> str:
    """The name of the partition that a decision is about: its owner alone may make it."""
    if isinstance(decision, Activated):
        return f"source-{decision.partition}"
    return "judge-0" if isinstance(decision, Acted | Service) else f"watch-{decision.partials_partition}"
