"""Models in a worker: they arrive, are put in service, and nothing is scored before there is one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from flowlib.density import Density
from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.stages.decisions import models_of
from stream_app.stages.outputs import Outgoing, Outputs
from stream_app.stages.pipeline import Pipeline
from stream_app.stages.points import model_point
from stream_app.worker.deciding import Decider
from stream_app.worker.models_feed import ModelsFeed
from stream_app.worker.outbox import Outbox
from stream_app.worker.reports import Reports
from stream_app.worker.supervision import Parts

log = logging.getLogger(__name__)

PART = "models feed"

_WAIT_S = 0.05
_PATIENCE_S = 10.0


@dataclass(slots=True)
class Modelling:
    """The part of a worker that is about models.

    Args:
        config, pipeline, outbox, decider, parts: of the worker.
        ready: is set once there is a model to score with.
        turn: exclusive use of the pipeline.
    """

    config: Config
    pipeline: Pipeline
    outbox: Outbox
    decider: Decider
    parts: Parts
    ready: asyncio.Event
    turn: Callable[[], AbstractAsyncContextManager[None]]
    feed: ModelsFeed = field(init=False)

    def __post_init__(self) -> None:
        self.feed = ModelsFeed(self.config, self.take_model, self.put_aside, lambda: self.parts.beat(PART))

    async def follow(self) -> None:
        """Follow the models topic for ever; ``ready`` is set once it was read to its end."""
        feed = asyncio.ensure_future(self.parts.keep(PART, self.feed.run))
        try:
            await self._complete()
            async with self.turn():
                self.decider.activate_all()
                self.ready.set()
            await feed
        finally:
            feed.cancel()

    async def _complete(self) -> None:
        """Wait until there is a model, and every model that a decision names."""
        began_s, warned = time.monotonic(), False
        while not self._is_complete():
            if not warned and time.monotonic() - began_s > _PATIENCE_S:
                warned = True
                log.warning(
                    "Waiting for a model on %s: `driftflow trainer --bootstrap-until DATE` makes the first",
                    self.config.topics.models,
                )
            await asyncio.sleep(_WAIT_S)

    def _is_complete(self) -> bool:
        missing = self.pipeline.models.missing(models_of(self.pipeline.decisions))
        return bool(self.decider.service) and self.feed.caught_up.is_set() and not missing

    async def take_model(self, notice: ModelNotice, density: Density | None) -> None:
        """Note a genuine notice; make its model available where it has one, and put in service what is to be."""
        async with self.turn():
            if notice.status != "covered":
                self.outbox.add_point(model_point(notice))
            if density is not None:
                self.pipeline.models.add(density)
                self.decider.promoted(density.model_id, notice.sequence, notice.created_ms)
            if density is not None and self.ready.is_set():  # an older one too: a partition may have waited for it
                self.decider.activate_all()

    async def put_aside(self, letter: Outgoing, reports: Reports) -> None:
        """Send the dead letter of a message that was refused; the checkpoint after it notes that it was reported."""
        async with self.turn():
            await self.outbox.put(Outputs([letter]), None, reports)
