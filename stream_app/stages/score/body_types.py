"""Types that msgspec reads the fields of a body by in one pass, those that lie deeper too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from stream_app.config.field_names import literal, steps

_Tree = dict[str, Any]
"""Step to the type of a field, or to a tree of further steps."""
_ELSE = list[Any] | str | int | float | bool | None
"""What may stand where a path expects an object; it leads nowhere then."""


def body_decoder(
    fields: Sequence[tuple[str, str, Any]], decoder: Callable[[Any], Any] = msgspec.json.Decoder
) -> Callable[[bytes], Any]:
    """A function from JSON to an object with an attribute for each field, None where it is missing, and ``coerced``, 0.

    Args:
        fields: attribute, name and type of each field.
        decoder: msgspec's, of JSON or of MessagePack.

    Raises (the function):
        msgspec.DecodeError: the body is of other types, or is read more easily in another way.
    """
    members, rename, ways, tree = [], {}, [], _Tree()
    tops = {literal(name) for _, name, _ in fields}
    for attribute, name, kind in fields:
        rename[attribute], path = literal(name), steps(name)
        members.append((attribute, kind | UnsetType, UNSET) if path else (attribute, kind, None))
        if path:
            ways.append((attribute, _way(_plant(tree, path, kind) if path[0] not in tops else "")))
    inner, renamed = _members(tree)
    body = msgspec.defstruct("Body", members + inner, rename=rename | renamed, namespace={"coerced": 0}, gc=False)
    decode = decoder(body).decode
    return _with_ways(decode, ways) if ways else decode


def _with_ways(decode: Callable[[bytes], Any], ways: list[tuple[str, Callable[[Any], Any]]]) -> Callable[[bytes], Any]:
    def read(raw: bytes) -> Any:
        body = decode(raw)
        for attribute, way in ways:
            if getattr(body, attribute) is UNSET:
                setattr(body, attribute, way(body))
        return body

    return read


def _plant(tree: _Tree, path: tuple[str, ...], kind: Any) -> str:
    """Add a field to a tree; return the attributes that lead to it, "" where it cannot be there.

    Elements of lists have no place in it, nor has an object that another field takes for a value.
    """
    if any(step.isdecimal() for step in path[1:]):
        return ""
    attributes = []
    for step in path[:-1]:
        child = tree.setdefault(step, {})
        if not isinstance(child, dict):
            return ""
        attributes.append(f"s{list(tree).index(step)}")
        tree = child
    if path[-1] in tree:
        return ""
    tree[path[-1]] = kind
    return ".".join([*attributes, f"s{len(tree) - 1}"])


def _members(tree: _Tree) -> tuple[list[tuple[str, Any, Any]], dict[str, str]]:
    """Members of a struct, and what they are called in JSON."""
    names = {f"s{i}": step for i, step in enumerate(tree)}
    return [(name, _type(tree[step]), None) for name, step in names.items()], names


def _type(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    members, names = _members(tree)
    return msgspec.defstruct("Inner", members, rename=names, gc=False) | _ELSE


def _way(attributes: str) -> Callable[[Any], Any]:
    """How a body is asked for what lies deeper."""
    if not attributes:
        return _elsewhere
    get = attrgetter(attributes)

    def follow(body: Any) -> Any:
        try:
            return get(body)
        except AttributeError:
            return None

    return follow


def _elsewhere(body: Any) -> Any:
    raise msgspec.ValidationError("a path that only the careful reading can follow")
