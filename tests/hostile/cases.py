"""Hostile messages for each topic, made of genuine ones: every kind at least once, the mix by a seed."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from tests.hostile import fragments, mutations
from tests.hostile.mutations import Headers, Path
from tests.hostile.world import Genuine, Source

TOPICS = ("events", "partials", "evidence", "signals", "actions", "models")
_DEFAULTS = {
    *("sequence", "manifest", "tensors", "signature", "key_id", "provenance"),  # of a notice
    *("accepted", "unjudged"),  # of a request
    *("strangers", "top"),  # of partials
    *("successor_id", "links", "acked_by", "silenced_by", "next", "summary", "cause_id"),  # of an incident
    *(
        "incident_id",
        "why",
        "verdict",
        "slices",
        "channel",
        "direction",
        "below_sd",
        "from_ms",
        "to_ms",
        "model",
    ),  # of an action
}
"""Fields that a record can do without."""
_FREE = {"gates", "provenance", "figures"}
"""Fields that hold JSON of any shape."""
_WINDOW = 1_000
_CUTS, _FLIPS = 700, 1_500
_FIELDS_AT_ONCE = 4
_SPOILS = {"null", "absent", "empty", "wrong", "cut", "not utf-8", "long", "in capitals", "twice, wrong last"}
"""What must not be done to a header that decides or is signed; of several of one name the last counts, null is none."""


@dataclass(frozen=True, slots=True)
class Case:
    """A message that somebody has put on a topic.

    Attributes:
        kind: what was done to which record.
        usable: True where it must be taken, False where it must be refused, None where either will do.
    """

    kind: str
    value: bytes | None
    headers: Headers
    usable: bool | None = None

    def __repr__(self) -> str:
        value = "None" if self.value is None else f"{self.value[:200]!r} ({len(self.value)} bytes)"
        return f"<{self.kind}: {value}, headers {[(n, v and v[:60]) for n, v in self.headers[:12]]}>"


def cases(world: Source, topic: str, seed: int, most: int) -> Iterator[Case]:
    """``most`` cases of a topic: every kind, those that hold a long text or deep nesting few times, and then such that
    have several fields damaged at once. Shuffled in stretches.
    """
    chance, stretch = random.Random(f"{seed} {topic}"), list[Case]()
    for case in itertools.islice(itertools.chain(_all(world, topic, chance), _compound(world, topic, chance)), most):
        stretch.append(case)
        if len(stretch) == _WINDOW:
            chance.shuffle(stretch)
            yield from stretch
            stretch.clear()
    chance.shuffle(stretch)
    yield from stretch


def of_one(topic: str, good: Genuine, chance: random.Random) -> Iterator[Case]:
    """The cases that are made of one message: cut, flipped, with a field or a header that is not what it should be."""
    yield from _of_bytes(topic, good)
    yield from _of_fields(topic, good, chance)
    if topic != "events":  # SCORE takes the headers of an event for somebody else's
        yield from _of_headers(topic, good)


def genuine(world: Source, topic: str) -> list[Genuine]:
    """One message of each kind that belongs on a topic."""
    made = {
        "events": world.events,
        "partials": world.blocks_and_markers,
        "signals": world.signals,
        "models": world.models,
        "evidence": world.evidence,
        "actions": world.actions,
    }
    return list(made[topic]())


def _all(world: Source, topic: str, chance: random.Random) -> Iterator[Case]:
    own = genuine(world, topic)
    for good in own:
        yield from of_one(topic, good, chance)
        yield from _of_signatures(world, topic, good)
    yield from _strangers(world, topic, own)


def _of_bytes(topic: str, good: Genuine) -> Iterator[Case]:
    """The value cut, flipped, with something behind it. Nothing of a signed message may be altered."""
    sure = False if _needs_signature(topic, good) else None
    for what, value in mutations.cut(good.value, _CUTS):
        yield Case(f"{topic}: {good.name}, {what}", value, good.headers, False)
    for what, value in mutations.flipped(good.value, _FLIPS):
        yield Case(f"{topic}: {good.name}, {what}", value, good.headers, sure)
    for what, value in mutations.appended(good.value):
        yield Case(f"{topic}: {good.name}, {what}", value, good.headers, False)
    yield Case(f"{topic}: {good.name}, no value", None, good.headers, False)
    for what, value in fragments.MAGIC.items():
        yield Case(f"{topic}: {what} under the headers of {good.name}", value, good.headers, False)


def _of_fields(topic: str, good: Genuine, chance: random.Random) -> Iterator[Case]:
    made = mutations.msgpack_fields if good.packed else mutations.json_fields
    document = _small(good.document)
    required = _required(topic, good)
    for what, path, value in made(document):
        if what in fragments.BIG and chance.random() > 0.1:
            continue
        case = _field_case(topic, good, what, path, value, required)
        yield case
        if good.key is not None:  # whoever has the key may still write what he likes into the fields
            message = good.signed(value, good.headers, good.key)
            yield Case(f"{case.kind}, signed", message.value, message.headers, case.usable)


def _compound(world: Source, topic: str, chance: random.Random) -> Iterator[Case]:
    """Without an end: several fields damaged, whole or cut, signed where that is asked for."""
    goods = [(good, _small(good.document)) for good in genuine(world, topic)]
    while True:
        good, document = chance.choice(goods)
        value = _damaged(good, document, chance)
        if chance.random() < 0.2:
            value = value[: chance.randrange(len(value) + 1)]
        headers: Headers = good.headers
        if good.key is not None:
            headers = good.signed(value, good.headers, good.key).headers
        yield Case(f"{topic}: {good.name}, several fields at once", value, headers)


def _damaged(good: Genuine, document: dict[str, Any], chance: random.Random) -> bytes:
    known = fragments.MSGPACK if good.packed else fragments.JSON
    small = sorted(known.keys() - fragments.BIG)
    places = list(mutations.paths(document))
    for _ in range(chance.randint(2, _FIELDS_AT_ONCE)):
        path = chance.choice(places)
        with contextlib.suppress(TypeError, KeyError, IndexError):  # what held it is damaged already
            document = mutations.replaced(document, path, msgspec.Raw(known[chance.choice(small)]))
    return (msgspec.msgpack.encode if good.packed else msgspec.json.encode)(document)


def _field_case(topic: str, good: Genuine, what: str, path: Path, value: bytes, required: set[str]) -> Case:
    field = ".".join(str(part) for part in path if part != 0)
    kind = f"{topic}: {good.name}, {field or 'beside the fields'} {what}"
    return Case(kind, value, good.headers, False if _is_never(topic, good, what, path, required) else None)


def _is_never(topic: str, good: Genuine, what: str, path: Path, required: set[str]) -> bool:
    """Whether nobody can make sense of what stands in a field."""
    if what == "nothing" and path[-1:] == (0,):
        return False  # the list is empty then
    if what in fragments.NEVER:
        return True
    if topic == "events":  # NaN and the like are read there
        return False
    if not good.packed and what in fragments.NOT_JSON:
        return True
    if not path:
        return False
    last = str(path[-1])
    if last.endswith("_ms") and what in fragments.TIMES_REFUSED and str(path[0]) not in _FREE:
        return True
    return len(path) == 1 and last in required and what in ("absent", "null")


def _required(topic: str, good: Genuine) -> set[str]:
    """Fields that a record cannot do without."""
    return set() if topic == "events" else set(good.document) - _DEFAULTS


def _of_headers(topic: str, good: Genuine) -> Iterator[Case]:
    deciding = {"kind", "ce_type"}
    for what, name, headers in mutations.headers(good.headers):
        covered = name in deciding or (_needs_signature(topic, good) and name.startswith(("ce_", "content", "df-")))
        sure = covered and what in _SPOILS
        yield Case(f"{topic}: {good.name}, header {name} {what}", good.value, headers, False if sure else None)
    yield Case(f"{topic}: {good.name}, no headers", good.value, (), False)


def _of_signatures(world: Source, topic: str, good: Genuine) -> Iterator[Case]:
    if good.key is None:
        return
    sure = False if _needs_signature(topic, good) else None
    plain = tuple(header for header in good.headers if not header[0].startswith("df-"))
    stranger = good.signed(good.value, good.headers, world.stranger)
    known, theirs = dict(good.headers)["df-key"], dict(stranger.headers)["df-signature"]
    damaged: dict[str, Headers] = {
        "unsigned": plain,
        "signed by a stranger": stranger.headers,
        "a stranger's signature under a known key": (*plain, ("df-key", known), ("df-signature", theirs)),
    }
    for what, put in {"zeros": b"0" * 128, "short": b"ab", "odd": b"abc", "text": b"zz" * 64}.items():
        damaged[f"signature of {what}"] = (*plain, ("df-key", known), ("df-signature", put))
    for what, headers in damaged.items():
        yield Case(f"{topic}: {good.name}, {what}", good.value, headers, sure)


def _needs_signature(topic: str, good: Genuine) -> bool:
    """Whether it is not believed otherwise: a notice on the signals topic is for people, who see that it is not."""
    return good.key is not None and (topic in ("models", "actions") or good.name == "retrain-request")


def _strangers(world: Source, topic: str, own: list[Genuine]) -> Iterator[Case]:
    """Genuine bytes where they do not belong: under another type, on another topic, of another stream."""
    for good in own:
        for other in own:
            if other.name != good.name and {good.name, other.name} - {n.name for n in world.models()}:
                yield Case(f"{topic}: {good.name} under the headers of {other.name}", good.value, other.headers, False)
        if topic != "events":
            encode = msgspec.msgpack.encode if good.packed else msgspec.json.encode
            value = encode({**good.document, "stream": "another"})
            headers: Headers = good.headers
            if good.key is not None:
                headers = good.signed(value, good.headers, good.key).headers
            yield Case(f"{topic}: {good.name} of another stream", value, headers, False)
    for elsewhere in TOPICS:
        for good in genuine(world, elsewhere) if elsewhere != topic else ():
            if {topic, elsewhere} == {"signals", "models"} and "notice" in good.name:
                continue  # a notice goes to both
            yield Case(f"{topic}: {good.name}, of the {elsewhere} topic", good.value, good.headers, False)


def _small(document: dict[str, Any]) -> dict[str, Any]:
    """A document with short blobs: of a model's weights nothing is learnt in each of a thousand cases."""
    return {
        name: value[:64] if isinstance(value, (str, bytes)) and len(value) > 4_000 else value
        for name, value in document.items()
    }
