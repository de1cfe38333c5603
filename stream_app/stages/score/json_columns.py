"""JSON bodies as columns, in C++ (``native/rows``): those that are plainly as they should be, which nearly all are."""

from __future__ import annotations

import secrets
from datetime import datetime

import msgspec
import numpy as np

from flowlib.table import Bools, Coded, Ints
from stream_app.config import EventConfig
from stream_app.config.field_names import literal, steps
from stream_app.config.registries import EPOCHS
from stream_app.stages.batches import Bodies
from stream_app.stages.score.columns import Columns
from stream_app.stages.score.event_time import shown_times
from stream_app.stages.score.json_bodies import TEXT
from stream_app.stages.score.pools import Pool
from stream_app.stages.score.texts import Text, as_text

try:
    from stream_app.native import _rows
except ImportError:  # no compiler when driftflow was installed
    _rows = None  # type: ignore[assignment]

_TIMES = ("iso8601", *EPOCHS)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)


def json_columns(event: EventConfig, texts: list[str]) -> JsonColumns | None:
    """See :data:`~stream_app.stages.score.decoding.COLUMN_READERS`."""
    if _rows is None or event.time_format not in _TIMES or any(map(_is_time, event.missing_values)):
        return None
    return JsonColumns(event, texts)


class JsonColumns:
    """A :class:`~stream_app.stages.score.columns.ColumnReader` of a stream whose bodies are JSON."""

    def __init__(self, event: EventConfig, texts: list[str]) -> None:
        self._d, self._k = len(event.numeric), len(texts)
        self._has_id = bool(event.id_field) and event.id_field not in texts
        self._shown = shown_times(event)
        self._read = msgspec.json.Decoder(TEXT).decode
        self._pool = Pool()
        self._unfit: set[int] = set()
        utc, seed = self._shown is None, secrets.randbits(64)
        self._native = _rows.Reader(
            _fields(event, texts), self._d, self._k, event.time_format, utc, event.max_bytes, seed
        )

    def read(self, bodies: Bodies) -> Columns:
        """Read a batch."""
        n = len(bodies)
        read, local, time_ms = np.empty(n, bool), np.empty(n, bool), np.empty(n, np.int64)
        numeric, codes = np.empty((n, self._d)), np.zeros((self._k, n), np.int64)
        first, size = np.empty(n, np.int64), np.empty(n, np.int64)
        known, fresh, numbers = self._native.read(
            len(self._pool), bodies.buffer, bodies.first, bodies.size, read, local, time_ms, numeric, codes, first, size
        )
        self._learn(known, fresh)
        if self._shown is not None:
            rows = np.flatnonzero(read & local)
            time_ms[rows], read[rows] = self._shown(time_ms[rows])
        texts = [self._coded(*column, read) for column in zip(codes, numbers, strict=True)]
        return Columns(read, time_ms, numeric, texts, self._ids(bodies, first, size, read) if self._has_id else None)

    def _learn(self, known: int, fresh: list[bytes]) -> None:
        """Take in texts that came first in this batch, all of them where the others are forgotten."""
        if not known:
            self._pool = Pool()
            self._unfit.clear()
        if not fresh:
            return
        size = np.fromiter(map(len, fresh), np.int64, len(fresh))
        texts, others = _rows.plain_texts(b"".join(fresh), np.cumsum(size) - size, size)
        for i, token in others:
            try:
                texts[i] = as_text(self._read(token))
            except _UNREADABLE:
                self._unfit.add(len(self._pool) + i)
        self._pool.add(*texts)

    def _coded(self, codes: Ints, numbers: bytes, read: Bools) -> Coded:
        """A column of texts; rows whose text is none are not read."""
        places = np.frombuffer(numbers, np.int64)
        if self._unfit and (unfit := [i for i, place in enumerate(places.tolist()) if place in self._unfit]):
            read &= ~np.isin(codes, unfit)
        return self._pool.column(codes, places)

    def _ids(self, bodies: Bodies, first: Ints, size: Ints, read: Bools) -> list[Text]:
        size[~read] = -1
        ids, others = _rows.plain_texts(bodies.buffer, first, size)
        for row, token in others:
            try:
                ids[row] = as_text(self._read(token))
            except _UNREADABLE:
                read[row] = False
        return ids


def _fields(event: EventConfig, texts: list[str]) -> list[tuple[str, int, bytes, list[bytes]]]:
    """Kind, column, name and path of each field."""
    found = [("t", 0, event.time_field), *(("n", j, name) for j, name in enumerate(event.numeric))]
    found += [("x", k, name) for k, name in enumerate(texts)]
    if event.id_field and event.id_field not in texts:
        found.append(("i", 0, event.id_field))
    return [
        (kind, column, literal(name).encode(), [step.encode() for step in steps(name)]) for kind, column, name in found
    ]


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
