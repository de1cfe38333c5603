"""What the present configuration would make of events that were refused: which can be read now, and which of these come
in time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from flowlib.table import Ints
from stream_app.config import Config
from stream_app.kafka.reading import end_of, read_to_end
from stream_app.kafka.schema_registry import registry_of
from stream_app.kafka.types import Consumer, TopicPartition
from stream_app.operators.letters.reading import TAIL
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.rejects import Reject
from stream_app.stages.score.screening import screen
from stream_app.stages.score.timing import Timing


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an event would be now.

    Attributes:
        fate: ``on time``, ``late``, ``duplicate``, ``held``, or ``refused``.
        reason, field, detail: why it is refused; "" otherwise.
        time_ms: event time; None where it is refused.
    """

    fate: str
    reason: str = ""
    field: str = ""
    detail: str = ""
    time_ms: int | None = None


class Present:
    """Judges events by the present configuration.

    Args:
        config: the stream.
    """

    def __init__(self, config: Config) -> None:
        self._config, self._decoder, self._registry = config, Decoder(config), registry_of(config)

    def read(self, topic: str, partition: int, values: Sequence[bytes | None]) -> list[Verdict]:
        """Which of some bodies are events, in time or not."""
        return self._judged(topic, partition, values, None)

    def in_time(
        self, consumer: Consumer, tp: TopicPartition, values: Sequence[bytes | None], refused: Collection[int]
    ) -> list[Verdict]:
        """What would become of bodies that came at the end of a partition, in this order. About: how far the partition
        is follows from its last :data:`TAIL` records, and so does which ids came before.

        Args:
            consumer: reads the partition; positions move.
            tp: the partition, as the consumer takes it.
            values: the bodies.
            refused: offsets of events at its end that no worker has taken, though they can be read now.

        Raises:
            DriftflowError: the broker does not answer, or a record cannot be read.
        """
        consumer.assign([tp])
        consumer.seek(tp, max(end_of(consumer, tp) - TAIL, 0))
        passed = set(refused)
        records = [record for record in read_to_end(consumer) if record.offset not in passed]
        timing = Timing()
        raw = _batch(tp.topic, tp.partition, [record.value for record in records])
        decoded, _ = self._decode(raw)
        if len(decoded):
            screen(timing, self._config.windows, decoded, raw)
        return self._judged(tp.topic, tp.partition, values, timing)

    def _judged(
        self, topic: str, partition: int, values: Sequence[bytes | None], timing: Timing | None
    ) -> list[Verdict]:
        raw = _batch(topic, partition, values)
        events, rejects = self._decode(raw)
        verdicts = {reject.row: Verdict("refused", reject.reason, reject.field, reject.detail) for reject in rejects}
        fates = self._fates(timing, events, raw)
        for i, row in enumerate(events.rows.tolist()):
            time_ms, why = int(events.event_time_ms[i]), self._unscorable(events, i)
            verdicts[row] = Verdict("refused", "unscorable", *why) if why else Verdict(fates[i], time_ms=time_ms)
        return [verdicts[row] for row in range(len(values))]

    def _decode(self, raw: RawBatch) -> tuple[EventBatch, list[Reject]]:
        if self._registry is not None:
            self._registry.supply(self._decoder.schemas, raw.values)
        return self._decoder.decode(raw)

    def _fates(self, timing: Timing | None, events: EventBatch, raw: RawBatch) -> list[str]:
        fates = ["on time"] * len(events)
        if timing is None or not len(events):
            return fates
        timing.held.clear()  # those would be released among ours
        screened = screen(timing, self._config.windows, events, raw)
        place = {offset: i for i, offset in enumerate(events.offsets.tolist())}
        outcomes = {name: getattr(screened, name).tolist() for name in ("late", "duplicate", "held")}
        for k, source in enumerate(screened.source.tolist()):  # those that waited are judged again, behind
            i = source if source < len(events) else place[screened.released[source - len(events)].offset]
            fates[i] = next((name for name, hit in outcomes.items() if hit[k]), "on time")
        return fates

    def _unscorable(self, events: EventBatch, i: int) -> tuple[str, str] | None:
        """Field and sentence where no model could score it, whichever is in service."""
        values = events.numeric[i]
        infinite: Ints = np.flatnonzero(np.isinf(values))
        if len(infinite):
            name = self._config.event.numeric[int(infinite[0])]
            return name, f"{name} is infinite, or beyond what a float32 holds"
        return ("", "every numeric field is missing") if np.isnan(values).all() else None


def _batch(topic: str, partition: int, values: Sequence[bytes | None]) -> RawBatch:
    return RawBatch(topic, partition, np.arange(len(values), dtype=np.int64), list(values))
