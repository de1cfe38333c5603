"""``{registry}/{stream}.canaries``: rows of confirmed incidents, as the model's columns have them. Only the trainer may
read it, and it is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec
import numpy as np

from flowlib.table import Table, doubles
from schemas.incidents import Action
from stream_app.config import Config
from stream_app.disk import write_durably, writing
from stream_app.errors import DriftflowError
from stream_app.trainer.data.rows import Rows

INCIDENTS_MAX = 100
"""Incidents that are kept, those confirmed last."""


class Canary(msgspec.Struct, frozen=True):
    """Events of one incident.

    Attributes:
        incident_id, by, at_ms, action_id: what was confirmed, who has, when, in which action.
        model_id: of the model that flagged all of them when they were gathered.
        topic, partitions, offsets: where each of n events stands.
        time_ms: of each, event time.
        numeric: n rows of d numbers, NaN for missing.
        categories: n rows of k texts, None for missing.
        slices: of each the name in every slicing.
    """

    incident_id: str
    by: str
    at_ms: int
    action_id: str
    model_id: str
    topic: str
    partitions: list[int]
    offsets: list[int]
    time_ms: list[int]
    numeric: list[list[float]]
    categories: list[list[str | None]]
    slices: list[list[str]]

    @classmethod
    def of(cls, rows: Rows, topic: str, action: Action, model_id: str) -> Self:
        """Of rows as they were read."""
        table = rows.table
        others = table.others if table.others is not None else np.empty((len(table), 0), object)
        return cls(
            action.incident_id,
            action.by,
            action.at_ms,
            action.id,
            model_id,
            topic,
            rows.partitions.tolist(),
            rows.offsets.tolist(),
            table.time_ms.tolist(),
            table.numeric.tolist(),
            table.categories.tolist(),
            np.column_stack([table.slices, others]).tolist(),
        )

    def table(self) -> Table:
        """The events, as a model scores them."""
        n = len(self.offsets)
        slices, categories = np.array(self.slices, dtype=object), np.array(self.categories, dtype=object)
        return Table(
            doubles(np.array(self.numeric)),
            categories.reshape(n, -1) if categories.size else np.empty((n, 0), object),
            slices[:, 0],
            np.array(self.time_ms, dtype=np.int64),
            slices[:, 1:] if slices.shape[1] > 1 else None,
        )


class Canaries(msgspec.Struct):
    """What is in the file.

    Attributes:
        columns: that the rows have: numeric, categorical, slicings.
        taken: ids of the actions whose consequences are in it.
        kept: the events, by incident, those confirmed last being last.
    """

    columns: list[list[str]]
    taken: list[str] = msgspec.field(default_factory=list)
    kept: list[Canary] = msgspec.field(default_factory=list)

    def put(self, canary: Canary) -> None:
        """Keep the events of an incident in place of earlier ones of it; of too many incidents the oldest goes."""
        self.drop(canary.incident_id)
        self.kept = [*self.kept, canary][-INCIDENTS_MAX:]

    def drop(self, incident_id: str) -> bool:
        """Forget an incident; whether it was there."""
        before = len(self.kept)
        self.kept = [one for one in self.kept if one.incident_id != incident_id]
        return len(self.kept) < before

    def tables(self, overruled: Mapping[str, int]) -> dict[str, Table]:
        """Incident to its events.

        Args:
            overruled: incidents to when a person has overruled them, by the clock; those confirmed later count.
        """
        return {one.incident_id: one.table() for one in self.kept if one.at_ms > overruled.get(one.incident_id, -1)}


_DECODER = msgspec.msgpack.Decoder(Canaries)


class CanaryFile:
    """The file of a stream."""

    def __init__(self, config: Config) -> None:
        self.path: Path = config.path(config.trainer.registry) / f"{config.stream}.canaries"
        event = config.event
        self._columns = [list(event.numeric), list(event.categorical), *map(list, event.slicings)]

    def load(self) -> Canaries:
        """What is kept; nothing where there is no file, or where the events have other columns by now: then what people
        have said counts anew, and the events are gathered with these columns, as far as the topic has them.

        Raises:
            DriftflowError: the file cannot be read or is damaged.
        """
        try:
            found = _DECODER.decode(self.path.read_bytes())
        except FileNotFoundError:
            return Canaries(self._columns)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DriftflowError(
                f"{self.path} cannot be read ({error}): restore it from a backup, or move it away, and the events of "
                "confirmed incidents are gathered again from the topics, as far as these have them"
            ) from error
        return found if found.columns == self._columns else Canaries(self._columns)

    def keep(self, canaries: Canaries) -> None:
        """Replace the file; a crash leaves the old one or the new one. Raises DriftflowError."""
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(self.path, msgspec.msgpack.encode(canaries), 0o600)
