"""WATCH: blocks and markers of one partials partition in; windows, alerts and retrain requests out.

A pane is final once every source partition has closed it. Panes are finalised in order and slices in sorted order, so
what comes out is a function of what arrived, not of how the sources interleaved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowlib.table import Ints
from schemas.codecs import DecodeError, decode_partial, encode_event, encode_partial
from schemas.pane_layout import Layout
from schemas.records import Alert, PaneBlock, PaneClosed, RetrainRequest, record_id
from stream_app.config import Config
from stream_app.stages import points
from stream_app.stages.batches import Outgoing, Outputs, Verdict, WindowUpdate
from stream_app.stages.judge.policy import Policy
from stream_app.stages.judge.retraining import Retraining, Source
from stream_app.stages.score.panes import OTHER
from stream_app.stages.watch.detectors import DETECTORS, Detector, PaneView, Reference
from stream_app.stages.watch.detectors.pit import distances
from stream_app.stages.watch.windows import Ring, SlicingWindows, span_name

PIT_POINTS_EVERY_MS = 86_400_000
"""PIT histograms go to the sink once a day and span: they are wide and move slowly."""


class Watcher:
    """State and step of one partials partition ``q``.

    Attributes:
        next_offset: messages below it are done with.
    """

    def __init__(self, config: Config, q: int, sources: int) -> None:
        self.config, self.q = config, q
        self.layout = Layout(len(config.event.numeric))
        self.next_offset = 0
        self.closed: dict[int, int] = dict.fromkeys(range(sources), 0)
        """Source partition to the time up to which it has closed its panes."""
        self.passed: dict[int, list[tuple[int, int]]] = {}
        """Decisions: panes of a source in ``[from, to)`` are not waited for, and their blocks are not taken."""
        self.final_ms = 0
        self.late_panes = 0
        self._service = ""
        self._pending: dict[int, dict[tuple[int, int], PaneBlock]] = {}
        self._sources: dict[int, Source] = {p: Source() for p in range(sources)}
        self._windows = {name: self._empty_windows() for name in config.slicing_names}
        self._detectors = self._make_detectors()
        self._policy = Policy(config.stream, config.rules)
        self._retraining = Retraining(config)

    def _empty_windows(self) -> SlicingWindows:
        pane = int(self.config.windows.pane)
        return SlicingWindows([Ring.empty(int(span), pane, self.layout.width) for span in self.config.windows.spans])

    def _make_detectors(self) -> dict[tuple[str, str], Detector]:
        made = {}
        for rule_name, rule in self.config.rules.items():
            for slicing, fields in zip(self.config.slicing_names, self.config.event.slicings, strict=True):
                if rule.slicing is None or rule.slicing == fields:
                    made[rule_name, slicing] = DETECTORS[rule.detector](self.layout, rule, self.config.windows.pane)
        return made

    def block(self, block: PaneBlock) -> None:
        """Take a block in; one sent twice is one block. Raises DecodeError when it does not belong here."""
        self._check(block)
        passed = any(a <= block.pane_start_ms < b for a, b in self.passed.get(block.partition, ()))
        if passed or block.pane_start_ms < self.final_ms:
            self.late_panes += 1
            return
        self._pending.setdefault(block.pane_start_ms, {})[block.partition, block.index] = block

    def _check(self, block: PaneBlock) -> None:
        if block.stream != self.config.stream or block.slicing not in self._windows:
            raise DecodeError(f"a block of stream {block.stream!r}, slicing {block.slicing!r}: not one of ours")
        try:
            self.layout.decode(block.columns, len(block.slices))
        except ValueError as error:
            raise DecodeError(f"a block of pane {block.pane_start_ms}: {error}") from None

    def marker(self, marker: PaneClosed, references: Mapping[str, Reference]) -> Outputs:
        """Take a marker in and finalise what it completes."""
        self.closed[marker.partition] = max(self.closed.get(marker.partition, 0), marker.pane_end_ms)
        source = self._sources.setdefault(marker.partition, Source())
        source.note(marker.pane_end_ms, marker.offset_end)
        return self.finalise(references)

    def behind(self) -> dict[int, tuple[int, int]]:
        """Source partitions that hold the others up, each with the ``[from, to)`` a decision would pass over."""
        reached = {partition: self._reached(partition) for partition in self.closed}
        newest = max(reached.values(), default=0)
        return {partition: (at, newest) for partition, at in reached.items() if at < newest}

    def pass_over(self, partition: int, from_ms: int, to_ms: int) -> None:
        """Decision: no longer wait for a source partition's panes in ``[from_ms, to_ms)``."""
        spans = sorted([*self.passed.get(partition, []), (from_ms, to_ms)])
        joined: list[tuple[int, int]] = []
        for start, end in spans:
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        self.passed[partition] = joined
        # Blocks that are here already go too: where the decision stood in the stream must not matter in a replay.
        for at in [at for at in self._pending if from_ms <= at < to_ms]:
            kept = {key: block for key, block in self._pending[at].items() if key[0] != partition}
            self.late_panes += len(self._pending.pop(at)) - len(kept)
            if kept:
                self._pending[at] = kept

    def _reached(self, partition: int) -> int:
        """Time up to which a source has closed its panes or been passed over."""
        at = self.closed[partition]
        for start, end in self.passed.get(partition, ()):
            if start <= at < end:
                at = end
        return at

    def needs(self) -> set[str]:
        """Models whose references the pending panes need."""
        return {block.model_id for blocks in self._pending.values() for block in blocks.values()}

    def finalise(self, references: Mapping[str, Reference]) -> Outputs:
        """Finalise every pane that all waited-for sources have closed."""
        out = Outputs()
        closed = min((self._reached(partition) for partition in self.closed), default=0)
        pane_ms = int(self.config.windows.pane)
        for start in sorted(at for at in self._pending if at + pane_ms <= closed):
            self._final_pane(start, self._pending.pop(start), references, out)
        self.final_ms = max(self.final_ms, closed)
        return out

    def _final_pane(
        self, start: int, blocks: dict[tuple[int, int], PaneBlock], references: Mapping[str, Reference], out: Outputs
    ) -> None:
        end = start + int(self.config.windows.pane)
        for slicing in self.config.slicing_names:
            merged = self._merge(slicing, [block for _, block in sorted(blocks.items()) if block.slicing == slicing])
            if merged:
                self._slicing_pane(slicing, start, end, merged, references, out)
        self._ask(end, out)
        for source in self._sources.values():
            source.thin(end)

    def _merge(self, slicing: str, blocks: list[PaneBlock]) -> dict[str, tuple[str, Ints]]:
        """Slice to (model, row): rows of one model add up; of two models see :meth:`_one_model_each`."""
        kept = self._kept_names(slicing, {name for block in blocks for name in block.slices})
        merged: dict[tuple[str, str], Ints] = {}
        for block in blocks:
            rows = self.layout.decode(block.columns, len(block.slices))
            for name, row in zip(block.slices, rows, strict=True):
                key = (name if name in kept else OTHER, block.model_id)
                merged[key] = merged[key] + row if key in merged else row
        return self._one_model_each(merged)

    def _kept_names(self, slicing: str, names: set[str]) -> set[str]:
        """Names that keep their own windows: those known, then new ones in order up to ``windows.max_slices``."""
        known = self._windows[slicing].index
        room = max(self.config.windows.max_slices - len(known), 0)
        return (names & known.keys()) | set(sorted(names - known.keys())[:room])

    def _one_model_each(self, merged: dict[tuple[str, str], Ints]) -> dict[str, tuple[str, Ints]]:
        out: dict[str, tuple[str, Ints]] = {}
        for (name, model_id), row in sorted(merged.items()):
            have = out.get(name)
            if have is None:
                out[name] = (model_id, row)
                continue
            # Two models in one pane (sources swap one after the other): likelihoods of the one with more rows stay.
            keep, drop = sorted((have, (model_id, row)), key=lambda item: -int(self.layout.get(item[1], "scored")))
            total = keep[1].copy()
            total[: self.layout.model_free] += drop[1][: self.layout.model_free]
            out[name] = (keep[0], total)
        return out

    def _slicing_pane(
        self,
        slicing: str,
        start: int,
        end: int,
        merged: dict[str, tuple[str, Ints]],
        references: Mapping[str, Reference],
        out: Outputs,
    ) -> None:
        windows = self._windows[slicing]
        names = sorted(merged)
        at = np.array([windows.ensure(name, merged[name][0]) for name in names], dtype=np.int64)
        models = [merged[name][0] for name in names]
        fresh = np.array([windows.model[i] != model for i, model in zip(at, models, strict=True)])
        rows = np.array([merged[name][1] for name in names])
        self._service = min(set(models), key=lambda model: (-models.count(model), model))
        for i, model in zip(at, models, strict=True):
            windows.model[i] = model
        for ring in windows.rings:
            ring.forget_model(at[fresh], self.layout)
            ring.add(ring.advance(start), at, rows)
        order = np.argsort(at, kind="stable")
        chosen = [references[models[i]] for i in order]
        self._points(
            slicing,
            start,
            end,
            [names[i] for i in order],
            [models[i] for i in order],
            at[order],
            rows[order],
            chosen,
            windows,
            out,
        )
        for (rule_name, of), detector in self._detectors.items():
            if of == slicing:
                ring = self._ring(rule_name, windows)
                view = PaneView(start, end, at[order], rows[order], ring.total[at[order]], fresh[order], chosen)
                self._verdicts(
                    rule_name,
                    slicing,
                    detector,
                    view,
                    [names[i] for i in order],
                    [models[i] for i in order],
                    windows,
                    out,
                )

    def _ring(self, rule_name: str, windows: SlicingWindows) -> Ring:
        span = self.config.rules[rule_name].span
        if span is not None:
            return next(ring for ring in windows.rings if ring.span_ms == span)
        return windows.rings[min(1, len(windows.rings) - 1)]

    def _verdicts(
        self,
        rule_name: str,
        slicing: str,
        detector: Detector,
        view: PaneView,
        names: list[str],
        models: list[str],
        windows: SlicingWindows,
        out: Outputs,
    ) -> None:
        statistics = detector.update(view)
        kind = self.config.rules[rule_name].detector
        for i in sorted(range(len(names)), key=names.__getitem__):
            blame = self._blame(kind, view, i) if statistics[i] >= self.config.rules[rule_name].resolve else ()
            verdict = Verdict(
                rule=rule_name,
                detector=kind,
                slicing=slicing,
                slice=names[i],
                pane_start_ms=view.start_ms,
                pane_end_ms=view.end_ms,
                model_id=models[i],
                statistic=float(statistics[i]),
                evidence=detector.evidence,
                blame=blame,
            )
            alert = self._policy.judge(verdict)
            if alert is not None:
                self._send(alert, record_id("alert-event", alert.id, alert.state, alert.pane_end_ms), alert.slice, out)
                out.points.append(points.alert_point(alert))

    def _blame(self, kind: str, view: PaneView, i: int) -> tuple[tuple[str, float], ...]:
        """The three features that moved most in the rule's window, with their shares of the whole move."""
        moved = distances(self.layout.pit(view.window[i]), view.references[i].pit)
        if kind == "missing":
            share = self.layout.get(view.window[i], "missing") / max(int(self.layout.get(view.window[i], "seen")), 1)
            moved = np.maximum(share - view.references[i].missing, 0.0)
        total = float(moved.sum())
        order = np.argsort(-moved, kind="stable")[:3]
        return tuple((self.config.event.numeric[j], float(moved[j]) / total) for j in order if moved[j] > 0)

    def _points(
        self,
        slicing: str,
        start: int,
        end: int,
        names: list[str],
        models: list[str],
        at: Ints,
        rows: Ints,
        references: list[Reference],
        windows: SlicingWindows,
        out: Outputs,
    ) -> None:
        for i, name in enumerate(names):
            pane = WindowUpdate(slicing, name, "pane", start, end, models[i], rows[i])
            out.points.append(points.window_point(self.config, self.layout, pane))
            for ring in windows.rings:
                update = WindowUpdate(
                    slicing, name, span_name(ring.span_ms), ring.start_ms(start), end, models[i], ring.total[at[i]]
                )
                out.points.append(points.window_point(self.config, self.layout, update))
                if end % PIT_POINTS_EVERY_MS == 0 and ring.span_ms >= PIT_POINTS_EVERY_MS:
                    moved = distances(self.layout.pit(update.row), references[i].pit)
                    out.points += points.pit_points(self.config, self.layout, update, dict(enumerate(moved.tolist())))

    def _ask(self, end: int, out: Outputs) -> None:
        alerts = self._policy.open_alerts(self._retraining.rules)
        if not alerts:
            return
        request = self._retraining.ask(end, alerts, self._service, self.config.topics.events, self._sources)
        if request is not None:
            self._send(request, request.id, ",".join(request.slices), out)
            out.points.append(points.retrain_point(request))

    def _send(self, record: Alert | RetrainRequest, event_id: str, subject: str, out: Outputs) -> None:
        when = record.pane_end_ms if isinstance(record, Alert) else record.requested_pane_ms
        source = f"/driftflow/{self.config.stream}/watch/{self.q}"
        message = encode_event(record, event_id=event_id, source=source, time_ms=when, subject=subject)
        partition = self.config.topics.partitions + self.q
        out.messages.append(Outgoing("signals", partition, subject.encode(), message.value, message.headers))

    def to_state(self) -> dict[str, Any]:
        """Plain values and arrays for a snapshot."""
        return {
            "next_offset": self.next_offset,
            "closed": list(self.closed.items()),
            "passed": [[p, spans] for p, spans in self.passed.items()],
            "service": self._service,
            "final_ms": self.final_ms,
            "late_panes": self.late_panes,
            "pending": [
                encode_partial(block).value
                for _, blocks in sorted(self._pending.items())
                for _, block in sorted(blocks.items())
            ],
            "sources": [[p, source.marks] for p, source in self._sources.items()],
            "windows": [[name, windows.to_state()] for name, windows in self._windows.items()],
            "detectors": [[*key, detector.to_state()] for key, detector in self._detectors.items()],
            "policy": self._policy.to_state(),
            "retraining": self._retraining.to_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`to_state`."""
        self.next_offset, self.final_ms, self.late_panes = state["next_offset"], state["final_ms"], state["late_panes"]
        self.closed = dict(state["closed"])
        self.passed = {p: [(start, end) for start, end in spans] for p, spans in state["passed"]}
        self._service = state["service"]
        self._pending = {}
        for value in state["pending"]:
            record = decode_partial(value, {"kind": b"block"})
            assert isinstance(record, PaneBlock)
            self.block(record)
        self._sources = {p: Source([(end, offset) for end, offset in marks]) for p, marks in state["sources"]}
        self._windows = {name: SlicingWindows.from_state(windows) for name, windows in state["windows"]}
        for rule, slicing, detector in state["detectors"]:
            self._detectors[rule, slicing].restore(detector)
        self._policy.restore(state["policy"])
        self._retraining.restore(state["retraining"])
