"""Bytes to events, column by column. A bad row becomes a Reject with its reason; it never raises.

A format has a row decoder, which is one function and the truth, one line in :data:`DECODERS`; and it may have a column
reader, one line in :data:`COLUMN_READERS`, which takes from it the rows that are plainly as they should be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowlib.table import doubles
from stream_app.config import Config
from stream_app.stages.batches import Bodies, EventBatch, RawBatch
from stream_app.stages.score.columns import ColumnReader, NothingRead
from stream_app.stages.score.drafts import Draft
from stream_app.stages.score.event_time import later_readings, time_parser
from stream_app.stages.score.formats.avro import avro_decoder
from stream_app.stages.score.formats.avro_columns import AvroColumns
from stream_app.stages.score.formats.float32 import Float32Columns, float32_decoder
from stream_app.stages.score.formats.messagepack import msgpack_columns, msgpack_decoder
from stream_app.stages.score.formats.schemas import Schemas
from stream_app.stages.score.hiding import Hiding
from stream_app.stages.score.json_bodies import json_decoder
from stream_app.stages.score.json_columns import json_columns
from stream_app.stages.score.rejects import Reject, Undecodable, undecodable
from stream_app.stages.score.texts import Texts

DECODERS: dict[str, Callable[..., Callable[[bytes], Any]]] = {
    "json": json_decoder,
    "float32": float32_decoder,
    "msgpack": msgpack_decoder,
    "avro": avro_decoder,
}
"""``event.format`` to what makes the decoder of a stream: (event config, text fields) to a function from a body to an
object.

The object has the attributes ``t`` (time), ``i`` (id), ``n0…`` (numeric fields) and ``c0…`` (text fields), None where a
field is missing, and ``coerced``: how many of them were read though they were not written as they should be, which
``event.policy`` may forbid. The function raises :class:`~stream_app.stages.score.rejects.Undecodable` and nothing else.
"""


COLUMN_READERS: dict[str, Callable[..., ColumnReader | None]] = {
    "json": json_columns,
    "float32": Float32Columns,
    "msgpack": msgpack_columns,
    "avro": AvroColumns,
}
"""``event.format`` to what makes the column reader of a stream from the same; None where the stream has none."""

WITH_SCHEMAS = frozenset({"avro"})
"""Formats whose makers take, as ``schemas``, what is known of the stream's schemas besides."""


class Decoder:
    """Decodes the batches of a stream.

    Attributes:
        schemas: those of its bodies. Where an id stands before each, enter what a batch lacks before it is decoded.

    Raises:
        DriftflowError: the file of ``event.avro_schema`` cannot be read, or is of no use.
    """

    def __init__(self, config: Config) -> None:
        event, self.schemas = config.event, Schemas(config)
        number = {name: f"n{j}" for j, name in enumerate(event.numeric)}
        named = dict.fromkeys([*event.categorical, *(name for fields in event.slicings for name in fields)])
        texts = [name for name in named if name not in number]
        # A slicing field that is also numeric is read from its numeric column: one key, one attribute.
        self._attributes = {name: f"c{k}" for k, name in enumerate(texts)}
        self._attributes |= {name: number[name] for name in named if name in number}
        self._event, self._has_id = event, bool(event.id_field) and event.id_field not in named
        given = {"schemas": self.schemas} if event.format in WITH_SCHEMAS else {}
        self._decode = DECODERS[event.format](event, texts, **given)
        make = COLUMN_READERS.get(event.format)
        reader = None if make is None else make(event, texts, **given)
        self._columns = reader or NothingRead(len(event.numeric), len(texts), self._has_id)
        self._time, self._texts = time_parser(event), Texts(event)
        self._later, self._hiding = later_readings(event), Hiding(event)

    def decode(self, raw: RawBatch) -> tuple[EventBatch, list[Reject]]:
        """Decode a batch; rows appear once, either in the events or in the rejects."""
        draft = Draft(self._columns.read(Bodies.of(raw.values)), self._attributes)
        left = draft.left()
        rejects = self._read_left(raw, left, draft) if left else []
        return self._events(raw, draft), rejects

    def _read_left(self, raw: RawBatch, left: list[int], draft: Draft) -> list[Reject]:
        """Read rows one by one."""
        bodies: list[Any] = []
        rows: list[int] = []
        times: list[int] = []
        rejects: list[Reject] = []
        for row in left:
            try:
                body = self._body(raw.values[row])
                times.append(self._time(body.t))
            except Undecodable as error:
                rejects.append(undecodable(raw, row, self._hiding.fault(error)))
                continue
            bodies.append(body)
            rows.append(row)
        later = None
        if self._later is not None:
            later = self._later(np.array(times, dtype=np.int64), [body.t for body in bodies])
        draft.fill(rows, times, later, bodies)
        return rejects

    def _body(self, value: bytes | None) -> Any:
        if value is None:
            raise Undecodable("tombstone", "", "the message has no value; events are never deleted by key")
        if len(value) > self._event.max_bytes:
            raise Undecodable("too_large", "", f"{len(value)} bytes; event.max_bytes is {self._event.max_bytes}")
        return self._decode(value)

    def _events(self, raw: RawBatch, draft: Draft) -> EventBatch:
        numeric, n, event = draft.numeric, len(draft.rows), self._event
        if self._texts.missing_numbers:
            numeric[np.isin(numeric, self._texts.missing_numbers)] = np.nan
        categorical = np.empty((n, len(event.categorical)), dtype=object)
        for j, name in enumerate(event.categorical):
            categorical[:, j] = self._texts.levels(draft.named[name]).objects()
        slicings = ([draft.named[name] for name in fields] for fields in event.slicings)
        return EventBatch(
            raw.topic,
            raw.partition,
            draft.rows,
            raw.offsets[draft.rows],
            draft.time_ms,
            doubles(numeric),
            categorical,
            tuple(self._texts.slices(fields, n) for fields in slicings),
            self._ids(draft),
            coerced=draft.coerced,
            later_ms=None if self._later is None else draft.later_ms,
        )

    def _ids(self, draft: Draft) -> list[str] | None:
        if draft.ids is not None:
            return self._texts.ids(draft.ids)
        if not self._event.id_field:
            return None
        return self._texts.ids(draft.named[self._event.id_field].objects().tolist())
