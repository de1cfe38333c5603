"""Points as InfluxDB's line protocol, by its client; blocks of points as the same lines, ten times as fast."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import influxdb_client
from influxdb_client.domain.write_precision import WritePrecision

from stream_app.stages.outputs import Block, Field, Point
from stream_app.stages.point_blocks import WindowBlock
from stream_app.stages.points import window_groups

_INT64 = range(-(2**63), 2**63)
_ESCAPE = "\N{SYMBOL FOR ESCAPE}"
_UNFIT = re.compile(rf"[\x00-\x1f\x7f\\{_ESCAPE}]")
"""What a tag cannot hold, or not one to one: a backslash may be an escape, and a newline is written as two signs."""

_SLICES_KNOWN = 100_000
"""Slices of a slicing and span whose tags are remembered as they are written."""

Tags = tuple[tuple[str, str], ...]


def lines_of(part: Point | Block) -> bytes:
    """Lines of a point or of a block, without a newline at the end; nothing where no field can be written.

    Raises:
        OverflowError: a whole number in it is beyond 64 bits.
    """
    if isinstance(part, WindowBlock):
        lines: Iterable[str] = _lines_of_block(part)
    else:
        lines = map(line_of, (part,) if isinstance(part, Point) else part.points())
    return "\n".join(filter(None, lines)).encode()


def _lines_of_block(block: WindowBlock) -> list[str]:
    windows, lines = block.windows(), list[str]()
    for group in window_groups(windows):
        heads = _heads((("slicing", windows.slicing), ("span", windows.spans[group.span]), ("stream", block.stream)))
        fields = sorted(zip(group.names, map(_column, group.values()), strict=True))
        template = _template(tuple((name, kind) for name, (kind, _) in fields))
        columns = [values for _, (_, values) in fields]
        cells = group.cells.tolist()
        columns = [[heads[windows.names[i]] for i in cells], *columns, [windows.ends_ms[i] for i in cells]]
        lines += map(template.__mod__, zip(*columns, strict=True))
    return lines


def _column(values: list[Field]) -> tuple[str, list[Any]]:
    """What follows the values of a field, and these as the client writes them."""
    if isinstance(values[0], int):
        return "i", values
    if isinstance(values[0], str):
        return "", [_text(str(value)) for value in values]
    return "", [text[:-2] if (text := str(value)).endswith(".0") else text for value in values]


@lru_cache(1_000)
def _text(value: str) -> str:
    return _written(influxdb_client.Point("m").field("x", value)).removeprefix("m x=")


@lru_cache(64)
def _template(fields: tuple[tuple[str, str], ...]) -> str:
    """A line with places for measurement and tags, for the time, and for fields, of which name and kind are given."""
    keys = (_written(influxdb_client.Point("m").field(name, 0))[len("m ") : -len("0i")] for name, _ in fields)
    places = [key.replace("%", "%%") + "%s" + kind for key, (_, kind) in zip(keys, fields, strict=True)]
    return "%s " + ",".join(places) + " %s"


class _Heads(dict[str, str]):
    """Slice to measurement and tags of a window's line."""

    def __init__(self, shared: Tags) -> None:
        super().__init__()
        self._shared = shared

    def __missing__(self, slice_: str) -> str:
        if len(self) >= _SLICES_KNOWN:
            self.clear()
        line = _tagged(influxdb_client.Point("windows"), (("slice", slice_), *self._shared)).field("x", 0)
        head = self[slice_] = _written(line).removesuffix(" x=0i")
        return head


_heads = lru_cache(64)(_Heads)


def _tagged(line: influxdb_client.Point, tags: Iterable[tuple[str, str]]) -> influxdb_client.Point:
    for name, value in tags:
        if value:
            line.tag(name, tag_of(value))
    return line


def _written(line: influxdb_client.Point) -> str:
    return str(line.to_line_protocol())


def line_of(point: Point) -> str:
    """Line of a point. Empty tags are left out and floats that are not finite too: neither can be written.

    Raises:
        OverflowError: a whole number in it is beyond 64 bits.
    """
    for name, value in (("time", point.time_ms), *point.fields):
        if isinstance(value, int) and value not in _INT64:
            raise OverflowError(f"its {name} is beyond 64 bits")
    line = _tagged(influxdb_client.Point(point.measurement).time(point.time_ms, WritePrecision.MS), point.tags)
    for name, field in point.fields:
        if not isinstance(field, float) or math.isfinite(field):
            line.field(name, field)
    return _written(line)


def tag_of(value: str) -> str:
    r"""The value of a tag as InfluxDB can hold it, one to one. Names of slices have nothing unfit, and stay.

    >>> tag_of("a b,c=d %0A"), tag_of("a\\nb"), tag_of("a\nb")
    ('a b,c=d %0A', 'a␛5Cnb', 'a␛0Ab')
    """
    return _UNFIT.sub(lambda found: _ESCAPE + (_ESCAPE if found[0] == _ESCAPE else f"{ord(found[0]):02X}"), value)
