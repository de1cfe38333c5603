"""What a pipeline does for the partitions of each topic that a worker reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stream_app.config import Config
from stream_app.stages.decisions import actions_of, watched_of
from stream_app.stages.pipeline import Pipeline

Stage = Literal["score", "watch", "judge"]


@dataclass(frozen=True, slots=True)
class Role:
    """What a pipeline does for the partitions of one stage.

    Attributes:
        stage: which.
        name: what is kept of them is called, before the number.
        states: of those that are open.
        open, close, snapshot, missing, settled: of a partition.
        decided: how many decisions about a partition are known.
    """

    stage: Stage
    name: str
    states: Callable[[], Mapping[int, Any]]
    open: Callable[[int, bytes | None, int | None], None]
    close: Callable[[int], None]
    snapshot: Callable[[int], bytes]
    missing: Callable[[int], set[str]]
    settled: Callable[[int], bool]
    decided: Callable[[int], int]


def roles(config: Config, pipeline: Pipeline) -> dict[str, Role]:
    """Topic to the stage that takes it in. Of the evidence topic JUDGE has the one partition."""
    return {
        config.topics.events: Role(
            "score",
            "source",
            lambda: pipeline.score_states,
            lambda partition, snapshot, _: pipeline.open_score(partition, snapshot),
            pipeline.close_score,
            pipeline.snapshot_score,
            lambda partition: pipeline.missing_for_score(partition),
            lambda _: True,
            lambda _: 0,
        ),
        config.topics.partials: Role(
            "watch",
            "watch",
            lambda: pipeline.watch_states,
            pipeline.open_watch,
            pipeline.close_watch,
            pipeline.snapshot_watch,
            lambda partition: pipeline.missing_for_watch(partition),
            pipeline.is_watch_settled,
            lambda partition: len(watched_of(pipeline.decisions, partition)),
        ),
        config.topics.evidence: Role(
            "judge",
            "judge",
            lambda: {} if pipeline.judge_state is None else {0: pipeline.judge_state},
            lambda _, snapshot, decided: pipeline.open_judge(snapshot, decided),
            lambda _: pipeline.close_judge(),
            lambda _: pipeline.snapshot_judge(),
            lambda _: pipeline.missing_for_judge(),
            lambda _: pipeline.is_judge_settled(),
            lambda _: len(actions_of(pipeline.decisions)),
        ),
    }
