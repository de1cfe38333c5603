"""WATCH: one step over consecutive messages of a partials partition.

    block ─► pending        marker ─► which panes have all source partitions closed?
                                        └─► merge blocks ─► rolling windows ─► detectors ─► verdicts ─► policy ─► alerts
                                                                  └─► points                              └─► retrain
                                                                  request

Panes become final in order and slices in sorted order, so what comes out is a function of what arrived, not of how the
source partitions interleaved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from schemas.codecs import DecodeError, Partial, decode_partials
from schemas.pane_layout import PaneLayout
from schemas.records import PaneBlock
from stream_app.config import Config
from stream_app.stages.batches import PartialMessage
from stream_app.stages.judge.retraining import OffsetMarks, thin
from stream_app.stages.outputs import Outputs
from stream_app.stages.points import alert_points, retrain_point
from stream_app.stages.watch import messages
from stream_app.stages.watch.detectors import PaneView, Reference
from stream_app.stages.watch.judging import ring_of, verdicts
from stream_app.stages.watch.merging import SlicingPane, kept_names, merge_blocks
from stream_app.stages.watch.state import WatchState


class WatchStage:
    """Runs WATCH for the partials partitions of a stream. It holds the configuration; states are handed in."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._layout = PaneLayout(len(config.event.numeric))
        self._slicings = config.slicing_names
        self._sizes = {name: 8 * width for name, width in self._layout.shapes.items()}

    def step(
        self, state: WatchState, partition: int, partials: Sequence[PartialMessage], references: Mapping[str, Reference]
    ) -> Outputs:
        """Process consecutive messages of a partials partition, then finalise the panes that they complete.

        Args:
            state: the partition's state; changed in place.
            partition: number of the partials partition.
            partials: messages, offsets ascending; those below ``state.next_offset`` are skipped. One that is not of
                this stream or not of its shape is refused.
            references: what is normal under each model that is here, by model id.
        """
        out = Outputs()
        partials = [message for message in partials if message.offset >= state.next_offset]
        marks: dict[int, list[tuple[int, int]]] = {}
        decoded = decode_partials([(message.value, message.headers) for message in partials])
        for message, partial in zip(partials, decoded, strict=True):
            why = str(partial) if isinstance(partial, DecodeError) else self._fault(partial)
            if why:
                out.refused.append((message.offset, why))
            elif isinstance(partial, PaneBlock):
                self._keep(state, partial)
            elif not isinstance(partial, DecodeError):
                closed_ms = state.closed_ms.get(partial.partition, 0)
                state.closed_ms[partial.partition] = max(closed_ms, partial.pane_end_ms)
                marks.setdefault(partial.partition, []).append((partial.pane_end_ms, partial.offset_end))
        for source, ends in marks.items():
            state.offset_marks.setdefault(source, OffsetMarks()).add(ends)
        if partials:
            state.next_offset = partials[-1].offset + 1
        self.finalise(state, partition, references, out)
        return out

    def _fault(self, partial: Partial) -> str:
        """What is wrong with a partial, or ""."""
        if partial.stream != self.config.stream:
            return f"it is of stream {partial.stream!r}, not {self.config.stream!r}"
        if not isinstance(partial, PaneBlock):
            return ""
        if partial.slicing not in self._slicings:
            return f"slicing {partial.slicing!r} is not one of {', '.join(self._slicings)}"
        for name, size in self._sizes.items():
            length = len(partial.columns.get(name, b""))
            if length != size * len(partial.slices):
                return f"column {name!r} of a block has {length} bytes, {size * len(partial.slices)} are expected"
        return ""

    def _keep(self, state: WatchState, block: PaneBlock) -> None:
        """One sent twice is one block. After its marker none is due: what comes then has come before, or too late."""
        done_ms = max(state.closed_ms.get(block.partition, 0), state.final_ms)
        passed_over = state.passed_over.get(block.partition, ())
        if block.pane_end_ms <= done_ms or any(start <= block.pane_start_ms < end for start, end in passed_over):
            state.late_blocks += 1
        else:
            state.pending.setdefault(block.pane_start_ms, {})[block.partition, block.index] = block

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

    def finalise(self, state: WatchState, partition: int, references: Mapping[str, Reference], out: Outputs) -> None:
        """Finalise every pane that all source partitions have closed or been passed over in, oldest first; up to the
        first one that was scored by a model which is not here yet.
        """
        closed_ms = min((state.reached_ms(source) for source in state.closed_ms), default=0)
        pane_ms = int(self.config.windows.pane)
        for start in sorted(start for start in state.pending if start + pane_ms <= closed_ms):
            blocks = state.pending[start]
            if any(block.model_id not in references for block in blocks.values()):
                return
            del state.pending[start]
            self._finalise_pane(
                state, partition, start, [block for _, block in sorted(blocks.items())], references, out
            )
            state.final_ms = max(state.final_ms, start + pane_ms)
        state.final_ms = max(state.final_ms, closed_ms)

    def _finalise_pane(
        self,
        state: WatchState,
        partition: int,
        start: int,
        blocks: list[PaneBlock],
        references: Mapping[str, Reference],
        out: Outputs,
    ) -> None:
        end = start + int(self.config.windows.pane)
        for slicing in self._slicings:
            own = [block for block in blocks if block.slicing == slicing]
            if own:
                kept = kept_names(own, state.windows[slicing].index, self.config.windows.max_slices)
                pane = SlicingPane(slicing, start, end, *merge_blocks(self._layout, own, kept))
                self._judge_pane(state, partition, pane, references, out)
        self._ask(state, partition, end, out)
        thin(state.offset_marks.values(), end)

    def _judge_pane(
        self, state: WatchState, partition: int, pane: SlicingPane, references: Mapping[str, Reference], out: Outputs
    ) -> None:
        """Enter a pane into the rolling windows and let every rule of its slicing look at it."""
        rolling = state.windows[pane.slicing]
        index, fresh = rolling.enter(pane, self._layout)
        state.service = min(set(pane.models), key=lambda model: (-pane.models.count(model), model))
        order = np.argsort(index, kind="stable")  # detectors see slices in the order in which they first came
        pane, index, fresh = pane.take(order), index[order], fresh[order]
        chosen = [references[model] for model in pane.models]
        out.points += messages.windows(self.config, self._layout, pane, index, chosen, rolling)
        for (rule, slicing), detector in state.detectors.items():
            if slicing == pane.slicing:
                window = ring_of(self.config, rule, rolling).total[index]
                view = PaneView(pane.start_ms, pane.end_ms, index, pane.rows, window, fresh, chosen)
                alerts = state.policy.judge(verdicts(self.config, rule, detector, pane, view))
                if alerts:
                    out.messages += messages.alerts(self.config, partition, alerts)
                    out.points += alert_points(alerts)

    def _ask(self, state: WatchState, partition: int, end: int, out: Outputs) -> None:
        alerts = state.policy.open_alerts(state.retraining.rules)
        request = state.retraining.ask(end, alerts, state.service, state.offset_marks) if alerts else None
        if request is not None:
            out.messages += messages.request(self.config, partition, request)
            out.points.append(retrain_point(request))
