"""Avro bodies by the schema that they were written by, their fields found by name (:mod:`.avro_rows`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream_app.config import EventConfig
from stream_app.config.field_names import literal, steps
from stream_app.stages.score.formats.avro_rows import Rows
from stream_app.stages.score.formats.avro_wire import Malformed
from stream_app.stages.score.formats.fields import Fields
from stream_app.stages.score.formats.schemas import HEADER, KEPT_MAX, Schemas
from stream_app.stages.score.framing import is_json, unframed
from stream_app.stages.score.rejects import Undecodable


class AvroObjects:
    """Bodies to dicts.

    Args:
        schemas: what is known of the stream's.
        names: fields that are wanted.
        others: whether everything else that is in a body is wanted too.
    """

    def __init__(self, schemas: Schemas, names: list[str], others: bool = False) -> None:
        self._schemas, self._tree, self._others = schemas, tree_of(names), others
        self._rows: dict[int, Rows] = {}

    def read(self, raw: bytes) -> dict[str, Any]:
        """The fields of a body; raises Undecodable."""
        schema_id, at = self._header(raw)
        rows = self._rows.get(schema_id) or self._compiled(schema_id)
        try:
            body = rows.read(raw, at)
        except Malformed as error:
            raise Undecodable("not_avro", "", f"{error}{self._hint(raw)}") from None
        if not isinstance(body, dict):
            raise Undecodable("wrong_type", "", "its schema is none of a record: an event has fields")
        return body

    def _header(self, raw: bytes) -> tuple[int, int]:
        """The schema's id, 0 for the stream's own, and where the body begins."""
        if not self._schemas.framed:
            return 0, 0
        if len(raw) <= HEADER or raw[0]:
            detail = f"no header of a schema registry stands before the body{self._hint(raw)}: see schema_registry.url"
            raise Undecodable("schema_registry", "", detail)
        return int.from_bytes(raw[1:HEADER], "big"), HEADER

    def _hint(self, raw: bytes) -> str:
        if is_json(raw):
            return "; it begins like JSON"
        header = "" if self._schemas.framed else unframed(raw)[1]
        return f"; it may have {header}: see schema_registry.url" if header else ""

    def _compiled(self, schema_id: int) -> Rows:
        framed, own = self._schemas.framed, self._schemas.own
        writer = self._schemas.writer(schema_id) if framed else own
        assert writer is not None  # a configuration has a schema or a registry
        rows = self._rows[schema_id] = Rows(writer, self._tree, own if framed else None, self._others)
        if len(self._rows) > KEPT_MAX:
            del self._rows[next(iter(self._rows))]
        return rows


def avro_decoder(event: EventConfig, texts: list[str], schemas: Schemas) -> Callable[[bytes], Any]:
    """See :data:`~stream_app.stages.score.decoding.DECODERS`."""
    fields = Fields(event, texts)
    objects = AvroObjects(schemas, fields.names)
    return lambda raw: fields.made_of_body(objects.read(raw))


def tree_of(names: list[str]) -> dict[str, Any]:
    """Fields by the steps that lead to them; a name with dots may be that of one step too.

    >>> tree_of(["amount", r"place\\.id", "payload.id"])
    {'amount': {}, 'place.id': {}, 'payload.id': {}, 'payload': {'id': {}}}
    """
    made: dict[str, Any] = {}
    paths = [path for name in names for path in ((literal(name),), steps(name)) if path]
    for path in paths:
        at = made
        for step in path:
            at = at.setdefault(step, {})
    for path in paths:  # where the whole of a field is wanted no part of it is chosen
        at = made
        for step in path:
            at = at.get(step, {})
        at.clear()
    return made
