"""How bodies of one schema are read side by side: steps of :class:`~.avro_run.Run`, put together once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowlib.table import Bools, Coded, Ints
from stream_app.config import EventConfig
from stream_app.config.field_names import literal, steps
from stream_app.errors import DriftflowError
from stream_app.stages.score.coercion import EXACT
from stream_app.stages.score.formats.avro_rows import default_of, fields_of, reader_of
from stream_app.stages.score.formats.avro_run import Rows, Run
from stream_app.stages.score.formats.avro_schema import Type
from stream_app.stages.score.formats.avro_wire import PER_MILLI

Step = Callable[[Run, Rows, Ints], Ints]
"""Reads a value of some rows, from a place in each; returns the places behind it."""
Take = Callable[[Run, Rows, Ints], None]
"""Takes whole numbers of some rows for a field."""

_STEPS_MAX = 1_000
_SECONDS_MAX = 10**14
_SCALE_MAX = 22
"""The largest power of ten that a float64 holds exactly."""

Wants = list[tuple[int, tuple[str, ...]]]
"""Fields by their number, the time 0, with the path to each that is still to be gone."""


class NoPlan(DriftflowError):
    """A schema that bodies are not read by side by side."""


class Plan:
    """Makes the steps.

    Args:
        event: the stream.
        names: of its fields: the time, the numbers, the others.
    """

    def __init__(self, event: EventConfig, names: list[str]) -> None:
        self._d, self._time_format, self._steps = len(event.numeric), event.time_format, 0
        whole: Wants = [(number, (literal(name),)) for number, name in enumerate(names)]
        self._wants = whole + [(number, steps(name)) for number, name in enumerate(names) if steps(name)]

    def step(self, writer: Type, reader: Type | None) -> Step:
        """What reads bodies of a schema; raises NoPlan where they are the row decoder's."""
        return self._of(writer, self._wants, reader)

    def _of(self, kind: Type, wants: Wants, reader: Type | None) -> Step:
        self._steps += 1
        if self._steps > _STEPS_MAX or kind.kind in ("array", "map"):
            raise NoPlan
        if kind.kind == "union":
            return _union([self._of(branch, wants, reader) for branch in kind.inner])
        if kind.kind == "record":
            return self._record(kind, wants, reader)
        fields = [number for number, path in wants if not path]
        if wants and not fields and (kind.logical or kind.kind in ("boolean", "enum")):
            raise NoPlan  # where an object is looked for: the row decoder reads it, and says whether it can be
        if not fields or kind.kind == "null":
            return _skip(kind)
        return self._scalar(kind, fields)

    def _record(self, kind: Type, wants: Wants, reader: Type | None) -> Step:
        if any(not path for _, path in wants):
            raise NoPlan  # a field that is an object: the row decoder says so
        found = fields_of(kind, {path[0]: {} for _, path in wants}, reader)
        done = {number for number, path in wants if len(path) == 1 and path[0] in found}
        wants = [(number, path) for number, path in wants if len(path) == 1 or number not in done]
        parts: list[Step] = []
        for one in kind.fields:
            here = [(number, path) for number, path in wants if found.get(path[0]) is one]
            names = [path[0] for _, path in here]
            under = [(number, path[1:]) for number, path in here]
            parts.append(self._of(one.type, under, reader_of(reader, names[0]) if names else None))
        for number, path in wants:
            for value in default_of(reader, path[0]) if path[0] not in found and len(path) == 1 else ():
                parts.append(self._constant(number, value))
        return _in_turn(parts)

    def _constant(self, number: int, value: Any) -> Step:
        """What the reader's schema has in the place of a field; null is missing anyway."""
        if value is None:
            return lambda run, rows, place: place
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= EXACT
        if 0 < number <= self._d and is_number:
            return _with(lambda run, rows: run.take_number(number - 1, rows, float(value)))
        if number > self._d and isinstance(value, str):
            return _with(lambda run, rows: run.take_text(number - 1 - self._d, rows, run.alike(rows, value)))
        raise NoPlan

    def _scalar(self, kind: Type, fields: list[int]) -> Step:
        if kind.kind in ("float", "double"):
            return _real(kind.kind == "double", [self._column(number) for number in fields])
        if kind.logical == "decimal":
            return self._decimal(kind, [self._column(number) for number in fields])
        if kind.kind in ("int", "long") and kind.logical != "date" and not kind.logical.startswith("local-"):
            return self._whole(kind, fields)
        texts = [number - 1 - self._d for number in fields]
        if min(texts) < 0:
            raise NoPlan
        if kind.kind == "string":
            return _text(texts)
        return _chosen(kind, texts)

    def _column(self, number: int) -> int:
        """The column of a number; raises NoPlan where the field is none."""
        if not 0 < number <= self._d:
            raise NoPlan
        return number - 1

    def _whole(self, kind: Type, fields: list[int]) -> Step:
        per = PER_MILLI[kind.logical.removeprefix("timestamp-")] if kind.logical.startswith("timestamp-") else 0
        takes = [self._taking(number, bool(per)) for number in fields]

        def read(run: Run, rows: Rows, place: Ints) -> Ints:
            value, place = run.varint(rows, place)
            if per > 1:
                value //= per
            for take in takes:
                take(run, rows, value)
            return place

        return read

    def _taking(self, number: int, is_moment: bool) -> Take:
        """What becomes of whole numbers in a field."""
        if number > self._d:
            return lambda run, rows, value: run.take_text(number - 1 - self._d, rows, _digits(value))
        if number:
            return lambda run, rows, value: _take_whole(run, number - 1, rows, value)
        if is_moment or self._time_format == "epoch_ms":
            return Run.take_time
        if self._time_format == "epoch_s":
            return _take_seconds
        raise NoPlan

    def _decimal(self, kind: Type, columns: list[int]) -> Step:
        if kind.scale > _SCALE_MAX or kind.size > 8:
            raise NoPlan
        power, fixed = 10.0**kind.scale, kind.size if kind.kind == "fixed" else -1

        def read(run: Run, rows: Rows, place: Ints) -> Ints:
            size, place = run.length(rows, place) if fixed < 0 else (np.full(len(place), fixed), place)
            run.fail(rows, size > 8)
            value = _big_endian(run.word(place), np.minimum(size, 8))
            run.fail(rows, _beyond(value, EXACT))
            for column in columns:
                run.take_number(column, rows, value / power)
            return place + size

        return read


