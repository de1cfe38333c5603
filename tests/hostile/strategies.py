"""Hostile messages for hypothesis, which finds the smallest one that a consumer cannot stand."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.hostile import fragments, mutations
from tests.hostile.cases import Case, genuine
from tests.hostile.mutations import Headers
from tests.hostile.world import Genuine, World

LISTS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def hostile_lists(world: World, topic: str) -> st.SearchStrategy[list[Case]]:
    """A few messages for a topic, made of genuine ones or of nothing."""
    one = st.one_of(_bytes(world, topic), _cut_or_flipped(world, topic), _fields(world, topic), _headers(world, topic))
    return st.lists(one, min_size=1, max_size=6)


def _good(world: World, topic: str) -> st.SearchStrategy[Genuine]:
    return st.sampled_from(genuine(world, topic))


def _bytes(world: World, topic: str) -> st.SearchStrategy[Case]:
    return st.builds(
        lambda good, value: Case("any bytes", value, good.headers), _good(world, topic), st.none() | st.binary()
    )


@st.composite
def _cut_or_flipped(draw: st.DrawFn, world: World, topic: str) -> Case:
    good = draw(_good(world, topic))
    at = draw(st.integers(0, len(good.value) - 1))
    if draw(st.booleans()):
        return Case("cut", good.value[:at], good.headers, False)
    flipped = good.value[:at] + bytes([good.value[at] ^ (1 << draw(st.integers(0, 7)))]) + good.value[at + 1 :]
    return Case("bit flipped", flipped, good.headers)


@st.composite
def _fields(draw: st.DrawFn, world: World, topic: str) -> Case:
    """Up to three fields with anything in them, signed again where that is asked for."""
    good = draw(_good(world, topic))
    document = good.document
    known = fragments.MSGPACK if good.packed else fragments.JSON
    encode = msgspec.msgpack.encode if good.packed else msgspec.json.encode
    anything = st.builds(encode, ANY_JSON.filter(lambda value: _is_encodable(value, encode)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(mutations.paths(document)) or [("stream",)]))
        put = draw(st.sampled_from(sorted(known.keys() - fragments.BIG)).map(known.__getitem__) | anything)
        document = mutations.replaced(document, path[:1], msgspec.Raw(put))
    value, headers = encode(document), good.headers
    if good.key is not None and draw(st.booleans()):
        headers = good.signed(value, good.headers, good.key).headers
    return Case("fields", value, headers)


@st.composite
def _headers(draw: st.DrawFn, world: World, topic: str) -> Case:
    good = draw(_good(world, topic))
    names = st.sampled_from([name for name, _ in good.headers] or ["kind"]) | st.text(max_size=9)
    values = st.none() | st.binary(max_size=40) | st.sampled_from([value for _, value in good.headers] or [b"x"])
    headers: Headers = tuple(draw(st.lists(st.tuples(names, values), max_size=9)))
    return Case("headers", good.value, headers)


def _is_encodable(value: Any, encode: Any) -> bool:
    try:
        encode(value)
    except (OverflowError, UnicodeEncodeError, TypeError):
        return False
    return True
