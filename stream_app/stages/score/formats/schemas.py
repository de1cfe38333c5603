"""The schemas that Avro bodies were written by: handed in like models, by the id that stands before a body.

Nothing is fetched here. Whoever decodes asks which ids of a batch are not known (:meth:`Schemas.missing`), and enters
what came of them; a schema with an id never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from flowlib.table import Bools, Ints
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.stages.batches import Bodies
from stream_app.stages.score.formats.avro_schema import BadSchema, Type, parse_schema
from stream_app.stages.score.rejects import Undecodable

HEADER = 5
"""Bytes of Confluent's header: zero, and the schema's id."""
KEPT_MAX = 8_000
"""Ids that are kept in memory: twice as many as a batch has rows, at most, by default."""


class Schemas:
    """What is known of the schemas of a stream.

    Attributes:
        framed: whether an id stands before each body.
        own: the schema of ``event.avro_schema``, None where there is none: the writer's where nothing stands before a
            body, else the reader's.

    Raises:
        BadSchema: the file holds none.
        DriftflowError: it cannot be read.
    """

    def __init__(self, config: Config) -> None:
        self.framed = config.event.format == "avro" and bool(config.schema_registry.url)
        self.own = _own(config)
        self._registry = config.schema_registry.url
        self._known: dict[int, Type | str] = {}

    def missing(self, values: Iterable[bytes | None]) -> list[int]:
        """Ids that stand before bodies and are not known, those of most bodies first."""
        if not self.framed:
            return []
        bodies = Bodies.of(values)
        framed, ids = ids_of(bodies)
        different, rows = np.unique(ids[framed], return_counts=True)
        return [int(one) for one in different[np.argsort(-rows, kind="stable")] if int(one) not in self._known]

    def add(self, schema_id: int, texts: Sequence[str]) -> None:
        """Enter a schema, after those that it names types of."""
        try:
            self._enter(schema_id, parse_schema(texts))
        except BadSchema as error:
            self._enter(schema_id, f"schema id {schema_id} of {self._registry} cannot be used: {error}")

    def refuse(self, schema_id: int, why: str) -> None:
        """Enter that there is no schema with an id: why, after its id. A later answer takes its place."""
        self._enter(schema_id, f"schema id {schema_id} {why}")

    def forget(self, schema_id: int) -> None:
        """Ask for it again."""
        self._known.pop(schema_id, None)

    def writer(self, schema_id: int) -> Type:
        """The schema with an id; raises Undecodable, with the id, where there is none."""
        found = self._known.get(schema_id, f"schema id {schema_id} has not been fetched from {self._registry}")
        if isinstance(found, str):
            raise Undecodable("unknown_schema", "", found)
        return found

    def _enter(self, schema_id: int, found: Type | str) -> None:
        self._known[schema_id] = found
        if len(self._known) > KEPT_MAX:
            del self._known[next(iter(self._known))]


def ids_of(bodies: Bodies) -> tuple[Bools, Ints]:
    """``(n,)`` which bodies begin with Confluent's header, and the id in it; of others anything."""
    data = np.frombuffer(bodies.buffer, np.uint8)
    long_enough = bodies.size > HEADER
    if not long_enough.any():
        return long_enough, np.zeros(len(bodies), dtype=np.int64)
    first = np.where(long_enough, bodies.first, bodies.first[long_enough.argmax()])
    ids = np.zeros(len(bodies), dtype=np.int64)
    for place in range(1, HEADER):
        ids = ids << 8 | data[first + place]
    return long_enough & (data[first] == 0), ids


def _own(config: Config) -> Type | None:
    if not config.event.avro_schema:
        return None
    path = config.path(config.event.avro_schema)
    try:
        return parse_schema([path.read_text(encoding="utf-8")])
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise DriftflowError(f"{path} (event.avro_schema) cannot be read, {why.lower()}") from error
    except BadSchema as error:
        raise BadSchema(f"{path} is of no use as event.avro_schema: {error}") from error
