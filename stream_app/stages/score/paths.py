"""Where a field lies in the body of an event: under its name, or at the end of a path through objects and lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stream_app.config.field_names import literal, steps


def finder(name: str) -> Callable[[Mapping[str, Any]], Any]:
    """A function from a body to the value of a field; None where there is none.

    What stands under the whole name goes before what the path leads to.

        >>> find = finder("items.0.price")
        >>> find({"items": [{"price": 3}]}), find({"items.0.price": 4, "items": []}), find({"items": []})
        (3, 4, None)
    """
    whole, path = literal(name), steps(name)
    if not path:
        return lambda body: body.get(whole)
    return lambda body: body[whole] if whole in body else _follow(body, path)


def holder(name: str) -> Callable[[Mapping[str, Any]], bool]:
    """A function from a body to whether it has a field, null or not.

    >>> has = holder("payload.amount")
    >>> has({"payload": {"amount": None}}), has({"payload.amount": 4}), has({"payload": {}}), has({"amount": 4})
    (True, True, False, False)
    """
    whole, path = literal(name), steps(name)
    if not path:
        return lambda body: whole in body
    return lambda body: whole in body or _has(_follow(body, path[:-1]), path[-1])


def _has(value: Any, step: str) -> bool:
    return step in value if isinstance(value, dict) else _follow(value, (step,)) is not None


def _follow(value: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and step.isascii() and len(step) < 10:
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value