def _with(take: Callable[[Run, Rows], None]) -> Step:
    def step(run: Run, rows: Rows, place: Ints) -> Ints:
        take(run, rows)
        return place

    return step


def _in_turn(parts: list[Step]) -> Step:
    def step(run: Run, rows: Rows, place: Ints) -> Ints:
        for part in parts:
            place = part(run, rows, place)
        return place

    return step


def _union(branches: list[Step]) -> Step:
    def step(run: Run, rows: Rows, place: Ints) -> Ints:
        number, place = run.varint(rows, place)
        if 0 <= (first := int(number[0])) < len(branches) and bool((number == first).all()):
            return branches[first](run, rows, place)
        run.fail(rows, (number < 0) | (number >= len(branches)))
        for one, branch in enumerate(branches):
            some = np.flatnonzero(number == one)
            if len(some):
                place[some] = branch(run, some if isinstance(rows, slice) else rows[some], place[some])
        return place

    return step


def _skip(kind: Type) -> Step:
    if kind.kind in ("bytes", "string"):
        return lambda run, rows, place: np.add(*run.length(rows, place))
    if kind.kind in ("int", "long", "enum"):
        return lambda run, rows, place: run.varint(rows, place)[1]
    width = int(kind.least)
    return lambda run, rows, place: place + width


def _real(is_double: bool, columns: list[int]) -> Step:
    def read(run: Run, rows: Rows, place: Ints) -> Ints:
        word = run.word(place)
        with np.errstate(invalid="ignore"):  # a signalling NaN is one all the same
            value = word.view("<f8") if is_double else word.astype("<u4").view("<f4").astype(np.float64)
        for column in columns:
            run.take_number(column, rows, value)
        return place + (8 if is_double else 4)

    return read


def _take_whole(run: Run, column: int, rows: Rows, value: Ints) -> None:
    run.fail(rows, _beyond(value, EXACT))
    run.take_number(column, rows, value)


def _beyond(value: Ints, most: int) -> Bools:
    """Which numbers are larger, or as far below zero: the smallest int64 has no absolute value."""
    beyond: Bools = (value > most) | (value < -most)
    return beyond


def _take_seconds(run: Run, rows: Rows, value: Ints) -> None:
    far = _beyond(value, _SECONDS_MAX)
    run.fail(rows, far)
    run.take_time(rows, np.where(far, 0, value) * 1000)


def _digits(value: Ints) -> Coded:
    different, codes = np.unique(value, return_inverse=True)
    return Coded(codes, [str(one) for one in different.tolist()])


def _text(texts: list[int]) -> Step:
    def read(run: Run, rows: Rows, place: Ints) -> Ints:
        size, place = run.length(rows, place)
        column = run.coded(rows, place, size)
        for text in texts:
            run.take_text(text, rows, column)
        return place + size

    return read


def _chosen(kind: Type, texts: list[int]) -> Step:
    """Symbols of an enum, and booleans, which are a byte of 0 or 1."""
    is_enum, names = kind.kind == "enum", list(kind.symbols) if kind.kind == "enum" else ["false", "true"]
    if not names or (not is_enum and kind.kind != "boolean"):
        raise NoPlan

    def read(run: Run, rows: Rows, place: Ints) -> Ints:
        number, behind = run.varint(rows, place) if is_enum else (_byte(run, place), place + 1)
        run.fail(rows, (number < 0) | (number >= len(names)))
        column = Coded(np.clip(number, 0, len(names) - 1), names)
        for text in texts:
            run.take_text(text, rows, column)
        return behind

    return read


def _byte(run: Run, place: Ints) -> Ints:
    byte: Ints = (run.word(place) & np.uint64(0xFF)).astype(np.int64)
    return byte


def _big_endian(word: Any, size: Ints) -> Ints:
    """Signed numbers of 0 to 8 bytes that begin a word."""
    high: Ints = word.byteswap().view(np.int64)
    value: Ints = np.where(size == 0, 0, high >> np.minimum(64 - 8 * size, 63))
    return value
