"""SCORE: one step over one batch of a source partition.

raw ─ decode ─► events ─ screen ─► in time? ─ admit ─ score ─► log_prob, p_value, pit ─► panes ─► blocks and markers
        │          ▲       │                          │                          └─► event anomalies
        │          └─ held ┤                          │
        └─ rejects ────────┴──────────────────────────┴─► dead letters, and incidents where they are too many
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter

import numpy as np

from flowlib.density import Density
from flowlib.table import Bools
from schemas.records import EventAnomaly
from stream_app.config import Config
from stream_app.stages.batches import EventBatch, RawBatch, ScoredBatch
from stream_app.stages.layout import layout_of
from stream_app.stages.outputs import Outputs
from stream_app.stages.points import activation_point, anomaly_points, counters_points
from stream_app.stages.score import messages
from stream_app.stages.score.admission import Admission, Seating
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.messages import Signal
from stream_app.stages.score.objects import objects_of
from stream_app.stages.score.panes import Closing, fill_panes
from stream_app.stages.score.partials import partials
from stream_app.stages.score.rejects import Reject, far_future, unscorable
from stream_app.stages.score.rejoining import bodies_of, check_restored, rejoined
from stream_app.stages.score.scoring import blame_flagged, score_events
from stream_app.stages.score.screening import Screening, screen
from stream_app.stages.score.state import ScoreState
from stream_app.stages.score.telling import Alarm, Rows, Teller


class ScoreStage:
    """Runs SCORE for the source partitions of a stream. It holds the configuration; states are handed in.

    Attributes:
        schemas: those of the stream's bodies; what a batch lacks is entered before its step.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._layout = layout_of(config)
        self._decoder, self._admission = Decoder(config), Admission(config)
        self.schemas = self._decoder.schemas
        self._teller = Teller(config, objects_of(config.event, self.schemas))

    def step(self, state: ScoreState, raw: RawBatch, models: Mapping[str, Density]) -> Outputs:
        """Process a batch of consecutive records of one source partition.

        Args:
            state: the partition's state; changed in place.
            raw: records, offsets ascending; those below ``state.next_offset`` are skipped.
            models: verified models by id, every one of ``state.activations`` among them.
        """
        config, out = self.config, Outputs()
        raw = raw.since(state.next_offset)
        if not len(raw):
            return out
        decoded, rejects = self._decoder.decode(raw)
        rejects += check_restored(state.timing, self._decoder, raw)
        clock_ms = state.timing.clock_ms
        timing = screen(state.timing, config.windows, decoded, raw)
        events = rejoined(self._decoder, raw, decoded, timing)
        model = state.models_for(timing.target_ms)
        seating = self._admission.seat(state.places, events.slices, timing, model, models)
        scored = score_events(events, models, model, timing.wanted, config, state.adaptive, seating)
        blame_flagged(scored, models, timing.pane_start_ms, state.blamed)
        rejects += far_future(decoded.rows, timing.given_up, config.event.time_field)
        unscored = np.flatnonzero(timing.wanted & ~scored.scorable)
        rejects += unscorable(config, raw, scored, unscored, bodies_of(timing))
        rejects.sort(key=lambda reject: reject.row)

        anomalies = self._anomalies(state, scored, timing, seating)
        told = self._teller.tell(state.telling, Rows(raw, decoded, events, timing, rejects, clock_ms))
        self._add_signals(state, raw, scored, timing, anomalies, told, out)
        closings = fill_panes(state.panes, self._layout, scored, timing, config.windows, seating.names)
        offsets = raw.offsets[events.rows]
        of_panes = seating.strangers, state.top.panes
        out.messages += partials(config, self._layout, raw.partition, closings, offsets, *of_panes)
        out.messages += messages.dead_letters(config, raw, rejects)
        out.points += state.histograms.take(config, raw.partition, closings)
        self._add_totals(state, raw, scored, timing, rejects, closings, out)
        out.first_dropped = _first(events, late=timing.late, duplicate=timing.duplicate)
        state.forget_closed(int(config.windows.pane))
        state.next_offset = int(raw.offsets[-1]) + 1
        return out

    def _anomalies(
        self, state: ScoreState, scored: ScoredBatch, timing: Screening, seating: Seating
    ) -> dict[int, EventAnomaly]:
        """The flagged events, by their place in the batch; the strangest are kept with their panes."""
        flagged = np.flatnonzero(scored.flagged)
        records = messages.anomalies(self.config, scored, flagged.tolist())
        places = timing.target_ms[flagged].tolist(), seating.names[0].take(flagged).objects().tolist(), records
        state.top.take(self.config.slicing_names[0], self.config.topics.partitions, zip(*places, strict=True))
        return dict(zip(flagged.tolist(), records, strict=True))

    def _add_signals(
        self,
        state: ScoreState,
        raw: RawBatch,
        scored: ScoredBatch,
        timing: Screening,
        anomalies: dict[int, EventAnomaly],
        told: list[Alarm],
        out: Outputs,
    ) -> None:
        """Event anomalies that are published and incidents in row order, each activation just before the first row it
        applies to.
        """
        starts, published = timing.pane_start_ms, anomalies if self.config.event_rule.publish else {}
        rows, at = set(published), scored.events.rows
        for start, _ in state.activations[state.announced :]:
            rows.update(np.flatnonzero(scored.scorable & (starts >= start))[:1].tolist())
        records: list[tuple[int, Signal]] = []
        for row in sorted(rows):
            for start, model_id in state.activations[state.announced :]:
                if start > starts[row]:
                    break
                records.append((int(at[row]), messages.activation(self.config, raw, start, model_id)))
                out.points.append(activation_point(self.config, raw.partition, start, model_id))
                state.announced += 1
            if row in published:
                records.append((int(at[row]), published[row]))
        records = sorted([*records, *((one.row, one.incident) for one in told)], key=itemgetter(0))
        out.messages += messages.signals(self.config, raw.partition, [record for _, record in records])
        out.points += [one.point for one in told]
        places = [(int(starts[row]), record.slice, record.event_time_ms) for row, record in anomalies.items()]
        out.points += anomaly_points(anomalies.values(), state.ordinals(places))

    def _add_totals(
        self,
        state: ScoreState,
        raw: RawBatch,
        scored: ScoredBatch,
        timing: Screening,
        rejects: list[Reject],
        closings: list[Closing],
        out: Outputs,
    ) -> None:
        """Bring the running totals up to date, and report them as they stood before each row that closed panes."""
        refused = np.array([reject.row for reject in rejects], dtype=np.int64)
        rows, scorable = scored.events.rows, scored.scorable
        reports = []
        for time_ms, counters, closing in state.totals.take(
            state.counters, len(raw), rows, scorable, timing, refused, closings
        ):
            state.closed_early += closing.early if closing else 0
            reports.append((time_ms, counters, state.closed_early))
        out.points += counters_points(self.config, raw.partition, reports)


def _first(events: EventBatch, **masks: Bools) -> dict[str, int]:
    """The offset of the first event of each mask that has one."""
    return {name: int(events.offsets[mask.argmax()]) for name, mask in masks.items() if mask.any()}
