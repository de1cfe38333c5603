"""Ways to damage a message: its value cut, flipped, or with one field that is not what it should be; its headers.

Each gives ``(what was done, the damaged thing)``. Fields are reached through ``msgspec.Raw``, so that what stands in
them need not be valid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from tests.hostile import fragments

Path = tuple[str | int, ...]
Headers = tuple[tuple[str, bytes | None], ...]
Encode = Callable[[Any], bytes]

_DEPTH_MAX = 4


def cut(value: bytes, most: int) -> Iterator[tuple[str, bytes]]:
    """Every true beginning of a value; of a long one ``most`` of them, near both ends and evenly between."""
    ends = list(range(len(value)))
    if len(value) > most:
        near = most // 4
        between = range(near, len(value) - near, max((len(value) - 2 * near) // (most - 2 * near), 1))
        ends = sorted({*range(near), *between, *range(len(value) - near, len(value))})
    for end in ends:
        yield "cut", value[:end]


def flipped(value: bytes, most: int) -> Iterator[tuple[str, bytes]]:
    """One bit turned over: every one, or ``most`` that are spread over the value."""
    bits = 8 * len(value)
    step = max(bits // most, 1)
    for bit in range(0, bits, step + (step > 1 and step % 8 == 0)):  # not always the same one of a byte
        at = bit // 8
        yield "bit flipped", value[:at] + bytes([value[at] ^ (1 << bit % 8)]) + value[at + 1 :]


def appended(value: bytes) -> Iterator[tuple[str, bytes]]:
    """Something behind the end, or before the beginning."""
    for tail in (b"x", b"\0", value, b"]", b"\xc1"):
        yield "something behind", value + tail
    yield "something before", b"\0" + value


def paths(document: Any, at: Path = ()) -> Iterator[Path]:
    """Every field of a document, of lists their first item."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(document, dict):
        items = list(document.items())
    elif isinstance(document, list) and document:
        items = [(0, document[0])]
    for name, inner in items:
        yield (*at, name)
        if len(at) < _DEPTH_MAX:
            yield from paths(inner, (*at, name))


def replaced(document: Any, path: Path, put: Any) -> Any:
    """A copy of a document with something else in one place."""
    if not path:
        return put
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = replaced(copy[path[0]], path[1:], put)
    return copy


def without(document: Any, path: Path) -> Any:
    """A copy of a document that lacks one field or item."""
    copy = dict(document) if isinstance(document, dict) else list(document)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = without(copy[path[0]], path[1:])
    return copy


def json_fields(document: dict[str, Any]) -> Iterator[tuple[str, Path, bytes]]:
    """``(what stands there, where, body)``: each field with each fragment, absent, and twice."""
    yield from _fields(document, msgspec.json.encode, fragments.JSON)
    body = msgspec.json.encode(document)
    for name in document:
        for what in ("null", "a letter", "2^63"):
            again = msgspec.json.encode(name) + b":" + fragments.JSON[what]
            yield f"first {what}, then itself", (name,), b"{" + again + b"," + body[1:]
            yield f"twice, then {what}", (name,), body[:-1] + b"," + again + b"}"


def msgpack_fields(document: dict[str, Any]) -> Iterator[tuple[str, Path, bytes]]:
    """:func:`json_fields` in MessagePack."""
    yield from _fields(document, msgspec.msgpack.encode, fragments.MSGPACK)
    pairs = b"".join(msgspec.msgpack.encode(part) for pair in document.items() for part in pair)
    size = (len(document) + 1).to_bytes(2, "big")
    for name in document:
        for what in ("null", "a letter", "2^63"):
            again = msgspec.msgpack.encode(name) + fragments.MSGPACK[what]
            yield f"first {what}, then itself", (name,), b"\xde" + size + again + pairs
            yield f"twice, then {what}", (name,), b"\xde" + size + pairs + again


def _fields(document: Any, encode: Encode, known: dict[str, bytes]) -> Iterator[tuple[str, Path, bytes]]:
    for path in paths(document):
        yield "absent", path, encode(without(document, path))
        for what, fragment in known.items():
            yield what, path, encode(replaced(document, path, msgspec.Raw(fragment)))
    yield "unknown beside", (), encode({**document, "nobody knows": msgspec.Raw(known["an object"])})


def headers(good: Sequence[tuple[str, bytes]]) -> Iterator[tuple[str, str, Headers]]:
    """``(what was done, header, headers)``: each null, absent, wrong, twice, not UTF-8, and what nobody asked for."""
    for at, (name, value) in enumerate(good):
        before, after = tuple(good[:at]), tuple(good[at + 1 :])
        wrong: dict[str, tuple[tuple[str, bytes | None], ...]] = {
            "null": ((name, None),),
            "absent": (),
            "empty": ((name, b""),),
            "wrong": ((name, b"driftflow.not-known-here.v9"),),
            "cut": ((name, value[:-1]),),
            "not utf-8": ((name, b"\xff\xfe" + value),),
            "long": ((name, value * (100_000 // max(len(value), 1))),),
            "twice, null last": ((name, value), (name, None)),
            "twice, null first": ((name, None), (name, value)),
            "twice, wrong last": ((name, value), (name, b"other")),
            "twice, wrong first": ((name, b"other"), (name, value)),
            "in capitals": ((name.upper(), value),),
        }
        for what, instead in wrong.items():
            yield what, name, (*before, *instead, *after)
    yield "none at all", "", ()
    yield "a null one of another's", "", (*good, ("traceparent", None))
    yield "a binary one of another's", "", (*good, ("traceparent", b"\xff\0\x80"))
    yield "a nameless one", "", (*good, ("", b"x"))
    yield "a thousand", "", (*good, *((f"h{i}", b"x") for i in range(1_000)))
    yield "backwards", "", tuple(reversed(good))
