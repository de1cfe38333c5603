"""Gathers the events of incidents when people confirm them, and forgets those of incidents that they take back.

An event is kept where the model that found the incident flags it, or where that is gone the one in service: signals are
not signed, and a forged one must not make an ordinary event a canary, which would stop every later model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from kafka.errors import KafkaError

from flowlib.density import Density
from schemas.incidents import Action
from schemas.intake import Refusal, take_in
from schemas.records import Record
from stream_app.config import Config
from stream_app.errors import DriftflowError, ModelError
from stream_app.kafka.signals import read_signals
from stream_app.kafka.types import ClientSettings
from stream_app.models.registry import Registry
from stream_app.trainer.canaries.file import Canary, CanaryFile
from stream_app.trainer.canaries.places import Thread, ranges, take_flagged, threads
from stream_app.trainer.data.admit import within
from stream_app.trainer.data.rows import Rows, gather
from stream_app.trainer.ranges import RangesGone, read_ranges
from stream_app.trainer.stopping import Stopped, Stopping

ROWS_MAX = 200
"""Events that are kept of an incident, evenly spread over it."""

AGAIN_S = 30.0
"""Pause before events are asked for again where the broker does not answer."""


class Gathering:
    """Gathers canaries of one stream.

    Args:
        config: the stream.
        client: kafka-python connection settings.
        stopping: ends what is under way.
        say: takes a line for the person who watches.

    Raises:
        DriftflowError: the file of canaries is damaged.
    """

    def __init__(self, config: Config, client: ClientSettings, stopping: Stopping, say: Callable[[str], None]) -> None:
        self._config, self._client, self._stopping, self._say = config, client, stopping, say
        self._file = CanaryFile(config)
        self._canaries = self._file.load()
        self._pending: dict[str, Action] = {}
        """What was said and is not in the file yet, by action id."""
        self._asked_s = -AGAIN_S

    def hear(self, action: Action) -> None:
        """Take in what a person says: that an incident was real, that it was not, or that it is the new normal."""
        if action.verb in ("feedback", "accept") and action.id not in self._canaries.taken:
            self._pending[action.id] = action

    def gather(self) -> None:
        """Bring the file up to what people have said; where the broker does not answer now, later.

        Raises:
            DriftflowError: the registry or the disk needs mending.
            Stopped: told to.
        """
        if not self._pending or time.monotonic() - self._asked_s < AGAIN_S:
            return
        last = {action.incident_id: action for action in self._pending.values()}
        confirmed = {name: action for name, action in last.items() if _says_real(action)}
        for name in last.keys() - confirmed.keys():
            if self._canaries.drop(name):
                self._say(f"incident {name[:8]} is no canary any more: {last[name].by} says otherwise now")
        if confirmed:
            try:
                found = self._threads(set(confirmed))
                read = {name: self._rows(thread) for name, thread in found.items()}
            except Stopped:
                raise
            except (DriftflowError, KafkaError) as error:
                self._asked_s = time.monotonic()
                self._say(f"events of confirmed incidents are gathered later: {error}")
                return
            for name, action in confirmed.items():
                self._keep(action, found.get(name), read.get(name))
        self._canaries.taken += self._pending
        self._file.keep(self._canaries)
        self._pending.clear()

    def _threads(self, ids: set[str]) -> Mapping[str, Thread]:
        found = threads(self._records(), ids, self._config.topics.events)
        if any(thread.spans for thread in found.values()):
            take_flagged(self._records(), found, self._config)
        return found

    def _records(self) -> Iterator[Record]:
        for message in read_signals(self._config):
            self._stopping.check()
            record = take_in("signals", self._config.stream, message.value, message.headers)
            if not isinstance(record, Refusal):
                yield record

    def _rows(self, thread: Thread) -> Rows | None:
        """Its events, as far as the topic has them."""
        wanted = ranges(thread.places, self._config.topics.events)
        if not wanted:
            return None
        try:
            batches = list(read_ranges(self._config, wanted, self._client, self._stopping))
        except RangesGone:
            return None
        rows = gather(batches, 0, wanted[0].end_ms)
        examples, places = _at(rows, thread.examples), _at(rows, thread.places)
        return rows.take(examples | (places & within(rows.table, list(thread.spans.values()), self._config)))

    def _keep(self, action: Action, thread: Thread | None, rows: Rows | None) -> None:
        name = action.incident_id
        model = self._model(thread.model_id) if thread is not None and rows is not None and len(rows) else None
        kept = None
        if model is not None and rows is not None:
            scores = model.score(rows.table)
            flagged = np.flatnonzero(scores.scorable & (scores.p_value <= self._config.event_rule.alpha))
            few = np.unique(np.linspace(0, len(flagged) - 1, min(len(flagged), ROWS_MAX)).astype(np.int64))
            kept = rows.take(flagged[few]) if len(flagged) else None
        if model is None or kept is None:
            self._say(f"incident {name[:8]}, which {action.by} confirms, has no events left that a model flags")
            return
        self._canaries.put(Canary.of(kept, self._config.topics.events, action, model.model_id))
        self._say(
            f"{len(kept):,} events of incident {name[:8]}, which {action.by} confirms, are canaries: a model that does "
            "not flag them waits for a person"
        )

    def _model(self, model_id: str) -> Density | None:
        """The model that found an incident, else the one in service; None where neither can be used."""
        registry = Registry(self._config)
        for name in (model_id, registry.in_service()):
            try:
                if name:
                    return registry.load(name)
            except ModelError:
                continue
        return None


def _says_real(action: Action) -> bool:
    return action.verb == "feedback" and action.verdict in ("useful", "wrong-owner")


def _at(rows: Rows, places: set[tuple[int, int]]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    pairs = zip(rows.partitions.tolist(), rows.offsets.tolist(), strict=True)
    return np.fromiter((pair in places for pair in pairs), dtype=np.bool_, count=len(rows))
