"""Bytes to events, column by column. A bad row becomes a Reject with its reason; it never raises.

A decoder is one function, and one line in :data:`DECODERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowlib.table import Coded, doubles
from stream_app.config import Config, EventConfig
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.score.event_time import later_readings, time_parser
from stream_app.stages.score.formats.float32 import float32_decoder
from stream_app.stages.score.formats.messagepack import msgpack_decoder
from stream_app.stages.score.hiding import Hiding
from stream_app.stages.score.json_bodies import json_decoder
from stream_app.stages.score.rejects import Reject, Undecodable, undecodable
from stream_app.stages.score.texts import Texts

DECODERS: dict[str, Callable[[EventConfig, list[str]], Callable[[bytes], Any]]] = {
    "json": json_decoder,
    "float32": float32_decoder,
    "msgpack": msgpack_decoder,
}
"""``event.format`` to what makes the decoder of a stream: (event config, text fields) to a function from a body to an
object.

The object has the attributes ``t`` (time), ``i`` (id), ``n0…`` (numeric fields) and ``c0…`` (text fields), None where a
field is missing, and ``coerced``: how many of them were read though they were not written as they should be, which
``event.policy`` may forbid. The function raises :class:`~stream_app.stages.score.rejects.Undecodable` and nothing else.
"""


class Decoder:
    """Decodes the batches of a stream."""

    def __init__(self, config: Config) -> None:
        event = config.event
        self._event = event
        slicing_fields = [name for fields in event.slicings for name in fields]
        names = list(dict.fromkeys([*event.categorical, *slicing_fields]))
        numeric = {name: f"n{i}" for i, name in enumerate(event.numeric)}
        self._attribute = {name: numeric.get(name, f"c{i}") for i, name in enumerate(names)}
        # A slicing field that is also numeric is read from its numeric column: one key, one attribute.
        text_names = [name for name in names if name not in numeric]
        self._attribute.update({name: f"c{i}" for i, name in enumerate(text_names)})
        self._decode = DECODERS[event.format](event, text_names)
        self._numeric = [f"n{i}" for i in range(len(event.numeric))]
        self._categorical = [self._attribute[name] for name in event.categorical]
        self._slicings = [[self._attribute[name] for name in fields] for fields in event.slicings]
        self._id = "" if not event.id_field else self._attribute.get(event.id_field, "i")
        self._time, self._texts = time_parser(event), Texts(event)
        self._later, self._hiding = later_readings(event), Hiding(event)

    def decode(self, raw: RawBatch) -> tuple[EventBatch, list[Reject]]:
        """Decode a batch; rows appear once, either in the events or in the rejects."""
        bodies: list[Any] = []
        rows: list[int] = []
        times: list[int] = []
        rejects: list[Reject] = []
        for row, value in enumerate(raw.values):
            try:
                body = self._body(value)
                times.append(self._time(body.t))
            except Undecodable as error:
                rejects.append(undecodable(raw, row, self._hiding.fault(error)))
                continue
            bodies.append(body)
            rows.append(row)
        return self._columns(raw, rows, times, bodies), rejects

    def _body(self, value: bytes | None) -> Any:
        if value is None:
            raise Undecodable("tombstone", "", "the message has no value; events are never deleted by key")
        if len(value) > self._event.max_bytes:
            raise Undecodable("too_large", "", f"{len(value)} bytes; event.max_bytes is {self._event.max_bytes}")
        return self._decode(value)

    def _columns(self, raw: RawBatch, rows: list[int], times: list[int], bodies: list[Any]) -> EventBatch:
        n = len(bodies)
        numeric = np.empty((n, len(self._numeric)))
        for j, name in enumerate(self._numeric):
            numeric[:, j] = np.array([getattr(body, name) for body in bodies], dtype=np.float64)
        if self._texts.missing_numbers:
            numeric[np.isin(numeric, self._texts.missing_numbers)] = np.nan
        categorical = np.empty((n, len(self._categorical)), dtype=object)
        for j, name in enumerate(self._categorical):
            categorical[:, j] = self._texts.categories(bodies, name)
        slices = tuple(Coded.of(self._texts.slices(bodies, names)) for names in self._slicings)
        ids = self._texts.ids(bodies, self._id) if self._id else None
        index, event_time_ms = np.array(rows, dtype=np.int64), np.array(times, dtype=np.int64)
        return EventBatch(
            raw.topic,
            raw.partition,
            index,
            raw.offsets[index],
            event_time_ms,
            doubles(numeric),
            categorical,
            slices,
            ids,
            coerced=np.array([body.coerced for body in bodies], dtype=np.int64),
            later_ms=None if self._later is None else self._later(event_time_ms, [body.t for body in bodies]),
        )
