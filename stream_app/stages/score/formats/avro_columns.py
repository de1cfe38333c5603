"""Avro bodies as columns: all bodies of a schema at once, one field after the other (:mod:`.avro_run`).

A schema has a plan where all of its fields are plain: numbers, texts, enums, timestamps, records and unions of these.
With an array or a map in it, or with a field that has to be converted, its bodies are the row decoder's.
"""

from __future__ import annotations

import numpy as np

from stream_app.config import EventConfig
from stream_app.stages.batches import Bodies
from stream_app.stages.score.columns import Columns
from stream_app.stages.score.event_time import TIME_MAX_MS
from stream_app.stages.score.formats.avro_plan import NoPlan, Plan, Step
from stream_app.stages.score.formats.avro_run import Rows, Run
from stream_app.stages.score.formats.fields import Fields
from stream_app.stages.score.formats.schemas import HEADER, KEPT_MAX, Schemas, ids_of
from stream_app.stages.score.rejects import Undecodable


class AvroColumns:
    """See :class:`~stream_app.stages.score.columns.ColumnReader`."""

    def __init__(self, event: EventConfig, texts: list[str], schemas: Schemas) -> None:
        fields = Fields(event, texts)
        self._d, self._k, self._max_bytes = len(event.numeric), len(texts), event.max_bytes
        self._has_id = len(fields.names) > 1 + self._d + self._k
        self._schemas, self._names, self._event = schemas, fields.names, event
        self._plans: dict[int, Step | None] = {}

    def read(self, bodies: Bodies) -> Columns:
        """Read a batch."""
        run = Run(bodies, HEADER if self._schemas.framed else 0, self._d, self._k + self._has_id)
        run.ok &= bodies.size <= self._max_bytes
        place = run.start.copy()
        for schema_id, rows in self._by_schema(bodies, run) if len(bodies) else ():
            plan = self._plan(schema_id)
            if plan is None:
                run.ok[rows] = False
            else:
                place[rows] = plan(run, rows, place[rows])
        run.finish(place)
        run.ok &= (run.time_ms >= 0) & (run.time_ms < TIME_MAX_MS)
        texts = run.texts()
        ids: list[str | None] | None = texts.pop().objects().tolist() if self._has_id else None
        return Columns(run.ok, run.time_ms, run.numeric, texts, ids)

    def _by_schema(self, bodies: Bodies, run: Run) -> list[tuple[int, Rows]]:
        if not self._schemas.framed:
            return [(0, slice(None))]
        framed, ids = ids_of(bodies)
        run.ok &= framed
        different = np.unique(ids[run.ok]).tolist()
        if len(different) == 1 and run.ok.all():
            return [(different[0], slice(None))]
        return [(schema_id, np.flatnonzero(run.ok & (ids == schema_id))) for schema_id in different]

    def _plan(self, schema_id: int) -> Step | None:
        """How bodies of a schema are read; None where they are not. What is not known now may be later."""
        if schema_id in self._plans:
            return self._plans[schema_id]
        try:
            own, framed = self._schemas.own, self._schemas.framed
            writer = self._schemas.writer(schema_id) if framed else own
            assert writer is not None  # a configuration has a schema or a registry
            plan: Step | None = Plan(self._event, self._names).step(writer, own if framed else None)
        except Undecodable:
            return None
        except (NoPlan, RecursionError):
            plan = None
        if len(self._plans) >= KEPT_MAX:
            self._plans.clear()
        self._plans[schema_id] = plan
        return plan
