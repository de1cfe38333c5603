"""The Faust app and its two agents: where the pipeline meets Kafka.

For every partition, in this order:

1. process the batch;
2. send partials, signals and dead letters and await their acks; put points into the durable spool;
3. write the partition's snapshot ``{next_offset, state}`` durably;
4. ack to Faust, which commits.

After a crash rows below ``next_offset`` are skipped, so a step that was repeated has no effect twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import faust
import numpy as np
from faust.types import TP

from flowlib.density import Density
from schemas.codecs import DecodeError
from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.sinks.spool import Spool
from stream_app.stages.batches import RawBatch
from stream_app.stages.decisions import models_of
from stream_app.stages.outputs import Outputs
from stream_app.stages.pipeline import Pipeline
from stream_app.stages.points import model_point
from stream_app.worker import batch_transport
from stream_app.worker.deciding import Decider
from stream_app.worker.models_feed import ModelsFeed
from stream_app.worker.outbox import Outbox
from stream_app.worker.state import StateStore
from stream_app.worker.watchdog import lag_of

log = logging.getLogger(__name__)

_WAIT_S = 0.05
_PATIENCE_S = 10.0

CHECKPOINT_S = 0.5
"""How often acks are earned: the most work that a crash makes the worker repeat."""


class Worker:
    """One worker process: Faust app, pipeline, state and spool.

    Args:
        config: the stream.
        sources: number of partitions of the events topic.
        store: snapshots and decisions.
        spool: durable queue of points.
        settings: Faust settings (broker, credentials).
        client: aiokafka settings of the models feed.
        only: ``score`` or ``watch`` to run one stage, None for both.
        replay: True when the store was preset with the decisions of the run to repeat.
    """

    def __init__(
        self,
        config: Config,
        sources: int,
        store: StateStore,
        spool: Spool,
        settings: dict[str, Any],
        client: dict[str, Any],
        only: str | None = None,
        replay: bool = False,
    ) -> None:
        self.config, self.store = config, store
        self.pipeline = Pipeline(config, sources, store.decisions(), make_decisions=not replay)
        self._decider = Decider(config, store, self.pipeline)
        self.app = self._make_app(settings, only)
        self._feed = ModelsFeed(config, client, self._on_notice)
        self._ready = asyncio.Event()
        self._lock = asyncio.Lock()
        self._outbox = Outbox(self.app, config, spool)
        self._broken: BaseException | None = None
        self._told: set[tuple[str, str]] = set()
        self._left: dict[int, dict[str, int]] = {}
        self.first_score_at: float | None = None

    def _make_app(self, settings: dict[str, Any], only: str | None) -> faust.App:
        kafka = self.config.kafka
        app = faust.App(
            kafka.group,
            **settings,
            web_enabled=False,
            stream_buffer_maxsize=16,
            stream_wait_empty=False,
            broker_max_poll_records=kafka.max_poll_records,
            broker_commit_interval=1.0,
            broker_session_timeout=kafka.session_timeout.seconds,
            consumer_auto_offset_reset="earliest",
            broker_heartbeat_interval=kafka.session_timeout.seconds / 5,
            topic_disable_leader=True,
            consumer_metadata_max_age_ms=int(kafka.metadata_max_age),
            topic_allow_declare=False,
            producer_max_request_size=8 * 1024 * 1024,
            producer_linger_ms=5,
            datadir=str(self.config.path(self.config.state.dir) / "faust"),  # not where the worker was started
        )
        topics = self.config.topics
        names = {"score": topics.events, "watch": topics.partials}
        wanted = {role: name for role, name in names.items() if only in (None, role)}
        batch_transport.install(
            app, wanted.values(), kafka.max_poll_records, on_assigned=self._assigned, on_revoked=self._revoked
        )
        handlers = {"score": self._score, "watch": self._watch}
        for role, name in wanted.items():
            app.agent(batch_transport.batch_topic(app, name), name=role)(handlers[role])
        app.task(self._follow_models)
        app.timer(CHECKPOINT_S)(self._on_timer)
        return app

    # Agents --------------------------------------------------------------------------------------------------------

    async def _score(self, stream: Any) -> None:
        """SCORE: the hot path."""
        async for event in stream.noack().events():
            await self._ready.wait()
            partition = event.value[0].partition
            while partition in self.pipeline.score_states and self.pipeline.missing_for_score(partition):
                await asyncio.sleep(_WAIT_S)  # another worker put a model in service that has not reached this one yet
            async with self._turn():
                if batch_transport.is_current(event) and partition in self.pipeline.score_states:
                    out = self.pipeline.score(_raw_batch(event.value))
                    self.first_score_at = self.first_score_at or time.time()
                    await self._outbox.put(out, ("source", partition), event)

    async def _watch(self, stream: Any) -> None:
        """WATCH: the low-rate path."""
        async for event in stream.noack().events():
            await self._ready.wait()
            q = event.value[0].partition
            for record in event.value:
                await self._watch_one(event, record)
            async with self._turn():
                if batch_transport.is_current(event) and q in self.pipeline.watch_states:
                    await self._outbox.put(Outputs(), ("watch", q), event)

    async def _watch_one(self, event: Any, record: Any) -> None:
        q = record.partition
        while q in self.pipeline.watch_states and self.pipeline.missing_for_watch(q):
            await asyncio.sleep(_WAIT_S)  # another worker scores with a model that has not reached this one yet
        async with self._turn():
            if not batch_transport.is_current(event) or q not in self.pipeline.watch_states:
                return
            try:
                out = self.pipeline.watch(q, record.offset, record.value, dict(record.headers))
            except DecodeError as error:
                log.error("%s/%d@%d is not a partial of ours and is skipped: %s", record.topic, q, record.offset, error)
                return
            await self._outbox.put(out, ("watch", q))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """The pipeline to oneself. What ends half-way leaves a state that is neither old nor new: no checkpoint may save it,
        and the worker ends, to be started again from its snapshots.
        """
        async with self._lock:
            self._check_whole()
            try:
                yield
            except BaseException as error:
                self._broken = error
                if isinstance(error, Exception):
                    await self.app.crash(error)
                raise

    def _check_whole(self) -> None:
        if self._broken is not None:
            raise DriftflowError(
                f"the worker's state is not whole any more, so nothing of it is saved: {self._broken!r}"
            )

    # Checkpoints ---------------------------------------------------------------------------------------------------

    async def _on_timer(self) -> None:
        async with self._turn():
            self._decider.end_catching_up(self.progress())
            for q, out in self._decider.pass_over_idle(self.lags(self.config.topics.partials)):
                await self._outbox.put(out, ("watch", q))
        async with self._lock:
            await self._checkpoint()
        self._tell_substitutes()

    def _tell_substitutes(self) -> None:
        for (model_id, engine), reason in self.pipeline.models.substitutes.items():
            if (model_id, engine) not in self._told:
                self._told.add((model_id, engine))
                log.warning(
                    "Model %s was scored by %s when this was decided; here it is scored by %s, within 1e-4 nats "
                    "of it but not bit for bit: %s",
                    model_id,
                    engine,
                    self.pipeline.models.densities[model_id].engine.name,
                    reason,
                )

    async def _checkpoint(self) -> None:
        self._check_whole()
        await self._outbox.checkpoint(self._save)

    def _save(self, role: str, number: int) -> None:
        if role == "source" and number in self.pipeline.score_states:
            self.store.save(f"source-{number}", self.pipeline.snapshot_score(number))
        elif role == "watch" and number in self.pipeline.watch_states:
            self.store.save(f"watch-{number}", self.pipeline.snapshot_watch(number))

    # Partitions ----------------------------------------------------------------------------------------------------

    async def _assigned(self, partitions: set[TP]) -> None:
        async with self._turn():
            self.pipeline.decisions = self.store.decisions()  # another worker may have decided meanwhile
            for tp in sorted(partitions):
                if tp.topic == self.config.topics.events:
                    self.pipeline.open_score(tp.partition, self.store.load(f"source-{tp.partition}"))
                    self._decider.gained(tp.partition)
                else:
                    self.pipeline.open_watch(tp.partition, self.store.load(f"watch-{tp.partition}"))

    async def _revoked(self, partitions: set[TP]) -> None:
        async with self._lock:
            if self._broken is None:
                await self._checkpoint()
            self._left |= self.counters
            for tp in partitions:
                if tp.topic == self.config.topics.events:
                    self.pipeline.close_score(tp.partition)
                    self._decider.lost(tp.partition)
                else:
                    self.pipeline.close_watch(tp.partition)

    # Models --------------------------------------------------------------------------------------------------------

    async def _follow_models(self) -> None:
        feed = asyncio.ensure_future(self._feed.run())
        try:
            began, told = time.monotonic(), False
            while not self._complete():
                if feed.done():
                    feed.result()
                if not told and time.monotonic() - began > _PATIENCE_S:
                    told = True
                    log.warning(
                        "Waiting for a model on %s: `driftflow trainer --bootstrap-until DATE` makes the first",
                        self.config.topics.models,
                    )
                await asyncio.sleep(_WAIT_S)
            async with self._turn():
                self._decider.activate_all()
                self._ready.set()
            await feed
        finally:
            feed.cancel()

    def _complete(self) -> bool:
        """Scoring starts once there is a model, and every model that a decision names."""
        missing = self.pipeline.models.missing(models_of(self.pipeline.decisions))
        return bool(self.service) and self._feed.caught_up.is_set() and not missing

    async def _on_notice(self, notice: ModelNotice, density: Density | None) -> None:
        async with self._turn():
            self._outbox.add_point(model_point(notice))
            if density is None:
                return
            self.pipeline.models.add(density)
            self._decider.service = density.model_id
            if self._ready.is_set():
                self._decider.activate_all()

    # For the status ------------------------------------------------------------------------------------------------

    @property
    def service(self) -> str:
        """The model that new panes are scored with; empty as long as there is none."""
        return self._decider.service

    @property
    def counters(self) -> dict[int, dict[str, int]]:
        """Running totals by source partition; of one that has left, as they were when it did."""
        return self._left | {p: dict(state.counters) for p, state in self.pipeline.score_states.items()}

    @property
    def models_refused(self) -> int:
        """Models whose bytes were not accepted."""
        return self._feed.refused

    @property
    def ready(self) -> bool:
        """True once there is a model to score with."""
        return self._ready.is_set()

    @property
    def unwatched(self) -> int:
        """Partials that this worker has sent and its own WATCH partitions have not taken in yet."""
        ends = (
            (self._outbox.sent_until.get(q, 0), watcher.next_offset)
            for q, watcher in self.pipeline.watch_states.items()
        )
        return sum(max(end - at, 0) for end, at in ends)

    def progress(self) -> dict[Any, tuple[int | None, int | None]]:
        """Offset up to which all is settled and high watermark of each partition this worker has."""
        consumer = self.app._consumer
        return consumer.progress() if consumer is not None else {}

    def lags(self, topic: str) -> dict[int, int | None]:
        """Records that are not settled yet, by partition of a topic; None where not known."""
        return {tp.partition: lag_of({tp: at}) for tp, at in self.progress().items() if tp.topic == topic}

    @property
    def pending(self) -> int:
        """Partitions with work that is not durable yet."""
        return self._outbox.pending


def _raw_batch(records: Iterable[Any]) -> RawBatch:
    rows = list(records)
    return RawBatch(
        rows[0].topic,
        rows[0].partition,
        np.array([row.offset for row in rows], dtype=np.int64),
        [row.value for row in rows],
        np.array([row.timestamp or 0 for row in rows], dtype=np.int64),
    )
