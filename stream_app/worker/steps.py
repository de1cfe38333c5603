"""The steps of the stages in a worker, replayed ones among them.

A partition that was taken over may be behind what had come of its input: up to there it is *replayed*, step by step as
ever, and what comes of it is left out, because it was sent (:mod:`stream_app.worker.heads`). A batch that begins before
and ends behind that place is cut there: results do not depend on batches. Decisions that were not followed by then are
followed there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from stream_app.kafka.types import TopicPartition
from stream_app.stages.batches import PartialMessage, RawBatch
from stream_app.stages.outputs import Outputs
from stream_app.stages.pipeline import Pipeline
from stream_app.worker.budget import EVENT_BYTES
from stream_app.worker.partitions import Partitions


class Steps:
    """The stages of a pipeline, for the partitions that are open.

    Args:
        pipeline: the states.
        partitions: which of them are behind what was sent.
    """

    def __init__(self, pipeline: Pipeline, partitions: Partitions) -> None:
        self._pipeline, self._partitions = pipeline, partitions

    def score(self, tp: TopicPartition, raw: RawBatch) -> Outputs:
        """:meth:`Pipeline.score`; what is to be sent."""
        done = self._partitions.replays_until(tp)
        new = int(np.searchsorted(raw.offsets, done or 0))
        self._partitions.earn(tp, EVENT_BYTES * len(raw))
        if done is not None:
            self._pipeline.score(RawBatch(raw.topic, raw.partition, raw.offsets[:new], raw.values[:new]))
            if not self._partitions.end_replay(tp, new < len(raw)):
                return Outputs()
        self._partitions.taken += len(raw) - new
        return self._pipeline.score(raw)

    def watch(
        self, tp: TopicPartition, partials: Sequence[PartialMessage], informed: bool, slice_panes_max: int | None = None
    ) -> Outputs:
        """:meth:`Pipeline.watch`; what is to be sent."""
        return self._step(
            tp,
            partials,
            lambda messages: self._pipeline.watch(tp.partition, messages, informed, slice_panes_max),
            lambda decided: self._pipeline.follow_watch(tp.partition, decided),
        )

    def judge(self, tp: TopicPartition, messages: Sequence[PartialMessage] = (), informed: bool = True) -> Outputs:
        """:meth:`Pipeline.judge`; what is to be sent."""
        return self._step(
            tp, messages, lambda messages: self._pipeline.judge(messages, informed), self._pipeline.follow_judge
        )

    def _step(
        self,
        tp: TopicPartition,
        messages: Sequence[PartialMessage],
        run: Callable[[Sequence[PartialMessage]], Outputs],
        follow: Callable[[int], Outputs],
    ) -> Outputs:
        done = self._partitions.replays_until(tp)
        if done is None:
            return run(messages)
        before = [message for message in messages if message.offset < done]
        replayed = run(before)
        beyond = len(before) < len(messages)
        if replayed.unknown or not self._partitions.end_replay(tp, beyond):
            return Outputs(unknown=replayed.unknown, unfinished=replayed.unfinished)
        followed, out = follow(self._partitions.decided(tp)), run(messages)
        out.messages[:0], out.points = followed.messages, followed.points + out.points
        out.changes[:0] = followed.changes
        return out

    def catch_up(self) -> list[tuple[TopicPartition, Outputs]]:
        """What is to be sent of the partitions that have reached the place with their last message, or were moved
        there.
        """
        outs = []
        for tp in self._partitions.replaying():
            stage = self._partitions.stage_of(tp)
            if self._partitions.missing_models(tp):
                continue
            if stage == "watch":
                outs.append((tp, self.watch(tp, (), True)))
            elif stage == "judge":
                outs.append((tp, self.judge(tp)))
        return outs
