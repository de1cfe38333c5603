"""Avro schemas as trees of types: names resolved, and refused where bodies could make more of them than they hold."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from stream_app.errors import DriftflowError

TEXT_MAX = 250_000
"""Characters of a schema and of all that it names types of: to take so many apart takes less than half a second."""
_TYPES_MAX = 2_000
_SCALE_MAX = 300
_SIZE_MAX = 2**31 - 1
"""Bytes of a ``fixed``, as in Avro's own libraries."""
_LEAST_MAX = 2**40
"""More than any body has: what is beyond it is not counted on."""

_PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_LEAST = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1, "enum": 1}
_LOGICAL: dict[str, tuple[str, ...]] = {
    "date": ("int",),
    "decimal": ("bytes", "fixed"),
    "uuid": ("string", "fixed"),
    **{f"{local}timestamp-{unit}": ("long",) for local in ("", "local-") for unit in ("millis", "micros", "nanos")},
}
"""Logical types that are read, to what they stand on; any other is passed over, as Avro has it."""


class BadSchema(DriftflowError):
    """An Avro schema that bodies are not read by."""


@dataclass(slots=True, eq=False)
class Type:
    """A type of a schema; one with a name is there once, however often it is named.

    Attributes:
        kind: a primitive, ``fixed``, ``enum``, ``record``, ``array``, ``map`` or ``union``.
        logical, scale: of :data:`_LOGICAL`, and of a decimal; "" for none.
        size: bytes of a ``fixed``.
        symbols: of an ``enum``.
        inner: branches of a union, what an array or a map holds.
        fields: of a record.
        least: bytes that a value takes at least.
    """

    kind: str
    logical: str = ""
    scale: int = 0
    size: int = 0
    symbols: list[str] = field(default_factory=list)
    inner: list[Type] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)
    least: float = math.inf


@dataclass(slots=True, eq=False)
class Field:
    """A field of a record; ``default`` is as JSON has it, in a list of one, which is empty where there is none."""

    name: str
    type: Type
    aliases: list[str]
    default: list[Any]

    def is_called(self, name: str) -> bool:
        """Whether it has this name, or had it."""
        return name == self.name or name in self.aliases


def parse_schema(texts: Iterable[str]) -> Type:
    """The type of the last of some schemas in JSON; it may name types of those before it.

    Raises:
        BadSchema: one is none, or too large; or a type of it holds itself without an end.
    """
    parser, made, size = _Parser(), None, 0
    for text in texts:
        size += len(text)
        if size > TEXT_MAX:
            raise BadSchema(f"it has {size:,} characters with those that it names, {TEXT_MAX:,} at most are read")
        try:
            made = parser.type_of(json.loads(text), "")
        except RecursionError:
            raise BadSchema("its types are nested too deeply") from None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise BadSchema(f"it is no Avro schema ({type(error).__name__}: {str(error)[:200]})") from None
    if made is None:
        raise BadSchema("there is none")
    _settle(parser.types)
    return made


class _Parser:
    def __init__(self) -> None:
        self.types: list[Type] = []
        self._named: dict[str, Type] = {}

    def type_of(self, raw: Any, space: str) -> Type:
        if isinstance(raw, list):
            return self._union(raw, space)
        if isinstance(raw, str):
            return self._enter(Type(raw)) if raw in _PRIMITIVES else self._known(raw, space)
        kind = raw["type"]
        if not isinstance(kind, str) or kind not in (*_PRIMITIVES, "fixed", "enum", "record", "error", "array", "map"):
            return self.type_of(kind, space)
        made = self._enter(Type("record" if kind == "error" else kind))
        if kind in ("array", "map"):
            made.inner = [self.type_of(raw["items" if kind == "array" else "values"], space)]
        elif kind not in _PRIMITIVES:
            self._fill(made, raw, self._name(made, raw, space))
        if kind in _LOGICAL.get(str(raw.get("logicalType")), ()):
            self._fill_logical(made, raw)
        return made

    def _union(self, raw: list[Any], space: str) -> Type:
        made = self._enter(Type("union"))
        made.inner = [self.type_of(branch, space) for branch in raw]
        if any(branch.kind == "union" for branch in made.inner):
            raise ValueError("a union within a union")
        return made

    def _known(self, name: str, space: str) -> Type:
        for full in (name if "." in name else f"{space}.{name}", name):
            if full in self._named:
                return self._named[full]
        raise BadSchema(f"it names a type {name[:200]!r} that it does not have")

    def _name(self, made: Type, raw: dict[str, Any], space: str) -> str:
        """Enter a named type; returns the namespace that it opens."""
        name = str(raw["name"])
        full = name if "." in name else f"{raw.get('namespace', space)}.{name}".removeprefix(".")
        if full in self._named:
            raise BadSchema(f"it has two types {full[:200]!r}")
        space = full.rpartition(".")[0]
        self._named[full if space else f".{full}"] = self._named[full] = made
        return space

    def _fill(self, made: Type, raw: dict[str, Any], space: str) -> None:
        if made.kind == "enum":
            made.symbols = [str(symbol) for symbol in raw["symbols"]]
        elif made.kind == "fixed":
            made.size = int(raw["size"])
            if not 0 <= made.size <= _SIZE_MAX:
                raise ValueError("a size that nothing has")
        else:
            made.fields = [self._field(one, space) for one in raw["fields"]]

    def _field(self, raw: dict[str, Any], space: str) -> Field:
        default = [raw["default"]] if "default" in raw else []
        aliases = [str(alias) for alias in raw.get("aliases", [])]
        return Field(str(raw["name"]), self.type_of(raw["type"], space), aliases, default)

    def _fill_logical(self, made: Type, raw: dict[str, Any]) -> None:
        made.logical, made.scale = raw["logicalType"], int(raw.get("scale", 0))
        if not 0 <= made.scale <= _SCALE_MAX:
            raise BadSchema(f"a decimal of it has a scale of {made.scale}")
        if (made.logical, made.kind) == ("uuid", "fixed") and made.size != 16:
            made.logical = ""

    def _enter(self, made: Type) -> Type:
        self.types.append(made)
        if len(self.types) > _TYPES_MAX:
            raise BadSchema(f"it has more than {_TYPES_MAX:,} types")
        return made


def _settle(types: list[Type]) -> None:
    """Find what a value of each type takes at least, from those within to those around them."""
    changed = True
    while changed:
        changed = False
        for one in reversed(types):
            least = _least(one)
            if least < one.least:
                one.least, changed = least, True
    if any(math.isinf(one.least) for one in types):
        raise BadSchema("a type of it holds itself without an end")


def _least(one: Type) -> float:
    if one.kind == "union":
        return 1 + min((branch.least for branch in one.inner), default=math.inf)
    if one.kind == "record":
        least = sum((part.type.least for part in one.fields), 0)
        return least if least == math.inf else min(least, _LEAST_MAX)  # records of two each double without an end
    return one.size if one.kind == "fixed" else _LEAST.get(one.kind, 1)
