"""One body of Avro to the fields of it that are wanted, as dicts and lists. No length or count of it is believed.

What is not wanted is stepped over without an object. Readers are put together once for a schema.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from stream_app.stages.score.event_time import Millis
from stream_app.stages.score.formats.avro_schema import Field, Type
from stream_app.stages.score.formats.avro_wire import (
    PER_MILLI,
    Malformed,
    Read,
    Skips,
    block,
    checked,
    long,
    scalar,
    string,
)

VALUES_MAX = 100_000
"""Records, lists and elements that are made of one body."""

_CUT = "it ends within a value, after {} bytes"

Tree = Mapping[str, Any]
"""Step to a tree of further steps, which is empty where the whole of a field is wanted."""


class Rows:
    """Reads bodies that were written by one schema.

    Args:
        writer: the schema.
        tree: the fields that are wanted, under these names.
        reader: the reader's schema: its aliases and defaults count.
        others: whether all other fields are wanted too, under the names that they have.
    """

    def __init__(self, writer: Type, tree: Tree, reader: Type | None = None, others: bool = False) -> None:
        self._made, self._whole, self._skips = 0, dict[Type, Read](), Skips()
        self._others = others
        self._read = self._project(writer, tree, reader)

    def read(self, body: bytes, at: int) -> Any:
        """The value that a body holds from a place on.

        Raises:
            Malformed: it holds none, or something stands behind it; a sentence.
        """
        self._made = 0
        try:
            value, end = self._read(body, at)
        except (IndexError, struct.error):
            raise Malformed(_CUT.format(len(body))) from None
        except RecursionError:
            raise Malformed("its values are nested too deeply") from None
        if end != len(body):
            left = len(body) - end
            raise Malformed(f"{left} bytes are left behind its last field" if left > 0 else _CUT.format(len(body)))
        return value

    def _count(self) -> None:
        self._made += 1
        if self._made > VALUES_MAX:
            raise Malformed(f"it holds more than {VALUES_MAX:,} records and elements")

    def _project(self, writer: Type, tree: Tree, reader: Type | None) -> Read:
        if writer.kind == "union":
            return self._union([self._project(branch, tree, reader) for branch in writer.inner])
        if writer.kind != "record" or not tree:
            return self.whole(writer)
        found = fields_of(writer, tree, reader)
        steps: list[tuple[list[str], Any]] = []
        for one in writer.fields:
            names = [name for name, field in found.items() if field is one]
            if names:
                under = tree[names[0]]
                steps.append((names, self._project(one.type, under, reader_of(reader, names[0]))))
            elif self._others:
                steps.append(([one.name], self.whole(one.type)))
            elif one.type.least:
                steps.append(([], self._skips.of(one.type)))
        constants = {name: value for name in tree if name not in found for value in default_of(reader, name)}
        return self._record(steps, constants)

    def _record(self, steps: list[tuple[list[str], Any]], constants: dict[str, Any]) -> Read:
        def read(data: bytes, at: int) -> tuple[Any, int]:
            self._count()
            made = dict(constants)
            for names, step in steps:
                if names:
                    value, at = step(data, at)
                    for name in names:
                        made[name] = value
                else:
                    at = step(data, at)
            return made, at

        return read

    def whole(self, kind: Type) -> Read:
        """A reader of the whole of a type; one that holds itself is met again on the way."""
        if kind not in self._whole:
            cell: list[Read] = []
            self._whole[kind] = lambda data, at: cell[0](data, at)
            cell.append(self._make(kind))
            self._whole[kind] = cell[0]
        return self._whole[kind]

    def _make(self, kind: Type) -> Read:
        if kind.kind == "union":
            return self._union([self.whole(branch) for branch in kind.inner])
        if kind.kind == "record":
            return self._record([([one.name], self.whole(one.type)) for one in kind.fields], {})
        if kind.kind == "array":
            return self._array(self.whole(kind.inner[0]), kind.inner[0].least)
        if kind.kind == "map":
            return self._map(self.whole(kind.inner[0]), kind.inner[0].least)
        return scalar(kind)

    def _union(self, branches: list[Read]) -> Read:
        def read(data: bytes, at: int) -> tuple[Any, int]:
            number, at = long(data, at)
            return branches[checked(number, len(branches), "branch of a union")](data, at)

        return read

    def _array(self, item: Read, least: float) -> Read:
        def read(data: bytes, at: int) -> tuple[Any, int]:
            made: list[Any] = []
            count, at, _ = block(data, at, least)
            while count:
                for _ in range(count):
                    self._count()
                    value, at = item(data, at)
                    made.append(value)
                count, at, _ = block(data, at, least)
            return made, at

        return read

    def _map(self, value_of: Read, least: float) -> Read:
        pairs = self._array(_pair(value_of), least + 1)

        def read(data: bytes, at: int) -> tuple[Any, int]:
            made, at = pairs(data, at)
            return dict(made), at

        return read


def _pair(value_of: Read) -> Read:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        key, at = string(data, at)
        value, at = value_of(data, at)
        return (key, value), at

    return read


def fields_of(writer: Type, tree: Tree, reader: Type | None) -> dict[str, Field]:
    """The writer's field that each name of a tree means: one of this name, one that the reader's schema says was called
    so before, or one that says so itself."""
    found = {}
    for name in tree:
        before = [one.aliases for one in record_fields(reader) if one.name == name]
        ways = (
            [one for one in writer.fields if one.name == name],
            [one for one in writer.fields if before and one.name in before[0]],
            [one for one in writer.fields if name in one.aliases],
        )
        field = next((way[0] for way in ways if way), None)
        if field is not None:
            found[name] = field
    return found


def record_fields(kind: Type | None) -> list[Field]:
    """Fields of a record, of the first one of a union; none of anything else."""
    if kind is not None and kind.kind == "union":
        kind = next((branch for branch in kind.inner if branch.kind == "record"), None)
    return kind.fields if kind is not None else []


def reader_of(reader: Type | None, name: str) -> Type | None:
    """The type that a reader's schema has for a field."""
    return next((one.type for one in record_fields(reader) if one.name == name), None)


def default_of(reader: Type | None, name: str) -> list[Any]:
    """What the reader's schema has in the place of a field that the writer's has not, in a list; none for none."""
    field = next((one for one in record_fields(reader) if one.name == name), None)
    if field is None or not field.default:
        return []
    kind, value = (
        field.type.inner[0] if field.type.kind == "union" and field.type.inner else field.type,
        field.default[0],
    )
    if kind.logical.startswith("timestamp-") and isinstance(value, int):
        return [Millis(value // PER_MILLI[kind.logical.removeprefix("timestamp-")])]
    return [value] if not kind.logical and kind.kind not in ("bytes", "fixed") else []
