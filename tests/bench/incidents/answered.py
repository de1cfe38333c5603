"""A stream and its trainer in one process: requests are answered as they are made, at a time of the stream.

It is what a worker and a trainer do on a broker, without one. The trainer reads the offsets that a request names out
of the rows that were fed, and trains, gates and signs as ever; a promoted model is in service on each source partition
from the next pane on that no row has reached, by a decision. A request is answered before the next rows come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from flowlib import artifact
from flowlib.artifact import Artifact, Ed25519PrivateKey
from flowlib.density import Density
from schemas.codecs import decode_event
from schemas.records import OffsetRange, Record, RetrainRequest
from stream_app.config import Config
from stream_app.models.loading import scored_by
from stream_app.offline.replay import LocalRun
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.partitioning import partition_for
from stream_app.stages.score.decoding import Decoder
from stream_app.trainer.bootstrap import bootstrap_request
from stream_app.trainer.data.rows import gather
from stream_app.trainer.requests import checking
from stream_app.trainer.training import answer

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
Timed = tuple[int, bytes | None, bytes]
"""Event time, key and value of a row."""


@dataclass
class Answered:
    """A run whose requests are answered.

    Attributes:
        config: the stream.
        say: takes a line for the person who watches.
        run: the stages.
        signals: what was sent on the signals topic, in the order in which it was sent.
        outcomes: each request that was answered, with what came of it: ``covered``, a model's id, or why there is none.
        models: ids of those that were promoted, the first one included.
    """

    config: Config
    say: Callable[[str], None] = print
    signals: list[Record] = field(default_factory=list)
    outcomes: list[tuple[RetrainRequest, str]] = field(default_factory=list)
    models: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.run = LocalRun(self.config)
        self._decoder = Decoder(self.config)
        self._kept: dict[int, list[EventBatch]] = defaultdict(list)
        self._ends = [0] * self.config.topics.partitions
        self._place = 0
        self._service: Density | None = None
        self._promoted_ms = 0

    def begin(self, history: Iterable[Timed], until_ms: int) -> None:
        """Train the first model on rows before a time, and put it in service; they are not scored."""
        for raw in self._batches(history):
            self._keep(raw)
        request = bootstrap_request(self.config, dict(enumerate(self._ends)), 0, until_ms)
        model, why = self._train(request)
        if model is None:
            raise RuntimeError(f"no first model: {why}")
        self._service, self._promoted_ms = self._load(model), until_ms
        self.run.start(self._service.model_id)

    def feed(self, rows: Iterable[Timed]) -> None:
        """Score rows that follow, then answer what was asked for meanwhile."""
        asked: list[RetrainRequest] = []
        for raw in self._batches(rows):
            self._keep(raw)
            self.run.feed(raw)
        for (role, _), sent in sorted(self.run.sent.items()):
            if role == "signals":
                records = [decode_event(message.value, message.headers) for message in sent]
                self.signals += [record for record in records if record is not None]
                asked += [record for record in records if isinstance(record, RetrainRequest)]
            sent.clear()
        for request in sorted(asked, key=lambda r: (r.requested_pane_ms, r.id)):
            self._answer(request)

    # The trainer ---------------------------------------------------------------------------------------------------

    def _answer(self, request: RetrainRequest) -> None:
        assert self._service is not None
        fault = checking.fault_of(self.config, request)
        if fault:
            raise RuntimeError(f"a request of our own is refused: {fault}")
        covered_ms = self._promoted_ms + int(self.config.retrain.cooldown)
        if request.model_id != self._service.model_id and request.requested_pane_ms < covered_ms:
            self.outcomes.append((request, "covered"))
            return
        model, why = self._train(request)
        self.outcomes.append((request, model.model_id if model else why))
        if model is None:
            return
        self._service, self._promoted_ms = self._load(model), request.requested_pane_ms
        for partition in range(self.config.topics.partitions):
            decision = self.run.pipeline.decide_activation(partition, self._service.model_id)
            if decision is not None:
                self.run.pipeline.apply(decision)

    def _train(self, request: RetrainRequest) -> tuple[Artifact | None, str]:
        first_ms, end_ms = min(r.start_ms for r in request.train), max(r.end_ms for r in request.train)
        rows = gather((self._read(part) for part in request.train), first_ms, end_ms)
        newest_ms = int(rows.table.time_ms[-1]) if len(rows) else 0
        outcome = answer(self.config, request, rows, self._service, KEY, seen_ms=newest_ms)
        named = outcome.model.model_id if outcome.model else "no model"
        self.say(
            f"{request.reason} of {len(request.slices)} slices, {len(rows):,} rows: {named}; {outcome.notice.reason}"
        )
        return outcome.model, outcome.notice.reason

    def _read(self, part: OffsetRange) -> EventBatch:
        batches = self._kept[part.partition]
        whole = batches[0]
        for batch in batches[1:]:
            whole = whole.followed_by(batch)
        self._kept[part.partition] = [whole]
        return whole.take(np.flatnonzero((whole.offsets >= part.start) & (whole.offsets < part.end)))

    def _load(self, model: Artifact) -> Density:
        public = KEY.public_key()
        density = scored_by(self.config, artifact.load(model, {artifact.key_id(public): public}))
        self.run.pipeline.models.add(density)
        self.models.append(density.model_id)
        return density

    # Rows ----------------------------------------------------------------------------------------------------------

    def _keep(self, raw: RawBatch) -> None:
        self._kept[raw.partition].append(self._decoder.decode(raw)[0])

    def _batches(self, rows: Iterable[Timed]) -> Iterator[RawBatch]:
        """As the broker would deal them out; one batch a partition."""
        values: dict[int, list[bytes | None]] = defaultdict(list)
        for _, key, value in rows:
            values[partition_for(key, self.config.topics.partitions, self._place)].append(value)
            self._place += 1
        for partition, of in sorted(values.items()):
            first = self._ends[partition]
            self._ends[partition] += len(of)
            offsets = np.arange(first, self._ends[partition], dtype=np.int64)
            yield RawBatch(self.config.topics.events, partition, offsets, of)
