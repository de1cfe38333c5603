"""Which model is in service, from what has changed that: one truth for whoever trains, judges or lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Verb = Literal["promotion", "rollback", "pin", "unpin", "extend", "anchor"]


class Entry(msgspec.Struct, frozen=True):
    """One promotion, roll-back, pin, extension or anchor, in order.

    Attributes:
        model_id: that is promoted, rolled back, pinned, extended to all source partitions, or the anchor from now on;
            "" of ``unpin``.
        request_id: that the promotion answers; of the others the id of the decision or action.
        promoted_ms: event time, no later than events that were seen.
        verb: what happens to the model.
        returns_to: of a roll-back, the model that is in service then, where no earlier promotion is known here.
    """

    model_id: str
    request_id: str
    promoted_ms: int
    verb: Verb = "promotion"
    returns_to: str = ""


def in_service(entries: Iterable[Entry]) -> str:
    """Id of the model in service: the one that is pinned, else the newest that was promoted and not rolled back since;
    "" for none.

    >>> history = [Entry("a", "r1", 1), Entry("b", "r2", 2), Entry("b", "x", 3, "rollback", "a")]
    >>> in_service(history), in_service(history[:2]), in_service([*history, Entry("c", "r3", 4)])
    ('a', 'b', 'c')
    >>> in_service([*history, Entry("b", "y", 5, "pin")]), in_service([])
    ('b', '')
    """
    promoted, pinned, returns_to = list[str](), "", ""
    for entry in entries:
        if entry.verb == "promotion":
            promoted.append(entry.model_id)
        elif entry.verb == "rollback":
            promoted = [model_id for model_id in promoted if model_id != entry.model_id]
            returns_to = entry.returns_to
            pinned = "" if pinned == entry.model_id else pinned
        elif entry.verb in ("pin", "unpin"):
            pinned = entry.model_id
    return pinned or (promoted[-1] if promoted else returns_to)


def anchor(entries: Iterable[Entry]) -> str:
    """Id of the model that a person has named last as the anchor, else of the first that was promoted; "" for none."""
    entries = list(entries)
    named = [entry.model_id for entry in entries if entry.verb == "anchor"]
    first = [entry.model_id for entry in entries if entry.verb == "promotion"]
    return (named[-1:] or first[:1] or [""])[0]
