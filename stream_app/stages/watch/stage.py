"""WATCH: one step over consecutive messages of a partials partition.

    block ─► pending        marker ─► which panes have all source partitions closed?
                                        └─► merge blocks ─► rolling windows ─► evidence ─► what is above the floor,
                                                                  └─► points               and a marker, to JUDGE

Panes become final in order and slices in sorted order, so what comes out is a function of what arrived, not of how the
source partitions interleaved. Each pane that is final and was gone through, or that a source partition has closed by a
marker of its own, has one marker; the others held nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from flowlib.reference.reference import QUIET_PANES_MAX
from schemas.codecs import Partial
from schemas.intake import Refusal, take_in
from schemas.records import PaneBlock
from stream_app.config import Config
from stream_app.stages.batches import PartialMessage
from stream_app.stages.dead_letters import dead_letter
from stream_app.stages.decisions import Joined, PassedOver
from stream_app.stages.detection.pane_statistic import make_ready
from stream_app.stages.layout import layout_of
from stream_app.stages.outputs import Outputs
from stream_app.stages.watch.checking import Known, PartialChecker
from stream_app.stages.watch.finals import FinalPanes
from stream_app.stages.watch.judging import References
from stream_app.stages.watch.state import WatchState

QUIET_SLICE_PANES_MAX = 500_000
"""Of many slices fewer panes: all that a gap asks for happens in one step, and must not take minutes."""

_TOGETHER_BYTES = 256 * 1024
"""Messages that are read together have no more, but for one."""


class WatchStage:
    """Runs WATCH for the partials partitions of a stream. It holds the configuration; states are handed in."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._layout, self._pane_ms = layout_of(config), int(config.windows.pane)
        self._checker = PartialChecker(config, self._layout)
        make_ready(config)

    def step(
        self,
        state: WatchState,
        partition: int,
        partials: Sequence[PartialMessage],
        known: Known,
        slice_panes_max: int | None = None,
    ) -> Outputs:
        """Process consecutive messages of a partials partition, each marker with the panes that it completes.

        Where a pane that is complete was scored by a model which is not here yet, or the step has gone through as many
        panes as it may (``Outputs.unfinished``), the messages after it are not taken: ``state.next_offset`` says how
        far the step came. Hand in the same messages once the model is here, or at once.

        Args:
            state: the partition's state; changed in place.
            partition: number of the partials partition.
            partials: messages, offsets ascending; those below ``state.next_offset`` are skipped. One that is not of
                this stream or not of its shape is refused: it is counted, and becomes a dead letter.
            known: the models, and whether one that names a model or a source partition of which no decision is known
                is refused; where it is not, the step stops before it and sets ``Outputs.unknown``.
            slice_panes_max: after so many panes of a slice the step stops; None for no bound. What comes of the
                messages does not depend on it.
        """
        out = Outputs()
        finals = FinalPanes(self.config, self._layout, state, partition, known.references, out, slice_panes_max)
        partials = [message for message in partials if message.offset >= state.next_offset]
        waits = not self._finalise(state, finals, known.references)
        for message, partial in self._taken(partials, partition):
            if waits:
                break
            stranger = "" if isinstance(partial, Refusal) else self._checker.stranger(partial, state.closed_ms, known)
            if stranger and not known.informed:
                out.unknown = True
                break
            state.next_offset = message.offset + 1
            if stranger:
                partial = Refusal("not_accepted", "", stranger)
            if isinstance(partial, Refusal):
                self._refuse(state, partition, message, partial, out)
                continue
            state.taken += 1
            if isinstance(partial, PaneBlock):
                self._keep(state, partial)
            elif state.mark(partial):
                waits = not self._finalise(state, finals, known.references)
        finals.finish()
        out.unfinished = waits and finals.full
        return out

    def _taken(
        self, messages: Sequence[PartialMessage], partition: int
    ) -> Iterator[tuple[PartialMessage, Partial | Refusal]]:
        """The messages with what they hold, read some at a time: where the step stops few were read for nothing."""
        first, size = 0, 0
        for k, message in enumerate(messages):
            size += len(message.value or b"")
            if size > _TOGETHER_BYTES and first < k:
                yield from zip(messages[first:k], self._take_in(messages[first:k], partition), strict=True)
                first, size = k, len(message.value or b"")
        yield from zip(messages[first:], self._take_in(messages[first:], partition), strict=True)

    def _take_in(self, messages: Sequence[PartialMessage], partition: int) -> list[Partial | Refusal]:
        width, stream = self.config.topics.partitions, self.config.stream
        stray = f"slices are spread over {width} partials partitions from 0 on" if partition >= width else ""
        taken = [
            cast(Partial | Refusal, take_in("partials", stream, message.value, message.headers)) for message in messages
        ]
        partials = [partial for partial in taken if not isinstance(partial, Refusal)]
        faults = iter([stray] * len(partials) if stray else self._checker.faults(partials))
        return [
            partial
            if isinstance(partial, Refusal) or not (fault := next(faults))
            else Refusal("not_accepted", "", fault)
            for partial in taken
        ]

    def _refuse(
        self, state: WatchState, partition: int, message: PartialMessage, refusal: Refusal, out: Outputs
    ) -> None:
        state.refused += 1
        out.refused.append((message.offset, refusal))
        topic = self.config.topics.partials
        out.messages.append(dead_letter(self.config, topic, partition, message.offset, refusal, message.value))

    def _keep(self, state: WatchState, block: PaneBlock) -> None:
        """One sent twice is one block. After its marker none is due: what comes then has come before, or comes too
        late.
        """
        done_ms = max(state.closed_ms.get(block.partition, 0), state.final_ms)
        passed_over = state.passed_over.get(block.partition, ())
        if block.pane_end_ms <= done_ms or any(start <= block.pane_start_ms < end for start, end in passed_over):
            state.late_blocks += 1
        else:
            state.pending.setdefault(block.pane_start_ms, {})[block.partition, block.index] = block

    def follow(self, state: WatchState, decision: PassedOver | Joined) -> None:
        """Let a decision about a partials partition take effect."""
        if isinstance(decision, PassedOver):
            self.pass_over(state, decision.partition, decision.from_ms, decision.to_ms)
        else:
            state.join(decision.partition)
            if decision.from_ms > 0:
                self.pass_over(state, decision.partition, 0, decision.from_ms)

    def pass_over(self, state: WatchState, partition: int, from_ms: int, to_ms: int) -> None:
        """Decision: no longer wait for the panes of a source partition in ``[from_ms, to_ms)``."""
        joined: list[tuple[int, int]] = []
        for start, end in sorted([*state.passed_over.get(partition, []), (from_ms, to_ms)]):
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        state.passed_over[partition] = joined
        # Blocks that are here already go too: where the decision stood in the stream must not matter in a replay.
        for pane_start in [start for start in state.pending if from_ms <= start < to_ms]:
            blocks = state.pending.pop(pane_start)
            others = {key: block for key, block in blocks.items() if key[0] != partition}
            state.late_blocks += len(blocks) - len(others)
            if others:
                state.pending[pane_start] = others

    def is_settled(self, state: WatchState) -> bool:
        """Whether no pane waits that every source partition has closed: for a model, or because it was too much."""
        return next(self._due(state, self._closed_ms(state)), None) is None

    def _closed_ms(self, state: WatchState) -> int:
        return min((state.reached_ms(source) for source in state.closed_ms), default=0)

    def _finalise(self, state: WatchState, finals: FinalPanes, references: References) -> bool:
        """Finalise every pane that all source partitions have closed or been passed over in, oldest first. False where
        one was scored by a model that is not here yet, or is too many: it waits, and those after it.
        """
        closed_ms = self._closed_ms(state)
        for start, gone_through in self._due(state, closed_ms):
            end = start + self._pane_ms
            blocks = [block for _, block in sorted(state.pending.get(start, {}).items())]
            if finals.full or not references.keys() >= {*(block.model_id for block in blocks), *state.models()}:
                return False
            state.pending.pop(start, None)
            markers = state.take_markers(start, end)
            if gone_through:
                finals.add(start, blocks, markers)
            else:
                finals.skip(start, markers)
            state.final_ms = end
            state.busy_ms = end if blocks else state.busy_ms
        state.final_ms = max(state.final_ms, closed_ms)
        state.ends = {end for end in state.ends if end > closed_ms}
        return True

    def _due(self, state: WatchState, closed_ms: int) -> Iterator[tuple[int, bool]]:
        """Starts of the panes up to a time: those with blocks, and after the first of them those without, in which
        slices are silent; of a gap only the first, in however many steps. Of the others only those that end where a
        source partition has closed one; False beside them.
        """
        pane_ms, done_ms, busy_ms = self._pane_ms, state.final_ms, state.busy_ms
        ends = sorted(end for end in state.ends if done_ms < end <= closed_ms)
        for start in [*sorted(start for start in state.pending if start + pane_ms <= closed_ms), closed_ms]:
            # Only now, when the pane before is final, it is known how many slices are silent.
            while busy_ms and done_ms < min(start, busy_ms + _quiet_panes(state) * pane_ms):
                yield done_ms, True
                done_ms += pane_ms
            yield from ((end - pane_ms, False) for end in ends if done_ms < end <= start)
            if start < closed_ms:
                yield start, True
                done_ms = busy_ms = start + pane_ms


def _quiet_panes(state: WatchState) -> int:
    """Panes of a gap that are gone through."""
    slices = sum(len(windows.index) for windows in state.windows.values())
    return min(QUIET_PANES_MAX, max(QUIET_SLICE_PANES_MAX // max(slices, 1), 1))
