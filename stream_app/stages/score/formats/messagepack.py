"""MessagePack: maps with the fields as keys, read like JSON in one typed pass, or carefully where that fails.

What it has beyond JSON: a timestamp (extension type −1) is a time, whatever ``event.time_format`` says; other extension
types and binary data are no value of a field.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from stream_app.config import EventConfig
from stream_app.stages.score.body_types import body_decoder
from stream_app.stages.score.coercion import EXACT
from stream_app.stages.score.event_time import Millis
from stream_app.stages.score.formats.fields import Fields
from stream_app.stages.score.framing import is_json, looks_like
from stream_app.stages.score.rejects import Undecodable

_FAULTS = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)

_Finite = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
_NUMBER = Annotated[int, msgspec.Meta(ge=-EXACT, le=EXACT)] | _Finite | None
_TEXT = str | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | bool | None
_CLOCK = int | _Finite | None
_MOMENT = str | None


def msgpack_decoder(event: EventConfig, texts: list[str]) -> Callable[[bytes], Any]:
    """See :data:`~stream_app.stages.score.decoding.DECODERS`."""
    fields = Fields(event, texts)
    time_type = _CLOCK if event.time_format.startswith("epoch") else _MOMENT
    types: list[Any] = [time_type, *[_NUMBER] * len(event.numeric), *[_TEXT] * len(texts), _TEXT]
    members = list(zip(fields.attributes, fields.names, types[: len(fields.names)], strict=True))
    typed = body_decoder(members, msgspec.msgpack.Decoder)

    def decode(raw: bytes) -> Any:
        try:
            return typed(raw)
        except _FAULTS:
            return fields.made_of_body(msgpack_object(raw))

    return decode


def msgpack_object(raw: bytes) -> dict[str, Any]:
    """The whole of a body, whatever its fields; raises Undecodable where it is no map with texts as keys."""
    try:
        body = _decode(raw)
    except _FAULTS as error:
        hint = "; it begins like JSON" if is_json(raw) else looks_like(raw)
        raise Undecodable("not_msgpack", "", f"{str(error)[:200]}{hint}") from None
    return {name: _moment(value) for name, value in body.items()}


def _moment(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    return Millis((value - _EPOCH) // _MILLISECOND)


_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode
