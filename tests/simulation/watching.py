"""Looks at every step of SCORE while a run lasts: what must hold at every row holds after every batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.stages.batches import RawBatch
from stream_app.stages.outputs import Outputs
from stream_app.stages.pipeline import Pipeline
from stream_app.stages.score.runs import HELD_MAX
from stream_app.stages.score.state import COUNTERS, ScoreState

if TYPE_CHECKING:
    from tests.simulation.world import World


class Watching:
    """Checks the state of a source partition before and after each step.

    Attributes:
        steps: of SCORE, in all workers.
    """

    def __init__(self, world: World) -> None:
        self._world, self.steps = world, 0

    def watch(self, pipeline: Pipeline) -> None:
        """From now on."""
        score = pipeline.score

        def watched(raw: RawBatch) -> Outputs:
            state = pipeline.score_states[raw.partition]
            before = _times(state)
            out = score(raw)
            self._look(state, before)
            self.steps += 1
            return out

        pipeline.score = watched  # type: ignore[method-assign]

    def _look(self, state: ScoreState, before: tuple[int, ...]) -> None:
        blame, counters = self._world.blame, state.counters
        if counters["received"] != sum(counters[name] for name in COUNTERS if name != "received"):
            blame("conservation", f"{counters}")
        if any(now < then for now, then in zip(_times(state), before, strict=True)):
            blame("watermark", f"next offset, clock and closed panes were {before}, and are {_times(state)}")
        if min(state.panes, default=state.timing.closed_ms) < state.timing.closed_ms:
            blame("closed panes", f"pane {min(state.panes)} is open, and closed up to {state.timing.closed_ms}")
        most = self._world.config.windows.max_open_panes
        # Late rows are counted in the oldest pane there may be, which need not be one that an event has reached.
        if len(state.panes) > most + 1 or len(state.timing.held) > HELD_MAX:
            blame("bounds", f"{len(state.panes)} panes of {most}, {len(state.timing.held)} held of {HELD_MAX}")


def _times(state: Any) -> tuple[int, int, int]:
    return state.next_offset, state.timing.clock_ms, state.timing.closed_ms
