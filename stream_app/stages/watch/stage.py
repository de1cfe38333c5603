"""WATCH: one step over consecutive messages of a partials partition.

    block ─► pending        marker ─► which panes have all source partitions closed?
                                        └─► merge blocks ─► rolling windows ─► evidence ─► verdicts ─► policy ─► alerts
                                                                  └─► points                              └─► retrain
                                                                  request

Panes become final in order and slices in sorted order, so what comes out is a function of what arrived, not of how the
source partitions interleaved.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from flowlib.reference.reference import QUIET_PANES_MAX
from schemas.codecs import Partial
from schemas.intake import Refusal, take_in
from schemas.records import PaneBlock, PaneClosed
from stream_app.config import Config
from stream_app.stages.batches import PartialMessage
from stream_app.stages.dead_letters import dead_letter
from stream_app.stages.decisions import Joined, PassedOver
from stream_app.stages.judge.policy import TOGETHER
from stream_app.stages.judge.retraining import OffsetMarks, thin
from stream_app.stages.layout import layout_of
from stream_app.stages.outputs import Outputs
from stream_app.stages.points import alert_points, retrain_point
from stream_app.stages.watch import messages
from stream_app.stages.watch.checking import Known, PartialChecker
from stream_app.stages.watch.judging import References, verdicts
from stream_app.stages.watch.merging import SlicingPane, kept_names, merge_blocks
from stream_app.stages.watch.state import WatchState

QUIET_SLICE_PANES_MAX = 500_000
"""Of many slices fewer panes: all that a gap asks for happens in one step, and must not take minutes."""


class WatchStage:
    """Runs WATCH for the partials partitions of a stream. It holds the configuration; states are handed in."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._layout, self._pane_ms = layout_of(config), int(config.windows.pane)
        self._slicings = config.slicing_names
        self._checker = PartialChecker(config, self._layout)

    def step(self, state: WatchState, partition: int, partials: Sequence[PartialMessage], known: Known) -> Outputs:
        """Process consecutive messages of a partials partition, each marker with the panes that it completes.

        Where a pane that is complete was scored by a model which is not here yet, the messages after it are not taken:
        ``state.next_offset`` says how far the step came. Hand in the same messages once the model is here.

        Args:
            state: the partition's state; changed in place.
            partition: number of the partials partition.
            partials: messages, offsets ascending; those below ``state.next_offset`` are skipped. One that is not of
                this stream or not of its shape is refused: it is counted, and becomes a dead letter.
            known: the models, and whether one that names a model or a source partition of which no decision is known
                is refused; where it is not, the step stops before it and sets ``Outputs.unknown``.
        """
        out, references = Outputs(), known.references
        partials = [message for message in partials if message.offset >= state.next_offset]
        waits, marks = not self._finalise(state, partition, references, out), Marks(list)
        for message in partials:
            if waits:
                break
            partial = self._take_in(message, partition)
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
            else:
                marks[partial.partition].append((partial.pane_end_ms, partial.offset_end))
                if self._close(state, partial):
                    _add(state, marks)
                    waits = not self._finalise(state, partition, references, out)
        _add(state, marks)
        return out

    def _close(self, state: WatchState, marker: PaneClosed) -> bool:
        """Note how far a source partition has closed its panes; True where the others may have waited for it."""
        before_ms = state.closed_ms.get(marker.partition, 0)
        state.closed_ms[marker.partition] = max(before_ms, marker.pane_end_ms)
        return before_ms <= state.final_ms

    def _take_in(self, message: PartialMessage, partition: int) -> Partial | Refusal:
        partial = take_in("partials", self.config.stream, message.value, message.headers)
        if isinstance(partial, Refusal):
            return partial
        assert isinstance(partial, Partial)
        width = self.config.topics.partitions
        stray = f"slices are spread over {width} partials partitions from 0 on" if partition >= width else ""
        fault = stray or self._checker.fault(partial)
        return Refusal("not_accepted", "", fault) if fault else partial

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
            state.join(decision.partition, decision.from_ms)
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

    def _finalise(self, state: WatchState, partition: int, references: References, out: Outputs) -> bool:
        """Finalise every pane that all source partitions have closed or been passed over in, oldest first. False where
        one of them was scored by a model that is not here yet: it waits, and those after it.
        """
        closed_ms = min((state.reached_ms(source) for source in state.closed_ms), default=0)
        for start in self._due(state, closed_ms):
            blocks = [block for _, block in sorted(state.pending.get(start, {}).items())]
            if not references.keys() >= {*(block.model_id for block in blocks), *state.models()}:
                return False
            state.pending.pop(start, None)
            self._finalise_pane(state, partition, start, blocks, references, out)
            state.final_ms = start + self._pane_ms
            state.busy_ms = state.final_ms if blocks else state.busy_ms
        state.final_ms = max(state.final_ms, closed_ms)
        return True

    def _due(self, state: WatchState, closed_ms: int) -> Iterator[int]:
        """Starts of the panes up to a time: those with blocks, and after the first of them those without, in which
        slices are silent. Of a gap only the first are gone through, in however many steps.
        """
        pane_ms = self._pane_ms
        reached_ms, busy_ms = (state.final_ms, state.busy_ms) if state.busy_ms else (closed_ms, closed_ms)
        for start in [*sorted(start for start in state.pending if start + pane_ms <= closed_ms), closed_ms]:
            # Only now, when the pane before is final, it is known how many slices are silent.
            yield from range(reached_ms, min(start, busy_ms + _quiet_panes(state) * pane_ms), pane_ms)
            if start < closed_ms:
                yield start
            reached_ms = busy_ms = start + pane_ms

    def _finalise_pane(
        self,
        state: WatchState,
        partition: int,
        start: int,
        blocks: list[PaneBlock],
        references: References,
        out: Outputs,
    ) -> None:
        end = start + self._pane_ms
        for slicing in self._slicings:
            own = [block for block in blocks if block.slicing == slicing]
            known = state.windows[slicing].index
            if own or known:
                kept = kept_names(own, known, self.config.windows.max_slices)
                pane = merge_blocks(self._layout, slicing, start, end, own, kept)
                self._judge_pane(state, partition, pane, references, out)
        self._ask(state, partition, end, out)
        state.policy.forget(end)
        thin(state.offset_marks.values(), end)

    def _judge_pane(
        self, state: WatchState, partition: int, pane: SlicingPane, references: References, out: Outputs
    ) -> None:
        """Enter a pane into the rolling windows and let every rule of its slicing look at it."""
        rolling, known, config = state.windows[pane.slicing], state.known[pane.slicing], self.config
        index = rolling.enter(pane, self._layout)
        if pane.names:
            state.service = min(set(pane.models), key=lambda model: (-pane.models.count(model), model))
            notices = known.notices(config, pane, index, rolling, references)
            out.points += messages.windows(config, self._layout, pane, index, rolling, notices)
        parts, everywhere = known.parts(self._layout, pane, index, rolling, references)
        slices, several = len(rolling.index), len(rolling.index) > 1
        for (name, slicing), of_rule in state.rules.items():
            if slicing != pane.slicing:
                continue
            rule = config.rules[name]
            of_rule.update(parts, everywhere, slices, rule.together and several)
            pending = state.policy.pending(name, slicing, pane.end_ms)
            alerts = state.policy.judge(verdicts(name, rule, of_rule, pane, rolling, pending))
            if alerts:
                out.messages += messages.alerts(config, partition, alerts)
                out.points += alert_points(alerts)

    def _ask(self, state: WatchState, partition: int, end: int, out: Outputs) -> None:
        if not state.retraining.is_due(end):
            return
        start = end - self._pane_ms
        alerts = state.policy.open_alerts(
            state.retraining.rules,
            state.retraining.faults,
            lambda slicing, slice_: slice_ == TOGETHER or state.windows[slicing].has_events(slice_, start),
        )
        request = state.retraining.ask(end, alerts, state.service, state.marks_at(end)) if alerts else None
        if request is not None:
            out.messages += messages.request(self.config, partition, request)
            out.points.append(retrain_point(request, partition))


def _quiet_panes(state: WatchState) -> int:
    """Panes of a gap that are gone through."""
    slices = sum(len(windows.index) for windows in state.windows.values())
    return min(QUIET_PANES_MAX, max(QUIET_SLICE_PANES_MAX // max(slices, 1), 1))


Marks = defaultdict[int, list[tuple[int, int]]]
"""Source partition to the ``(pane_end_ms, offset_end)`` of its markers."""


def _add(state: WatchState, marks: Marks) -> None:
    """Move the marks of markers into the state."""
    for source, ends in marks.items():
        state.offset_marks.setdefault(source, OffsetMarks()).add(ends)
    marks.clear()
