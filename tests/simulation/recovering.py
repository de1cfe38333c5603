"""What a worker would have that were started when all is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stream_app.kafka.types import TopicPartition
from stream_app.stages.batches import RawBatch
from stream_app.stages.outputs import Outputs
from stream_app.stages.pipeline import Pipeline
from stream_app.worker.partitions import Partitions
from stream_app.worker.state import StateStore
from stream_app.worker.steps import Steps
from tests.simulation.cast import SOURCES, cast
from tests.stages.streams import partials_of

if TYPE_CHECKING:
    from tests.simulation.world import World


def recovered(world: World, store: StateStore) -> Pipeline:
    """Every partition as it is kept, and what was taken in since taken in again: nothing new comes of it."""
    pipeline = Pipeline(world.config, SOURCES, store.decisions())
    for model in cast().models.values():
        pipeline.models.add(model)
    partitions = Partitions(world.config, store, pipeline)
    steps = Steps(pipeline, partitions)
    for topic in world.group.topics:
        for tp in world.broker.partitions(topic):
            partitions.open(tp)
            if partitions.replays(tp):
                _blame_news(world, tp, _read_again(world, tp, steps, partitions.next_offset(tp) or 0))
    for tp, out in steps.catch_up():
        _blame_news(world, tp, out)
    return pipeline


def _read_again(world: World, tp: TopicPartition, steps: Steps, first: int) -> Outputs:
    records = world.broker.logs[tp].records[first:]
    if tp.topic == world.config.topics.events:
        offsets = np.array([record.offset for record in records], dtype=np.int64)
        return steps.score(tp, RawBatch(*tp, offsets, [record.value for record in records]))
    partials = partials_of(records, first)  # type: ignore[arg-type]
    return steps.watch(tp, partials, True) if tp.topic == world.config.topics.partials else steps.judge(tp, partials)


def _blame_news(world: World, tp: TopicPartition, out: Outputs) -> None:
    if out.messages or out.points:
        world.blame("recovery", f"{tp.topic}/{tp.partition}: {len(out.messages)} messages come of what was done with")
