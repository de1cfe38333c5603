"""Names of fields: what an event may call a field, and the way to it where it lies deeper.

A dot in a name leads into an object, or to an element of a list. A backslash before it makes it part of the name, and
one before a backslash stands for a backslash.

    >>> literal("payload.amount"), steps("payload.amount")
    ('payload.amount', ('payload', 'amount'))
    >>> literal(r"PM2\\.5"), steps(r"PM2\\.5"), steps(r"air.PM2\\.5")
    ('PM2.5', (), ('air', 'PM2.5'))
"""

from __future__ import annotations

import re

_PIECES = re.compile(r"\\([.\\])|(\.)|([^.\\]+|\\)")


def literal(name: str) -> str:
    """The name under which an event may hold the field at its top: it goes before the path."""
    return _PIECES.sub(lambda found: found[1] or found[0], name)


def steps(name: str) -> tuple[str, ...]:
    """The path to the field, step by step; empty where the name has no dot that leads anywhere."""
    path = [""]
    for escaped, dot, text in _PIECES.findall(name):
        if dot:
            path.append("")
        else:
            path[-1] += escaped or text
    return tuple(path) if len(path) > 1 else ()
