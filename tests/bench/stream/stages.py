"""Where the time of the stages goes: processor time an event by part, all of them in one process, without a broker.

Times are exclusive: what a part calls that is a part itself counts there.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest import mock

import numpy as np

from stream_app.models.loading import scored_by
from stream_app.models.registry import Registry
from stream_app.offline.replay import BATCH_ROWS, LocalRun
from stream_app.stages.batches import Bodies, RawBatch
from tests.bench.stream.world import World

PARTS = {
    "decode": "stream_app.stages.score.decoding.Decoder.decode",
    "screen": "stream_app.stages.score.stage.screen",
    "admit": "stream_app.stages.score.admission.Admission.seat",
    "score": "stream_app.stages.score.stage.score_events",
    "flow": "flowlib.engines.base.Engine.__call__",
    "blame": "stream_app.stages.score.stage.blame_flagged",
    "tell": "stream_app.stages.score.telling.Teller.tell",
    "panes": "stream_app.stages.score.stage.fill_panes",
    "partials": "stream_app.stages.score.stage.partials",
    "score, the rest": "stream_app.stages.score.stage.ScoreStage.step",
    "watch": "stream_app.stages.watch.stage.WatchStage.step",
    "judge": "stream_app.stages.judge.stage.JudgeStage.step",
}
"""What is timed."""

EVENTS = 300_000
WARM = 0.2
"""Share of the events that come before anything is timed."""


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Microseconds an event of each part, by case."""
    return {
        f"d {d}, {slices} slices": _case(
            World(folder / f"stages-{d}-{slices}", "127.0.0.1:1", "events", d, slices, 1, EVENTS)
        )
        for d in (8, 32)
        for slices in (12, 10_000)
    }


def _case(world: World) -> dict[str, float]:
    world.train()
    config, bodies = world.config, list(world.bodies())
    run, warm = LocalRun(config), int(EVENTS * WARM) // BATCH_ROWS * BATCH_ROWS
    density = Registry(config).current()
    assert density is not None
    run.pipeline.models.add(scored_by(config, density))
    run.start(density.model_id)
    _feed(run, bodies, 0, warm)
    with _timed() as clock:
        _feed(run, bodies, warm, len(bodies))
    return {part: round(clock.seconds[part] / (len(bodies) - warm) * 1e6, 3) for part in PARTS}


def _feed(run: LocalRun, bodies: list[bytes], first: int, last: int) -> None:
    for a in range(first, last, BATCH_ROWS):
        values = Bodies.of(bodies[a : min(a + BATCH_ROWS, last)])
        run.feed(RawBatch(run.config.topics.events, 0, np.arange(a, a + len(values), dtype=np.int64), values))
        for sent in run.sent.values():
            sent.clear()


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = time.thread_time()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._turn(part)
            try:
                return function(*args, **kwargs)
            finally:
                self._turn(None)

        return call

    def _turn(self, part: str | None) -> None:
        now = time.thread_time()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now
        if part is None:
            self._running.pop()
        else:
            self._running.append(part)


@contextmanager
def _timed() -> Iterator[_Clock]:
    clock = _Clock()
    with ExitStack() as patched:
        for part, path in PARTS.items():
            owner, name = resolve_name(path.rsplit(".", 1)[0]), path.rsplit(".", 1)[1]
            patched.enter_context(mock.patch.object(owner, name, clock.timed(part, getattr(owner, name))))
        yield clock
