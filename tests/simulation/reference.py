"""The same events and the same decisions, with nothing going wrong: what a run has to have said."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from stream_app.config import Config
from stream_app.stages.batches import RawBatch
from stream_app.stages.decisions import Decision
from stream_app.stages.outputs import Outgoing, Outputs, Points
from stream_app.stages.pipeline import Pipeline
from tests.simulation.cast import MODELS, SOURCES, WIDTH, cast
from tests.simulation.producing import Segment
from tests.stages.streams import partials_of


@dataclass
class Reference:
    """Attributes:
    messages: by role and partition, then by who sent them (source partition, partials partition, 0), in order.
    points: in order.
    pipeline: as it stands at the end.
    """

    pipeline: Pipeline
    messages: dict[tuple[str, int], dict[int, list[Outgoing]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    points: Points = field(default_factory=Points)

    def take(self, sender: int, out: Outputs) -> None:
        """Keep what comes of a step."""
        self.points += out.points
        for message in out.messages:
            self.messages[message.role, message.partition][sender].append(message)

    def sent(self, role: str, partition: int) -> list[Outgoing]:
        """All that went to a partition, sender by sender."""
        return [message for _, messages in sorted(self.messages[role, partition].items()) for message in messages]


def reference(config: Config, decisions: list[Decision], segments: list[list[Segment]]) -> Reference:
    """Run the stages one after the other, each with all that there is."""
    pipeline = Pipeline(config, SOURCES, decisions, make_decisions=False)
    for model in cast().models.values():
        pipeline.models.add(model)
    made = Reference(pipeline)
    for partition in range(len(segments)):
        pipeline.open_score(partition)
        if first := pipeline.decide_activation(partition, MODELS[0]):  # none was written down
            pipeline.apply(first)
        for segment in segments[partition]:
            if segment.anew:
                pipeline.score_states[partition].next_offset = 0
            offsets = np.arange(segment.first, segment.first + len(segment.values), dtype=np.int64)
            made.take(partition, pipeline.score(RawBatch(config.topics.events, partition, offsets, segment.values)))
    for partition in range(WIDTH):
        pipeline.open_watch(partition)
        made.take(partition, pipeline.watch(partition, partials_of(made.sent("partials", partition))))
    pipeline.open_judge()
    made.take(0, pipeline.judge(partials_of(made.sent("evidence", 0))))
    return made
