"""What an incident is about, kept from its first message to its last.

What leads changes while an incident lasts: of columns that move together now this one comes first, now that one, and
in the end it is often all of them as a whole. So an incident remembers what it opened with, which every later message
names first, and what was added since. Both are bounded, with the figures that were told last: members forget causes
that are not named any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from stream_app.stages.judge.figures import Pooled, pool, pool_of
from stream_app.stages.judge.heard import Heard

LATER_MAX = 3
"""Causes that were added since an incident opened and are kept; what it opened with are
:data:`~stream_app.stages.judge.figures.FINDINGS_MAX` at most."""


class Named(msgspec.Struct, frozen=True):
    """A cause that messages of an incident have named.

    Attributes:
        found: with its figures, as far as they are known; of no weight where it is none of the main ones now.
        at_first: the incident opened with it.
        still: a member that is not over names it still.
    """

    found: Pooled
    at_first: bool
    still: bool


def renamed(before: Sequence[Named], members: Iterable[Heard]) -> list[Named]:
    """What an incident is about now: what it opened with, then what was added, the main ones of these first.

    Args:
        before: as its last message had it; none with the first one.
        members: those that the next message is about.
    """
    known = list(members)
    main = {of.key: of for of in pool(known)}
    figures = pool_of(known, {of.found.key for of in before}) | main
    lasting = {(*of.key, of.direction) for member in known if not member.over for of in member.causes if of.weight > 0}
    kept = [_now(of, figures.get(of.found.key), of.found.key in lasting) for of in before]
    names = {of.found.key for of in kept}
    new = [Named(of, at_first=not before, still=key in lasting) for key, of in main.items() if key not in names]
    first, later = [of for of in [*kept, *new] if of.at_first], [of for of in [*kept, *new] if not of.at_first]
    order = {key: i for i, key in enumerate(main)}
    later.sort(key=lambda of: order.get(of.found.key, len(order)))
    return [*first, *later[:LATER_MAX]]


def in_order(about: Sequence[Named]) -> list[Named]:
    """What it opened with first; then what is so now; then what has been."""
    return [*about[:1], *sorted(about[1:], key=lambda of: not (of.still and of.found.weight > 0))]


def _now(of: Named, found: Pooled | None, still: bool) -> Named:
    return Named(found or msgspec.structs.replace(of.found, weight=0.0), of.at_first, still)
