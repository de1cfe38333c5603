"""Schemas in a worker: a batch waits for those of its bodies. What is known here needs no registry."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from stream_app.config import Config
from stream_app.kafka.schema_cache import Found
from stream_app.kafka.schema_registry import Registry, RegistryError, registry_of
from stream_app.stages.score.formats.schemas import Schemas
from stream_app.worker.supervision import Parts

log = logging.getLogger(__name__)

PART = "schemas"
_PAUSE_S, _PAUSE_S_MAX = 0.5, 5.0


class SchemaFeed:
    """Enters the schemas that bodies were written by.

    Args:
        config: the stream.
        schemas: those that its bodies are decoded by.
        parts: are told where the registry does not answer.

    Attributes:
        waits: whether a batch waits for the registry now.

    Raises:
        DriftflowError: a secret or the file of authorities cannot be read.
    """

    def __init__(self, config: Config, schemas: Schemas, parts: Parts) -> None:
        self._registry, self._schemas, self._parts = registry_of(config), schemas, parts
        self.waits = False

    async def arrived(self, values: Iterable[bytes | None], wanted: Callable[[], bool]) -> None:
        """Wait until the schema of each body is known, or known not to exist, as long as they are wanted.

        Raises:
            DriftflowError: an answer cannot be written down.
        """
        registry = self._registry
        if registry is None or not (missing := self._missing(registry, values)):
            return
        self.waits, pause_s = True, _PAUSE_S
        try:
            while missing and wanted():
                found = await self._asked(registry, missing[0])
                if found is None:
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _PAUSE_S_MAX)
                else:
                    registry.cache.enter(self._schemas, missing.pop(0), found)
        finally:
            self.waits = False

    def _missing(self, registry: Registry, values: Iterable[bytes | None]) -> list[int]:
        """Ids that have to be asked for."""
        registry.cache.expire(self._schemas)
        return registry.cache.kept(self._schemas, self._schemas.missing(values))

    async def _asked(self, registry: Registry, schema_id: int) -> Found | None:
        """What the registry says of an id; None where it does not answer, which is said."""
        try:
            found = await asyncio.wait_for(asyncio.wrap_future(registry.ask(schema_id)), registry.timeout_s)
        except (RegistryError, TimeoutError) as error:
            why = error if isinstance(error, RegistryError) else registry.late()
            if PART not in self._parts.failing:
                log.warning("%s: %s; events wait for schema id %d, which is asked for again", PART, why, schema_id)
            self._parts.note(PART, str(why))
            return None
        self._parts.note(PART, "")
        return found
