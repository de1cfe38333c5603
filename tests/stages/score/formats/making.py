"""Events as bodies of each format, written by others: struct, msgspec, fastavro."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import fastavro
import msgspec

from stream_app.config import Config, parse

EVENT = {
    "time_field": "at",
    "time_format": "epoch_ms",
    "numeric": ["PM2.5", "TEMP"],
    "categorical": ["wd"],
    "slicings": [["station"], []],
    "id_field": "id",
}
TEXTS = ["wd", "station"]
T0 = 1_362_096_000_000
GOOD: dict[str, Any] = {"at": T0, "PM2.5": 9.0, "TEMP": -0.5, "wd": 3, "station": 12, "id": 7}
MISSING = -(2**31)


def config(format_: str, root: Path | None = None, schema: Any = None, **event: object) -> Config:
    """A stream of a format; its schema is written down in a folder."""
    section = {**EVENT, "format": format_, **event}
    if schema is not None:
        assert root is not None
        (root / "event.avsc").write_text(json.dumps(schema))
        section["avro_schema"] = "event.avsc"
    return parse({"stream": "s", "topics": {"events": "e"}, "event": section, "root": str(root or ".")})


def with_registry(**event: object) -> Config:
    """A stream of Avro whose schemas a registry has."""
    section = {**EVENT, "format": "avro", **event}
    registry = {"url": "http://registry:8081"}
    return parse({"stream": "s", "topics": {"events": "e"}, "event": section, "schema_registry": registry})


def of_float32(event: dict[str, Any]) -> bytes:
    """The time, two numbers, three other fields."""
    numbers = (float("nan") if event.get(name) is None else event[name] for name in ("PM2.5", "TEMP"))
    others = (MISSING if event.get(name) is None else event[name] for name in ("wd", "station", "id"))
    return struct.pack("<q2f3i", event["at"], *numbers, *others)


def of_msgpack(event: dict[str, Any]) -> bytes:
    """A map."""
    return msgspec.msgpack.encode(event)


def record(*fields: Any, name: str = "Event") -> dict[str, Any]:
    """A record of ``(name, type)``, or of fields as they are."""
    made = [field if isinstance(field, dict) else {"name": field[0], "type": field[1]} for field in fields]
    return {"type": "record", "name": name, "fields": made}


def of_avro(schema: Any, event: Any) -> bytes:
    """By fastavro."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), event)
    return out.getvalue()


def zigzag(number: int) -> bytes:
    """A whole number as Avro writes it."""
    left, made = (number << 1) ^ (number >> 63), bytearray()
    left &= 2**64 - 1
    while left > 127:
        made.append(left & 127 | 128)
        left >>= 7
    return bytes([*made, left])


def framed(schema_id: int, body: bytes) -> bytes:
    """With Confluent's header."""
    return b"\0" + schema_id.to_bytes(4, "big") + body


PM = {"name": "PM2_5", "type": ["null", "double"], "aliases": ["PM2.5"]}
PLAIN = record(
    ("at", {"type": "long", "logicalType": "timestamp-millis"}),
    PM,
    ("TEMP", ["null", "float"]),
    ("wd", ["null", "int"]),
    ("station", ["string", "null", "long"]),
    ("id", ["null", "long", "string"]),
    ("ignored", ["null", "string"]),
)
"""Names of Avro have no dots, so that one field has an alias."""


def as_plain(event: dict[str, Any]) -> dict[str, Any]:
    """An event as ``PLAIN`` has it."""
    return {"PM2_5" if name == "PM2.5" else name: value for name, value in event.items()}
