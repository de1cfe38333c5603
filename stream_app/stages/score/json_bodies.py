"""JSON bodies: one typed pass where all is as it should be, a careful reading, field by field, only where that fails.

Both give the same for what both can read. The careful one knows what JSON has no word for (NaN, a number as text), and
names the field at fault.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Annotated, Any, NamedTuple

import msgspec

from stream_app.config import EventConfig
from stream_app.stages.score import coercion
from stream_app.stages.score.body_types import body_decoder
from stream_app.stages.score.framing import is_json, looks_like, unframed
from stream_app.stages.score.paths import finder
from stream_app.stages.score.rejects import Undecodable

_BEYOND = 10**400
"""Stands for every number that no float64 holds."""
_DIGITS_MAX = 400
_Exact = Annotated[int, msgspec.Meta(ge=-coercion.EXACT, le=coercion.EXACT)]
_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Kind(NamedTuple):
    """How a field is read: its type for msgspec, and the careful reader."""

    type: Any
    read: coercion.Reader


TEXT = str | _Int64 | float | bool | None
"""What a text field may hold."""
_TEXT = _Kind(TEXT, coercion.text)
_NUMBER = _Kind(_Exact | float | None, coercion.number)
_CLOCK = _Kind(int | float | None, coercion.clock)
_MOMENT = _Kind(str | None, coercion.text)


def json_decoder(event: EventConfig, texts: list[str]) -> Callable[[bytes], Any]:
    """See :data:`~stream_app.stages.score.decoding.DECODERS`."""
    fields = _fields(event, texts)
    typed = body_decoder([(attribute, name, kind.type) for attribute, name, kind in fields])
    careful = _careful(event, fields)

    def decode(raw: bytes) -> Any:
        try:
            return typed(raw)
        except _FAULTS:
            pass
        body, header = unframed(raw)
        if not header:
            return careful(raw)
        if not is_json(body):
            raise Undecodable(
                "schema_registry",
                "",
                f"the body has {header}, and no JSON behind it (Avro or Protobuf?): have it written as JSON",
            )
        try:
            return typed(body)
        except _FAULTS:
            return careful(body)

    return decode


def _fields(event: EventConfig, texts: list[str]) -> list[tuple[str, str, _Kind]]:
    """Attribute, name and kind of each field."""
    fields = [("t", event.time_field, _CLOCK if event.time_format.startswith("epoch") else _MOMENT)]
    fields += [(f"n{i}", name, _NUMBER) for i, name in enumerate(event.numeric)]
    fields += [(f"c{i}", name, _TEXT) for i, name in enumerate(texts)]
    if event.id_field and event.id_field not in texts:
        fields.append(("i", event.id_field, _TEXT))
    return fields


def readers(
    event: EventConfig, texts: list[str]
) -> list[tuple[str, Callable[[Mapping[str, Any]], Any], coercion.Reader]]:
    """Name of each field, what finds it in a body, and what reads it there; these raise Undecodable."""
    return [(name, finder(name), _reader(event, name, kind)) for _, name, kind in _fields(event, texts)]


def _careful(event: EventConfig, fields: list[tuple[str, str, _Kind]]) -> Callable[[bytes], Any]:
    """The careful reading of bodies."""
    ways = [(attribute, finder(name), _reader(event, name, kind)) for attribute, name, kind in fields]

    def decode(raw: bytes) -> Any:
        body, made, coerced = _load(raw), SimpleNamespace(), 0
        for attribute, find, read in ways:
            value, as_it_should_be = read(find(body))
            setattr(made, attribute, value)
            coerced += not as_it_should_be
        made.coerced = coerced
        return made

    return decode


def _reader(event: EventConfig, name: str, kind: _Kind) -> coercion.Reader:
    """How a field is read under its policy."""
    missing, policy = frozenset(event.missing_values), event.policy.get(name, event.policy.get("*"))
    strict, comes_as_text = policy == "strict", policy == "text" and kind.read is not coercion.text

    def read(value: Any) -> coercion.Reading:
        if isinstance(value, str) and value.strip() in missing:
            return None, True
        try:
            found, as_it_should_be = kind.read(value)
        except coercion.Misfit as fault:
            raise Undecodable("wrong_type", name, str(fault)) from None
        if comes_as_text and isinstance(value, str):
            return found, coercion.has_digits(value) and kind.read(found)[1]
        if strict and not as_it_should_be:
            wanted = "a text" if kind.read is coercion.text else coercion.wanted(value)
            detail = f"expected {wanted}, got {coercion.kind_of(value)}, and event.policy is strict here"
            raise Undecodable("wrong_type", name, detail)
        return found, as_it_should_be

    return read


def object_of(raw: bytes) -> dict[str, Any]:
    """The whole of a body, whatever its fields; raises Undecodable where it is no object in JSON."""
    body, header = unframed(raw)
    return _load(body if header and is_json(body) else raw)


def _load(raw: bytes) -> dict[str, Any]:
    """The body as Python's own reader has it, which knows NaN; bytes that are no UTF-8 become lone surrogates."""
    try:
        body = _JSON.decode(raw.decode("utf-8", "surrogateescape").removeprefix("\ufeff"))
    except ValueError as error:
        raise Undecodable("not_json", "", f"{str(error)[:200]}{looks_like(raw)}") from None
    except RecursionError:
        raise Undecodable("not_json", "", "objects and lists are nested too deeply in it to be read") from None
    if not isinstance(body, dict):
        raise Undecodable("wrong_type", "", f"expected an object, got {coercion.kind_of(body)}{looks_like(raw)}")
    return body


def _whole(digits: str) -> int:
    return int(digits) if len(digits) <= _DIGITS_MAX else _BEYOND


def _fraction(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _BEYOND


_JSON = json.JSONDecoder(parse_int=_whole, parse_float=_fraction)
