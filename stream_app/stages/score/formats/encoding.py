"""Events of JSON as bodies of other formats: what ``driftflow produce`` sends of a file."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import msgspec

from stream_app.config import EventConfig
from stream_app.config.formats import with_layout
from stream_app.errors import DriftflowError
from stream_app.stages.score.coercion import text_of
from stream_app.stages.score.formats.float32 import MISSING
from stream_app.stages.score.json_bodies import json_decoder, object_of
from stream_app.stages.score.rejects import Undecodable

Encode = Callable[[bytes], bytes]
"""From a body of JSON to one of a format; raises Undecodable where it is no event that has one."""


def encoder_of(event: EventConfig) -> Encode:
    """What makes bodies of a stream out of JSON, as files are read.

    Raises:
        DriftflowError: they are Avro.
    """
    if event.format == "avro":
        raise DriftflowError(
            'event.format is "avro", and files are sent as json, msgpack or float32: send Avro by a producer that has '
            "the schema"
        )
    if event.format == "float32":
        return _float32(event)
    return _msgpack if event.format == "msgpack" else lambda body: body


def _msgpack(body: bytes) -> bytes:
    return msgspec.msgpack.encode(object_of(body))


def _float32(event: EventConfig) -> Encode:
    event = with_layout(event)
    numeric = {name: f"n{i}" for i, name in enumerate(event.numeric)}
    texts = [name for name in event.layout if name not in numeric and name != event.id_field]
    attributes = numeric | {name: f"c{i}" for i, name in enumerate(texts)}
    read = json_decoder(event, texts)
    packed = struct.Struct("<q" + "".join("f" if name in numeric else "i" for name in event.layout))

    def encode(body: bytes) -> bytes:
        made = read(body)
        values = ((name, getattr(made, attributes.get(name, "i"))) for name in event.layout)
        cells = [_number(value) if name in numeric else _code(name, value) for name, value in values]
        try:
            return packed.pack(int(made.t), *cells)
        except (TypeError, ValueError, struct.error, OverflowError) as error:
            raise Undecodable("no_float32", "", f"the time or a number does not fit: {error}") from None

    return encode


def _number(value: Any) -> float:
    return math.nan if value is None else value


def _code(name: str, value: Any) -> int:
    """A text that is a whole number, as an int32."""
    try:
        code = MISSING if value is None else int(text_of(value))
    except ValueError:
        code = 2**31
    if not MISSING <= code < 2**31:
        raise Undecodable(
            "no_float32", name, f"{name} is {text_of(value)[:50]!r}, and float32 has whole numbers for it"
        )
    return code
