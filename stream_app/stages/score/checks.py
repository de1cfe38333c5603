"""Checks that every decoder must pass; run them on your own: ``check_decoder(make, good_body)``.

They raise AssertionError with a sentence, and need no test framework.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from msgspec import structs

from stream_app.config import EventConfig
from stream_app.stages.score.rejects import Undecodable

MUTATIONS = 500
"""Damaged copies of the good body that are tried."""

_SPLICES = (b"0" * 400, b"\\ud800", b"e999", b"NaN", b"\0", b'"')
"""Put into every place of the good body: numbers beyond any type, half a character, what JSON has no word for."""

TEXT_TYPES = (str, int, float, bool, type(None))

Make = Callable[[EventConfig, list[str]], Callable[[bytes], Any]]


def check_decoder(
    make: Make,
    good: bytes,
    values: Mapping[str, Any],
    event: EventConfig,
    texts: list[str],
    loose: Mapping[bytes, tuple[str, Any]] | None = None,
    seed: int = 0,
) -> None:
    """Run every check.

    Args:
        make: an entry of :data:`~stream_app.stages.score.decoding.DECODERS`.
        good: a body with a value for every field that ``event`` and ``texts`` name.
        values: field to its value in the good body, the time and the id among them.
        event: the event section of a configuration.
        texts: the categorical and slicing fields, those of ``event.numeric`` left out.
        loose: bodies in which one field is not written as it should be, to that field and to what is meant. They are
            read and counted where ``event.policy`` is lenient, and refused, with the field, where it is strict.
        seed: of the damage.

    Raises:
        AssertionError: one sentence on what does not hold.
    """
    decode = make(event, texts)
    body = decode(good)
    _check_values(body, values, event, texts, good)
    assert body.coerced == 0, f"`coerced` of the good body is {body.coerced}"
    for bent, (field, meant) in (loose or {}).items():
        _check_policy(make, bent, {**values, field: meant}, field, event, texts)
    for damaged in _hostile(good, seed):
        _check_refusal(decode, damaged, event, texts)
    _check_values(body, values, event, texts, good)  # what came back first is not what later bodies were read into


def _check_values(body: Any, values: Mapping[str, Any], event: EventConfig, texts: list[str], source: bytes) -> None:
    _check_object(body, event, texts, source)
    attributes = {event.time_field: "t"} | {name: f"n{i}" for i, name in enumerate(event.numeric)}
    attributes |= {name: f"c{i}" for i, name in enumerate(texts)}
    if event.id_field and event.id_field not in texts:
        attributes[event.id_field] = "i"
    for name, attribute in attributes.items():
        value = getattr(body, attribute)
        assert value == values[name], f"{name!r} is {values[name]!r} in {source[:60]!r}, `{attribute}` is {value!r}"


def _check_policy(
    make: Make, bent: bytes, values: Mapping[str, Any], field: str, event: EventConfig, texts: list[str]
) -> None:
    read = make(structs.replace(event, policy={}), texts)(bent)
    _check_values(read, values, event, texts, bent)
    assert read.coerced == 1, f"{bent[:60]!r}: `coerced` is {read.coerced} where {field!r} alone is not as it should be"
    for policy in ({field: "strict"}, {"*": "strict"}):
        _, refusal = _tried(make(structs.replace(event, policy=policy), texts), bent)
        assert refusal is not None, f"{bent[:60]!r} is read though event.policy is strict for {field!r}"
        assert refusal.field == field, f"{bent[:60]!r} is refused for {refusal.field!r}, and {field!r} is at fault"


def _check_refusal(decode: Callable[[bytes], Any], value: bytes, event: EventConfig, texts: list[str]) -> None:
    """A bad body is refused with its reason, or read as what an event may be."""
    body, refusal = _tried(decode, value)
    if refusal is None:
        _check_object(body, event, texts, value)
    else:
        assert refusal.reason, f"{value[:60]!r} is refused without a reason code"
        assert refusal.detail, f"{value[:60]!r} is refused without a detail"


def _tried(decode: Callable[[bytes], Any], value: bytes) -> tuple[Any, Undecodable | None]:
    """What a decoder makes of a body, or why it refuses it."""
    try:
        return decode(value), None
    except Undecodable as error:
        return None, error
    except Exception as error:
        raise AssertionError(f"{value[:60]!r} raises {type(error).__name__}, not Undecodable: {error}") from error


def _check_object(body: Any, event: EventConfig, texts: list[str], source: bytes) -> None:
    kinds: dict[str, tuple[type, ...]] = {"t": (str, int, float, type(None))}
    kinds |= {f"n{i}": (int, float, type(None)) for i in range(len(event.numeric))}
    kinds |= {f"c{i}": TEXT_TYPES for i in range(len(texts))}
    if event.id_field and event.id_field not in texts:
        kinds["i"] = TEXT_TYPES
    kinds["coerced"] = (int,)
    for name, kind in kinds.items():
        assert hasattr(body, name), f"{source[:60]!r}: what comes back has no attribute `{name}`"
        value = getattr(body, name)
        right = isinstance(value, kind) and not (name.startswith("n") and isinstance(value, bool))
        assert right, f"{source[:60]!r}: `{name}` is {value!r}, a {type(value).__name__}"
        _check_usable(name, value, source)


def _check_usable(name: str, value: Any, source: bytes) -> None:
    """A number that a float64 holds, a text that can be sent on."""
    try:
        if name.startswith("n") and value is not None:
            float(value)
        elif isinstance(value, str):
            value.encode()
    except (OverflowError, UnicodeEncodeError) as error:
        raise AssertionError(f"{source[:60]!r}: `{name}` is of no use: {error}") from error


def _hostile(good: bytes, seed: int) -> Iterator[bytes]:
    yield from (
        b"",
        b"\0",
        b"\xff\xfe\x00",
        b"nope",
        b"[]",
        b"null",
        b"3",
        b"{}",
        b"[" * 5_000,
        good + good,
        good * 100,
    )
    yield from (good[:n] for n in range(0, len(good), max(len(good) // 50, 1)))
    for place in range(len(good)):
        for part in _SPLICES:
            yield good[:place] + part + good[place:]
    rng = np.random.default_rng(seed)
    for _ in range(MUTATIONS):
        damaged = bytearray(good)
        for place in rng.integers(0, len(good), rng.integers(1, 4)):
            damaged[place] = int(rng.integers(0, 256))
        yield bytes(damaged)
