"""The agents of a worker: where the pipeline meets Kafka."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from schemas.records import Health
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.signal_schemas import signal_frames
from stream_app.kafka.types import Headers, Sent, TopicPartition
from stream_app.models.keys import request_key
from stream_app.monitor.meter import Meter
from stream_app.monitor.metrics import DEAD_LETTERS
from stream_app.sinks.spool import Spool
from stream_app.stages.batches import PartialMessage
from stream_app.stages.outputs import Outputs
from stream_app.stages.pipeline import SLICE_PANES_MAX, Pipeline
from stream_app.terminal import Seldom
from stream_app.worker import actions_feed, batch_transport, first_events, header_names, modelling, sending
from stream_app.worker.app import consumer_of, make_app
from stream_app.worker.composites import CompositeEvent, CompositeStream, is_current
from stream_app.worker.damages import Damages
from stream_app.worker.deciding import Decider
from stream_app.worker.fetching import Columns
from stream_app.worker.growth import make_room
from stream_app.worker.health import health_message, health_point
from stream_app.worker.judging import Judging
from stream_app.worker.logs import Logs
from stream_app.worker.modelling import Modelling
from stream_app.worker.outbox import Outbox
from stream_app.worker.partitions import Partitions
from stream_app.worker.progress import Progress, lag_of, lags_of
from stream_app.worker.schemas import SchemaFeed
from stream_app.worker.state import StateStore
from stream_app.worker.status import Status
from stream_app.worker.steps import Steps
from stream_app.worker.supervision import Parts, watch_loop
from stream_app.worker.told import Told

log = logging.getLogger(__name__)

_SUBSTITUTE = "Model %s was scored by %s when this was decided, here by %s, within 1e-4 nats but not bit for bit: %s"
_WAIT_S = 0.05

CHECKPOINT_S = 0.5
"""Time between two checkpoints: the most work that a crash makes the worker repeat."""


class Worker:
    """One worker process: Faust app, pipeline, state and spool.

    Args:
        config: the stream, with the partition count that its events topic has.
        store: bases, heads and decisions.
        spool: durable queue of points.
        parts: what happens when a part of it fails.
        only: ``score``, ``watch`` or ``judge`` to run one stage, None for all.
        replay: True when the store was preset with the decisions of the run to repeat.

    Attributes:
        app: the Faust app with the agents.
        pipeline: the states of the partitions that this worker has.
        modelling, judging: what it does about models, and for JUDGE.
        ready: set once there is a model to score with.
        schemas: those that bodies were written by.
        meter: measures its steps.
    """

    def __init__(
        self,
        config: Config,
        store: StateStore,
        spool: Spool,
        parts: Parts,
        only: str | None = None,
        replay: bool = False,
    ) -> None:
        self._config, self._store, self._spool, self.parts = config, store, spool, parts
        header_names.take_any()
        self.app = make_app(config)
        self.pipeline = Pipeline(config, config.topics.partitions, store.decisions(), make_decisions=not replay)
        self.ready, self.meter, self._frames = asyncio.Event(), Meter(), signal_frames(config)
        self.schemas = SchemaFeed(config, self.pipeline.schemas, parts)
        self._partitions = Partitions(config, store, self.pipeline)
        self._steps = Steps(self.pipeline, self._partitions)
        self._outbox = Outbox(self._send, config.topics, spool, self._partitions, request_key(config), Told(config))
        self._decider = Decider(config, store, self.pipeline, self._partitions.replays)
        known, save_later = lambda: self.pipeline.decisions, self._outbox.save_later
        self._logs = Logs(config, self._partitions, parts, save_later, self.meter, known)
        common = (self._outbox, self._decider, parts, self.ready, self._turn)
        self.modelling = Modelling(config, self.pipeline, *common)
        self.judging = Judging(config, self.pipeline, self._partitions, self._steps, *common, self.meter)
        self._lock = asyncio.Lock()
        self._failure: BaseException | None = None
        self._partials_refused = Seldom(log.error)
        self._substitutes_logged: set[tuple[str, str]] = set()
        self._first_score_at: float | None = None
        self._add_agents(only)

    def _add_agents(self, only: str | None) -> None:
        app, topics = self.app, self._config.topics
        agents = {
            "score": (topics.events, self.score),
            "watch": (topics.partials, self.watch),
            "judge": (topics.evidence, self.judging.agent),
        }
        chosen = {stage: agent for stage, agent in agents.items() if only in (None, stage)}
        batch_transport.install(
            app,
            [topic for topic, _ in chosen.values()],
            self._config.kafka.max_poll_records,
            kafka=self._config.kafka,
            columns=Columns([topics.events], Damages(self._logs.note_damage)),
            next_offset=self._partitions.next_offset,
            on_assigned=self.assigned,
            on_revoked=self.revoked,
            on_gone=self._logs.note_gone,
        )
        for stage, (topic, agent) in chosen.items():
            app.agent(batch_transport.batch_topic(app, topic), name=stage)(self.parts.watched(stage, agent))
        app.task(self.parts.watched(modelling.PART, self.modelling.follow))
        if "score" in chosen:
            app.task(self.parts.watched(first_events.PART, self._judge_first))
        if "judge" in chosen:
            follow = functools.partial(self.parts.keep, actions_feed.PART, self.judging.follow_actions)
            app.task(self.parts.watched(actions_feed.PART, follow))
        app.task(self.parts.watched("logs", functools.partial(self._logs.follow, self.progress)))
        app.timer(CHECKPOINT_S)(self.parts.watched("checkpoint", self._on_timer))

    # Agents --------------------------------------------------------------------------------------------------------

    async def _judge_first(self) -> None:
        await first_events.judge_first(self._config, self.parts)

    async def score(self, stream: CompositeStream) -> None:
        """SCORE: the hot path."""
        async for event in stream.noack().events():
            tp = event.value.tp
            await self._models_arrived(tp)
            n, raw = len(event.value), event.value.raw_batch()
            await self.schemas.arrived(self.pipeline.to_be_decoded(raw), functools.partial(self._has, tp, event))
            async with self._turn():
                if self._has(tp, event):
                    with self.meter.step("score", n, partition=tp.partition):
                        out = self._steps.score(tp, raw)
                    self._first_score_at = self._first_score_at or time.time()
                    await self._outbox.put(out, tp, event)

    async def watch(self, stream: CompositeStream) -> None:
        """WATCH: the low-rate path."""
        async for event in stream.noack().events():
            tp = event.value.tp
            partials, waits = event.value.partials(), True
            await self.ready.wait()
            while waits:  # while a model is missing, or there is much to do, not all of the partials are taken
                async with self._turn():
                    outs = self._watched(tp, partials) if self._has(tp, event) else []
                    for out in outs:
                        await self._outbox.put(out, tp)
                    waits = any(out.unfinished for out in outs) or bool(self._partitions.missing_models(tp))
                await asyncio.sleep(0)  # whoever waits for a turn, or for the event loop, is next
                await self._models_arrived(tp)
            async with self._turn():
                if self._has(tp, event):
                    self._partitions.took(tp, partials)
                    await self._outbox.put(Outputs(), tp, event)

    def _watched(self, tp: TopicPartition, partials: list[PartialMessage]) -> list[Outputs]:
        with self.meter.step("watch", len(partials), partition=tp.partition):
            outs = [self._steps.watch(tp, partials, False, SLICE_PANES_MAX)]
            if outs[0].unknown:
                self._decider.learn(surely=True, stranger_at=tp.partition)
                outs.append(self._steps.watch(tp, partials, True, SLICE_PANES_MAX))
        for offset, why in (refusal for out in outs for refusal in out.refused):
            where = f"{tp.topic}/{tp.partition}@{offset}"
            self._partials_refused(f"{where} is not a partial of ours and is skipped: {why.detail}")
        return outs

    async def _models_arrived(self, tp: TopicPartition) -> None:
        """Wait for the first model, and for those that another worker has put in service and that are not here yet."""
        await self.ready.wait()
        while self._partitions.missing_models(tp):
            await asyncio.sleep(_WAIT_S)

    def _has(self, tp: TopicPartition, event: CompositeEvent) -> bool:
        """Whether the partition is still this worker's, and the event is still to be acked."""
        return is_current(event) and tp in self._partitions

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Exclusive use of the pipeline.

        What ends half-way leaves a state that is neither old nor new. No checkpoint may save it, and the worker ends,
        to be started again from its snapshots.
        """
        async with self._lock:
            self._check_whole()
            try:
                yield
            except BaseException as error:
                self._failure = error
                if isinstance(error, Exception):
                    await self.app.crash(error)
                raise

    def _check_whole(self) -> None:
        if self._failure is not None:
            raise DriftflowError(
                f"the worker's state is not whole any more, so nothing of it is saved: {self._failure!r}"
            )

    async def _send(
        self, topic: str, key: bytes | None, value: bytes | None, *, partition: int | None, headers: Headers
    ) -> asyncio.Future[Sent]:
        if topic == self._config.topics.dead_letters:
            self.meter.count(DEAD_LETTERS, dict(headers).get("ce_subject", b"").decode())
        sent = value and self._frames.value(topic, value, headers)
        return await sending.send(self.app, topic, key, sent, partition=partition, headers=headers)

    # Checkpoints ---------------------------------------------------------------------------------------------------

    async def _on_timer(self) -> None:
        self._partitions.check_owned(self.progress())
        async with self._turn():
            progress = self.progress()
            if self._logs.compare(progress, self.written_ends(), time.monotonic()):
                consumer_of(self.app).seek_anew()
            self._decider.learn()
            self._decider.end_catching_up(progress)
            for partition, out in self._decider.pass_over_idle(progress):
                await self._outbox.put(out, TopicPartition(self._config.topics.partials, partition))
            await self.judging.judge_waiting()
            for tp, out in self._steps.catch_up():
                self._decider.serve(out.changes)
                await self._outbox.put(out, tp)
        await self.checkpoint()
        self._log_substitutes()
        self.parts.beat("checkpoint")

    async def checkpoint(self) -> None:
        """Make what was processed durable (:meth:`Outbox.checkpoint` has the order)."""
        async with self._lock:
            self._check_whole()
            await self._tell_losses()
            with self.meter.step("checkpoint"):
                await self._outbox.checkpoint()

    async def _tell_losses(self) -> None:
        """Send what the logs have lost, before a head says that it is told, or that what lies behind it was taken."""
        for out in self._logs.take():
            await self._outbox.put(out, None)

    def _log_substitutes(self) -> None:
        models = self.pipeline.models
        for (model_id, engine), reason in models.substitutes.items():
            if (model_id, engine) not in self._substitutes_logged:
                self._substitutes_logged.add((model_id, engine))
                log.warning(_SUBSTITUTE, model_id, engine, models.densities[model_id].engine.name, reason)

    # Partitions ----------------------------------------------------------------------------------------------------

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        """Load the states of partitions before their first record comes. Source partitions may be new ones."""
        gained = {tp.partition for tp in partitions if self._partitions.stage_of(tp) == "score"}
        known = functools.partial(sending.known_to_producer, self.app, self._config.topics.signals)
        await make_room(known, self._config, gained)
        logs = await self._logs.look_first(partitions)
        async with self._turn():
            self.pipeline.reload(self._store.decisions())  # another worker may have decided meanwhile
            self.pipeline.sources |= gained | self._sources_that_exist()
            for tp in sorted(partitions):
                with self.meter.step("restore", topic=tp.topic, partition=tp.partition):
                    await asyncio.to_thread(self._partitions.open, tp)
                if tp not in self._partitions:
                    continue
                await self.judging.look_first(tp)
                self._logs.check(tp, logs.get(tp))
                self._decider.gained(tp)
            self._decider.join()

    def _sources_that_exist(self) -> set[int]:
        consumer = consumer_of(self.app)
        return consumer.partitions_of(self._config.topics.events) if consumer is not None else set()

    async def revoked(self, partitions: set[TopicPartition]) -> None:
        """Save what may be saved, and forget partitions that another worker takes over."""
        async with self._lock:
            if self._failure is None:
                for tp in partitions:  # those too of which nothing is new: the input since their base may soon be gone
                    self._outbox.save_later(tp)
                await self._tell_losses()
                await self._outbox.checkpoint(last=True)
            for tp in partitions:
                self._partitions.close(tp)
                self._decider.lost(tp)

    # Status --------------------------------------------------------------------------------------------------------

    def progress(self) -> Progress:
        """Offset up to which everything is settled, and high watermark, of each partition that this worker has."""
        consumer = consumer_of(self.app)
        progress: Progress = consumer.progress() if consumer is not None else {}
        return progress

    def written_ends(self) -> dict[TopicPartition, int | None]:
        """High watermark of each partition that this worker has."""
        consumer = consumer_of(self.app)
        return dict(consumer.written_ends()) if consumer is not None else {}

    async def tell_health(self, health: Health, within_s: float) -> bool:
        """Send a health message, and store it at the next checkpoint; whether the broker has taken it in time."""
        self._outbox.add_point(health_point(health))
        message = health_message(self._config, health)
        return await sending.taken_within(self._send, self._config.topics.signals, message, within_s)

    def poke(self) -> None:
        """Ask the thread of Kafka's consumer for a sign of life."""
        consumer = consumer_of(self.app)
        if consumer is not None:
            loop = consumer.thread_loop
            watch_loop(loop, self.parts)
            loop.call_soon_threadsafe(self.parts.beat, "Kafka")

    def _of_watch(self, count: str) -> dict[str, int]:
        return {"partials": sum(getattr(state, count) for state in self.pipeline.watch_states.values())}

    def status(self) -> Status:
        """Totals, and what is in work."""
        progress, pipeline, feed = self.progress(), self.pipeline, self.modelling.feed
        partitions = self._partitions
        clocks = [state.timing.clock_ms for state in pipeline.score_states.values() if state.timing.clock_ms >= 0]
        return Status(
            counters=self._partitions.counters(),
            first_score_at=self._first_score_at,
            service=self._decider.service,
            taken=self._of_watch("taken") | {"models": feed.taken} | self.judging.taken(),
            refused=self._of_watch("refused") | {"models": feed.refused} | self.judging.refused(),
            judged_ms=self.judging.judged_ms,
            pending=self._outbox.pending,
            lag=lag_of(progress),
            unread=lags_of(progress, self._config.topics.events),
            unwatched=sum(self._partitions.behind(tp, until) for tp, until in self._outbox.sent_until.items()),
            late_blocks=sum(state.late_blocks for state in pipeline.watch_states.values()),
            state_written=dict(partitions.written),
            state_per_event=partitions.written["score"] / partitions.taken if partitions.taken else None,
            closed_early=sum(state.closed_early for state in pipeline.score_states.values()),
            lags={f"{tp.topic}/{tp.partition}": lag_of({tp: offsets}) for tp, offsets in progress.items()},
            event_time_ms=max(clocks, default=None),
            service_ms=self._decider.service_ms,
            waits_for=sorted(set[str]().union(*map(self._partitions.missing_models, progress))),
            incidents={} if pipeline.judge_state is None else pipeline.judge_state.incidents.open_counts,
            dead_letters={reason: int(n) for (reason,), n in self.meter.counts(DEAD_LETTERS).items()},
            failing={**self.parts.failing, **({"model": feed.unusable} if feed.unusable else {})},
        )
