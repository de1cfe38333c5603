"""JUDGE in a worker: the agent on the evidence topic, panes that have waited for a model, and what people say."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from schemas.incidents import Action
from schemas.intake import Refusal
from stream_app.config import Config
from stream_app.kafka.types import TopicPartition
from stream_app.monitor.meter import Meter
from stream_app.stages.batches import PartialMessage
from stream_app.stages.dead_letters import dead_letter
from stream_app.stages.outputs import Outgoing, Outputs
from stream_app.stages.pipeline import Pipeline
from stream_app.terminal import Seldom
from stream_app.worker.actions_feed import PART, ActionsFeed
from stream_app.worker.composites import Chunk, CompositeStream, is_current
from stream_app.worker.deciding import Decider
from stream_app.worker.outbox import Outbox
from stream_app.worker.partitions import Partitions
from stream_app.worker.reports import Reports
from stream_app.worker.steps import Steps
from stream_app.worker.supervision import Parts

log = logging.getLogger(__name__)

NOTICE_S = 5.0
"""So long a notice of a model may take until it is here, once a person names the model."""

_WAIT_S = 0.05
_SPARE = "not_accepted", "", "all evidence is on partition 0"


@dataclass(slots=True)
class Judging:
    """The part of a worker that is about JUDGE.

    Args:
        config, pipeline, partitions, steps, outbox, decider, parts: of the worker.
        ready: set once there is a model to score with.
        turn: exclusive use of the pipeline.
        meter: measures its steps.
    """

    config: Config
    pipeline: Pipeline
    partitions: Partitions
    steps: Steps
    outbox: Outbox
    decider: Decider
    parts: Parts
    ready: asyncio.Event
    turn: Callable[[], AbstractAsyncContextManager[None]]
    meter: Meter
    feed: ActionsFeed = field(init=False)
    _spare_refused: int = field(default=0, init=False)
    _refused_said: Seldom = field(default_factory=lambda: Seldom(log.error), init=False)

    def __post_init__(self) -> None:
        self.feed = ActionsFeed(
            self.config,
            self.decider.acted,
            self.take_action,
            self.put_aside,
            lambda: self.parts.beat(PART),
            self.parts.mention,
        )

    @property
    def _evidence(self) -> TopicPartition:
        return TopicPartition(self.config.topics.evidence, 0)

    async def look_first(self, tp: TopicPartition) -> None:
        """Where a partition that was taken over is that of the evidence, see what JUDGE has told people.

        Raises:
            DriftflowError: the broker does not answer.
        """
        if tp == self._evidence:
            await asyncio.to_thread(self.outbox.told.look, self.partitions.told(tp))

    async def agent(self, stream: CompositeStream) -> None:
        """JUDGE: a few messages a pane."""
        async for event in stream.noack().events():
            tp = event.value.tp
            await self.ready.wait()
            while self.partitions.missing_models(tp):  # one that another worker has put in service
                await asyncio.sleep(_WAIT_S)
            async with self.turn():
                if is_current(event) and tp in self.partitions:
                    messages = event.value.partials()
                    for out in self._judged(messages):
                        await self._put(out)
                    self.partitions.took(tp, messages)
                    await self.outbox.put(Outputs(), tp, event)
                elif is_current(event) and self.partitions.is_spare(tp):
                    await self.outbox.put(self._spare(event.value), None, event)

    def _judged(self, messages: list[PartialMessage]) -> list[Outputs]:
        with self.meter.step("judge", len(messages)):
            outs = [self.steps.judge(self._evidence, messages, False)]
            if outs[0].unknown:
                self.decider.learn(surely=True)
                outs.append(self.steps.judge(self._evidence, messages, True))
        for offset, why in (refusal for out in outs for refusal in out.refused):
            self._refused_said(f"{self.config.topics.evidence}/0@{offset} is no evidence of ours: {why.detail}")
        return outs

    def _spare(self, chunk: Chunk) -> Outputs:
        """Dead letters of what came on a partition that none of ours writes to."""
        self._spare_refused += len(chunk)
        refusal, topic, number = Refusal(*_SPARE), chunk.tp.topic, chunk.tp.partition
        return Outputs([dead_letter(self.config, topic, number, row.offset, refusal, row.value) for row in chunk])

    async def judge_waiting(self) -> None:
        """Judge panes whose models have come meanwhile; called within a turn."""
        state = self.pipeline.judge_state
        if state is not None and state.due() and not self.pipeline.missing_for_judge():
            await self._put(self.steps.judge(self._evidence))

    async def _put(self, out: Outputs) -> None:
        """Send what JUDGE says; which model is in service is written down before."""
        self.decider.serve(out.changes)
        await self.outbox.put(out, self._evidence)

    async def follow_actions(self) -> None:
        """Follow what people say for as long as JUDGE is here, and wait until it is."""
        while True:
            self.parts.beat(PART)
            if self.decider.acted() is not None:
                await self.feed.run()
            await asyncio.sleep(_WAIT_S)

    async def take_action(self, offset: int, action: Action) -> bool:
        """Take in what a person has said, as soon as what may have been judged before is behind; whether JUDGE is
        still here."""
        await self._wait_for_models(action)
        while True:
            async with self.turn():
                if self.pipeline.judge_state is None:
                    return False
                if self.decider.may_act():
                    await self._put(self.decider.act(offset, action))
                    return True
            self.parts.beat(PART)
            await asyncio.sleep(_WAIT_S)

    async def _wait_for_models(self, action: Action) -> None:
        """Until there is a model; and for a moment for the one that a person names, whose notice may be on its way."""
        while not self.ready.is_set():
            self.parts.beat(PART)
            await asyncio.sleep(_WAIT_S)
        began_s = time.monotonic()
        while self.decider.refused(action) and time.monotonic() - began_s < NOTICE_S:
            self.parts.beat(PART)
            await asyncio.sleep(_WAIT_S)

    async def put_aside(self, letter: Outgoing, reports: Reports) -> None:
        """Send the dead letter of an action that was refused; the checkpoint after it notes that it was reported."""
        async with self.turn():
            await self.outbox.put(Outputs([letter]), None, reports)

    def taken(self) -> dict[str, int]:
        """Messages that were of use, by topic."""
        state = self.pipeline.judge_state
        return {"evidence": state.taken if state else 0, "actions": self.feed.taken}

    def refused(self) -> dict[str, int]:
        """Messages that were not, by topic."""
        state = self.pipeline.judge_state
        return {"evidence": self._spare_refused + (state.refused if state else 0), "actions": self.feed.refused}

    @property
    def judged_ms(self) -> int | None:
        """Panes that end at or before it are judged; None where JUDGE is not here."""
        return self.pipeline.judge_state.final_ms if self.pipeline.judge_state is not None else None
