"""WATCH: one step over one partial (a block or a marker) of a partials partition.

    block ─► pending        marker ─► which panes have all source partitions closed?
                                        └─► merge blocks ─► rolling windows ─► detectors ─► verdicts ─► policy ─► alerts
                                                                  └─► points                              └─► retrain request

Panes become final in order and slices in sorted order, so what comes out is a function of what arrived, not of how the
source partitions interleaved.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from schemas.codecs import DecodeError
from schemas.pane_layout import PaneLayout
from schemas.records import PaneBlock, PaneClosed
from stream_app.config import Config
from stream_app.stages.judge.retraining import OffsetMarks
from stream_app.stages.outputs import Outputs
from stream_app.stages.points import alert_point, retrain_point
from stream_app.stages.watch import messages
from stream_app.stages.watch.detectors import PaneView, Reference
from stream_app.stages.watch.judging import ring_of, verdicts
from stream_app.stages.watch.merging import SlicingPane, kept_names, merge_blocks
from stream_app.stages.watch.state import WatchState


class WatchStage:
    """Runs WATCH for the partials partitions of a stream. It holds the configuration; states are handed in.

    ``references`` of its methods says what is normal under each model, by model id: every model of ``state.pending_models()``
    must be among them.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._layout = PaneLayout(len(config.event.numeric))

    def step(
        self, state: WatchState, partition: int, partial: PaneBlock | PaneClosed, references: Mapping[str, Reference]
    ) -> Outputs:
        """Process a message of a partials partition.

        Args:
            state: the partition's state; changed in place.
            partition: number of the partials partition.
            partial: a block is kept, one sent twice is one block; a marker finalises the panes that it completes.
            references: see the class.

        Raises:
            DecodeError: a block that does not belong to this stream or is not of its shape.
        """
        if isinstance(partial, PaneBlock):
            self._take_block(state, partial)
            return Outputs()
        source = partial.partition
        state.closed_ms[source] = max(state.closed_ms.get(source, 0), partial.pane_end_ms)
        state.offset_marks.setdefault(source, OffsetMarks()).add(partial.pane_end_ms, partial.offset_end)
        return self.finalise(state, partition, references)

    def _take_block(self, state: WatchState, block: PaneBlock) -> None:
        if block.stream != self.config.stream or block.slicing not in state.windows:
            raise DecodeError(f"a block of stream {block.stream!r}, slicing {block.slicing!r}: not one of ours")
        try:
            self._layout.decode(block.columns, len(block.slices))
        except ValueError as error:
            raise DecodeError(f"a block of pane {block.pane_start_ms}: {error}") from None
        if block.pane_start_ms < state.final_ms or state.is_passed_over(block.partition, block.pane_start_ms):
            state.late_blocks += 1
            return
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

    def finalise(self, state: WatchState, partition: int, references: Mapping[str, Reference]) -> Outputs:
        """Finalise every pane that all source partitions have closed or been passed over in."""
        out = Outputs()
        closed_ms = min((state.reached_ms(source) for source in state.closed_ms), default=0)
        pane_ms = int(self.config.windows.pane)
        for start in sorted(start for start in state.pending if start + pane_ms <= closed_ms):
            self._finalise_pane(state, partition, start, references, out)
        state.final_ms = max(state.final_ms, closed_ms)
        return out

    def _finalise_pane(
        self, state: WatchState, partition: int, start: int, references: Mapping[str, Reference], out: Outputs
    ) -> None:
        end = start + int(self.config.windows.pane)
        blocks = [block for _, block in sorted(state.pending.pop(start).items())]
        for slicing in self.config.slicing_names:
            own = [block for block in blocks if block.slicing == slicing]
            if own:
                kept = kept_names(own, state.windows[slicing].index, self.config.windows.max_slices)
                pane = SlicingPane(slicing, start, end, *merge_blocks(self._layout, own, kept))
                self._judge_pane(state, partition, pane, references, out)
        self._ask(state, partition, end, out)
        for marks in state.offset_marks.values():
            marks.thin(end)

    def _judge_pane(
        self, state: WatchState, partition: int, pane: SlicingPane, references: Mapping[str, Reference], out: Outputs
    ) -> None:
        """Enter a pane into the rolling windows and let every rule of its slicing look at it."""
        windows = state.windows[pane.slicing]
        index, fresh = windows.enter(pane, self._layout)
        state.service = min(set(pane.models), key=lambda model: (-pane.models.count(model), model))
        order = np.argsort(index, kind="stable")  # detectors see slices in the order in which they first came
        pane, index, fresh = pane.take(order), index[order], fresh[order]
        chosen = [references[model] for model in pane.models]
        out.points += messages.window_points(self.config, self._layout, pane, index, chosen, windows)
        for rule, slicing in state.detectors:
            if slicing == pane.slicing:
                total = ring_of(self.config, rule, windows).total[index]
                view = PaneView(pane.start_ms, pane.end_ms, index, pane.rows, total, fresh, chosen)
                self._judge_rule(state, partition, rule, pane, view, out)

    def _judge_rule(
        self, state: WatchState, partition: int, rule: str, pane: SlicingPane, view: PaneView, out: Outputs
    ) -> None:
        for verdict in verdicts(self.config, rule, state.detectors[rule, pane.slicing], pane, view):
            alert = state.policy.judge(verdict)
            if alert is not None:
                out.messages.append(messages.alert_message(self.config, partition, alert))
                out.points.append(alert_point(alert))

    def _ask(self, state: WatchState, partition: int, end: int, out: Outputs) -> None:
        alerts = state.policy.open_alerts(state.retraining.rules)
        if alerts:
            request = state.retraining.ask(end, alerts, state.service, state.offset_marks)
            if request is not None:
                out.messages.append(messages.request_message(self.config, partition, request))
                out.points.append(retrain_point(request))
