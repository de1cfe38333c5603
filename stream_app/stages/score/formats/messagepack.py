"""MessagePack: maps with the fields as keys, read like JSON in one typed pass, or carefully where that fails.

What it has beyond JSON: a timestamp (extension type −1) is a time, whatever ``event.time_format`` says; other extension
types and binary data are no value of a field.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from types import SimpleNamespace
from typing import Annotated, Any

import msgspec
import numpy as np

from flowlib.table import Coded
from stream_app.config import EventConfig
from stream_app.config.registries import EPOCHS
from stream_app.stages.batches import Bodies
from stream_app.stages.score.body_types import body_decoder
from stream_app.stages.score.coercion import EXACT
from stream_app.stages.score.columns import Columns
from stream_app.stages.score.event_time import TIME_MAX_MS, Millis
from stream_app.stages.score.formats.fields import Fields
from stream_app.stages.score.framing import is_json, looks_like
from stream_app.stages.score.rejects import Undecodable
from stream_app.stages.score.texts import as_text

_FAULTS = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)

_Finite = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
_NUMBER = Annotated[int, msgspec.Meta(ge=-EXACT, le=EXACT)] | _Finite | None
_TEXT = str | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | bool | None
_CLOCK = int | _Finite | None
_MOMENT = str | None


def msgpack_decoder(event: EventConfig, texts: list[str]) -> Callable[[bytes], Any]:
    """See :data:`~stream_app.stages.score.decoding.DECODERS`."""
    typed, fields = _typed(event, texts)

    def decode(raw: bytes) -> Any:
        try:
            return typed(raw)
        except _FAULTS:
            return fields.made_of_body(msgpack_object(raw))

    return decode


def _typed(event: EventConfig, texts: list[str]) -> tuple[Callable[[bytes], Any], Fields]:
    """What reads a body in one pass where all is as it should be, and the fields of a stream."""
    fields = Fields(event, texts)
    time_type = _CLOCK if event.time_format.startswith("epoch") else _MOMENT
    types: list[Any] = [time_type, *[_NUMBER] * len(event.numeric), *[_TEXT] * len(texts), _TEXT]
    members = list(zip(fields.attributes, fields.names, types[: len(fields.names)], strict=True))
    return body_decoder(members, msgspec.msgpack.Decoder), fields


class MsgpackColumns:
    """See :class:`~stream_app.stages.score.columns.ColumnReader`; an object for each body, but not for its fields.

    Where times are texts, they are the row decoder's.
    """

    def __init__(self, event: EventConfig, texts: list[str]) -> None:
        self._typed, self._fields = _typed(event, texts)
        self._d, self._k, self._max_bytes = len(event.numeric), len(texts), event.max_bytes
        self._has_id = len(self._fields.names) > 1 + self._d + self._k
        self._times, self._by = EPOCHS[event.time_format]
        self._none = SimpleNamespace(**dict.fromkeys(self._fields.attributes))

    def read(self, bodies: Bodies) -> Columns:
        """Read a batch."""
        made = [self._one(body) for body in bodies]
        times = np.array([one.t for one in made], dtype=np.float64) * self._times / self._by
        read = (times >= 0) & (times < TIME_MAX_MS)  # NaN, of what was not read and of what has none, is neither
        numeric = np.empty((len(made), self._d))
        for column, name in enumerate(self._fields.attributes[1 : self._d + 1]):
            numeric[:, column] = [*map(attrgetter(name), made)]
        others = [[*map(attrgetter(name), made)] for name in self._fields.attributes[self._d + 1 :]]
        texts = [Coded.of(map(as_text, values)) for values in others[: self._k]]
        ids = [*map(as_text, others[-1])] if self._has_id else None
        return Columns(read, np.where(read, times, 0).astype(np.int64), numeric, texts, ids)

    def _one(self, body: bytes | None) -> Any:
        if body is None or len(body) > self._max_bytes:
            return self._none
        try:
            return self._typed(body)
        except _FAULTS:
            return self._none


def msgpack_columns(event: EventConfig, texts: list[str]) -> MsgpackColumns | None:
    """See :data:`~stream_app.stages.score.decoding.COLUMN_READERS`."""
    return MsgpackColumns(event, texts) if event.time_format.startswith("epoch") else None


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
