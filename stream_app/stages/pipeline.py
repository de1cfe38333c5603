"""The whole system on one page.

    events ──► score(raw) ──► partials ──► watch(q, message) ──► signals, points
                  │  decode → screen → score → panes     merge → windows → detectors → policy → retrain
                  └──► anomalies, activations, dead letters

One pipeline, two runtimes: :mod:`stream_app.worker.agents` feeds it from Kafka and sends what it returns,
:mod:`stream_app.offline.replay` feeds it from a file. Nothing here does I/O, reads a clock or draws a random number;
what depends on the wall clock enters as a *decision*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flowlib.density import Density
from flowlib.engines import EngineError
from schemas.codecs import decode_partial
from schemas.records import PaneBlock
from stream_app.config import Config
from stream_app.stages.batches import Outputs, RawBatch
from stream_app.stages.decisions import Activated, Decision, PassedOver, activations_of, engines_of
from stream_app.stages.score.stage import Scorer
from stream_app.stages.score.state import SourceState
from stream_app.stages.snapshot import pack, unpack
from stream_app.stages.watch.detectors import Reference
from stream_app.stages.watch.stage import Watcher


class Pipeline:
    """Both stages of a stream, for the partitions it is given.

    Args:
        config: the stream.
        sources: number of partitions of the events topic.
        decisions: decisions of earlier runs (after a crash) or of the run to be repeated.
        make_decisions: False in a replay that is given its decisions: it makes none of its own.

    Attributes:
        substitutes: why a model is not scored by the engine that its decision names, by ``(model, engine)``: it is then
            scored by another, to within 1e-4 nats, and the run is not repeated to the bit.
    """

    def __init__(
        self, config: Config, sources: int, decisions: Iterable[Decision] = (), make_decisions: bool = True
    ) -> None:
        self.config, self.sources_count, self.make_decisions = config, sources, make_decisions
        self.decisions: list[Decision] = list(decisions)
        self.models: dict[str, Density] = {}
        self.references: dict[str, Reference] = {}
        self.substitutes: dict[tuple[str, str], str] = {}
        self.sources: dict[int, SourceState] = {}
        self.watchers: dict[int, Watcher] = {}
        self._scorer = Scorer(config)
        self._variants: dict[tuple[str, str], Density] = {}

    # SCORE -----------------------------------------------------------------------------------------------------

    def score(self, raw: RawBatch) -> Outputs:
        """Records of a source partition in; blocks, markers, anomalies, dead letters and points out."""
        state = self.sources[raw.partition]
        return self._scorer.step(state, raw, self._in_service(state))

    def open_source(self, partition: int, snapshot: bytes | None = None) -> None:
        """Start on a source partition, from its snapshot where there is one."""
        state = SourceState.from_state(unpack(snapshot)) if snapshot else SourceState()
        state.activations = activations_of(self.decisions, partition)
        state.engines = engines_of(self.decisions, partition)
        self.sources[partition] = state

    def add_model(self, density: Density) -> None:
        """Make a verified, compiled model available. It scores nothing before it is activated."""
        self.models[density.model_id] = density
        self.references[density.model_id] = reference_of(density)

    def awaited_models(self, partition: int) -> set[str]:
        """Models in service on a source partition that have not arrived here yet."""
        return {model_id for _, model_id in self.sources[partition].activations} - self.models.keys()

    def decide_activation(self, partition: int, model_id: str) -> Activated | None:
        """The decision to put a model in service on a partition, at the first pane that no row has reached.

        None where decisions are given, or where the model is in service already. The caller writes the decision down
        durably, then calls :meth:`apply`.
        """
        state = self.sources[partition]
        if state.activations and (not self.make_decisions or state.activations[-1][1] == model_id):
            return None
        start, engine = state.next_free_pane(int(self.config.windows.pane)), self._engine_for(partition, model_id)
        return Activated(partition, start, model_id, engine)

    def _engine_for(self, partition: int, model_id: str) -> str:
        """The engine written down for a model before, else the one that it was loaded with."""
        return engines_of(self.decisions, partition).get(model_id) or self.models[model_id].engine.name

    def _in_service(self, state: SourceState) -> dict[str, Density]:
        """The models of a partition's activations, each with the engine that was written down for it."""
        ids = {model_id for _, model_id in state.activations} & self.models.keys()
        return {model_id: self._variant(model_id, state.engines.get(model_id, "")) for model_id in ids}

    def _variant(self, model_id: str, engine: str) -> Density:
        density, key = self.models[model_id], (model_id, engine)
        if engine in ("", density.engine.name) or key in self.substitutes:
            return density
        if key not in self._variants:
            try:
                self._variants[key] = density.with_engine(engine)
            except EngineError as error:
                self.substitutes[key] = str(error)
                return density
        return self._variants[key]

    # WATCH -----------------------------------------------------------------------------------------------------

    def watch(self, q: int, offset: int, value: bytes | None, headers: Mapping[str, bytes]) -> Outputs:
        """A message of partials partition ``q`` in; alerts, retrain requests and points out."""
        watcher = self.watchers[q]
        if offset < watcher.next_offset:
            return Outputs()
        watcher.next_offset = offset + 1
        record = decode_partial(value, headers)
        if isinstance(record, PaneBlock):
            watcher.block(record)
            return Outputs()
        return watcher.marker(record, self.references)

    def open_watcher(self, q: int, snapshot: bytes | None = None) -> None:
        """Start on a partials partition, from its snapshot where there is one."""
        watcher = Watcher(self.config, q, self.sources_count)
        if snapshot:
            watcher.restore(unpack(snapshot))
        for decision in self.decisions:
            if isinstance(decision, PassedOver) and decision.q == q:
                watcher.pass_over(decision.partition, decision.from_ms, decision.to_ms)
        self.watchers[q] = watcher

    def missing_models(self, q: int) -> set[str]:
        """Models that pending panes were scored by and that have not arrived here yet."""
        return self.watchers[q].needs() - self.references.keys()

    def decide_pass_over(self, q: int, partition: int) -> PassedOver | None:
        """The decision not to wait any longer for an idle source; None when it holds nobody up."""
        span = self.watchers[q].behind().get(partition)
        return PassedOver(q, partition, *span) if span and self.make_decisions else None

    # Decisions and snapshots -------------------------------------------------------------------------------------

    def apply(self, decision: Decision) -> Outputs:
        """Let a decision that has been written down take effect."""
        self.decisions.append(decision)
        if isinstance(decision, Activated):
            state = self.sources[decision.partition]
            state.activate(decision.pane_start_ms, decision.model_id)
            state.engines = engines_of(self.decisions, decision.partition)
            return Outputs()
        watcher = self.watchers[decision.q]
        watcher.pass_over(decision.partition, decision.from_ms, decision.to_ms)
        return watcher.finalise(self.references)

    def snapshot_source(self, partition: int) -> bytes:
        """State of a source partition, ``next_offset`` included."""
        return pack(self.sources[partition].to_state())

    def snapshot_watcher(self, q: int) -> bytes:
        """State of a partials partition, ``next_offset`` included."""
        return pack(self.watchers[q].to_state())


def reference_of(density: Density) -> Reference:
    """What a model says is normal, for the detectors."""
    calibration = density.calibration
    return Reference(
        pit=calibration.pit_reference,
        missing=density.encoder.missing_share,
        log_prob_mean=calibration.log_prob_mean,
        log_prob_sd=calibration.log_prob_sd,
    )
