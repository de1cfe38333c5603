"""Whole bodies as objects, whatever their fields: for whoever looks at what else is in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream_app.config import EventConfig
from stream_app.config.formats import fields_in_order
from stream_app.stages.score.formats.avro import AvroObjects
from stream_app.stages.score.formats.messagepack import msgpack_object
from stream_app.stages.score.formats.schemas import Schemas
from stream_app.stages.score.json_bodies import object_of
from stream_app.stages.score.rejects import Undecodable

Objects = Callable[[bytes], dict[str, Any]]
"""From a body to what it holds, by name; raises Undecodable where it is no object."""


def objects_of(event: EventConfig, schemas: Schemas) -> Objects:
    """The bodies of a stream as objects. Those of ``float32`` have no names: none of them is one."""
    if event.format == "avro":
        return AvroObjects(schemas, [event.time_field, *fields_in_order(event)], others=True).read
    return {"json": object_of, "msgpack": msgpack_object, "float32": nameless}[event.format]


def nameless(raw: bytes) -> dict[str, Any]:
    """What :func:`objects_of` gives for bodies without names; always raises Undecodable."""
    raise Undecodable("nameless", "", f"{len(raw)} bytes of numbers, which have no names")
