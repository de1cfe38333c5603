"""Events of a file as they would come from the topic, or of the topic itself, and what was dropped of them and why."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import truediv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from schemas.codecs import decode_event
from schemas.records import DeadLetter
from stream_app.config import Config
from stream_app.event_files import Report, read_rows
from stream_app.kafka.schema_registry import registry_of
from stream_app.offline.ordering import in_order, placed
from stream_app.offline.replay import numbered_batches
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.dropped import Dropped
from stream_app.stages.outputs import Outputs
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.readings import LocalTimes
from stream_app.stages.score.rejects import Reject
from stream_app.stages.score.state import ScoreState
from stream_app.stages.score.timing import NOTHING
from stream_app.terminal import file_name

if TYPE_CHECKING:  # a client of a broker comes with it
    from stream_app.kafka.history import Past

_SHOWN_CHARS = 100

_Where = tuple[int, str]
"""The number of a line, row or offset, and how the body begins that it became."""
_Numbered = tuple[int, bytes | None, bytes | None]


@dataclass(frozen=True, slots=True)
class Between:
    """Event times that are wanted, half-open; None is no bound."""

    from_ms: int | None = None
    to_ms: int | None = None

    def __bool__(self) -> bool:
        return (self.from_ms, self.to_ms) != (None, None)


class Reading:
    """One reading of a file or a topic.

    Args:
        config: the stream.
        source: the file; or what is on the topic.
        report: takes note of rows that come to nothing.
        between: events of other times are left out, and not counted; those whose time cannot be read stay.
        sort: the rows of a file come in the order of their times.

    Attributes:
        source: which.
        report: what became of its rows so far, and by the end of it all.
    """

    def __init__(
        self,
        config: Config,
        source: Path | Past,
        report: Report | None = None,
        between: Between | None = None,
        sort: bool = False,
    ) -> None:
        self._config, self.source, self._between, self._sort = config, source, between, sort
        self.report = report if report is not None else Report()
        if not isinstance(source, Path):
            self.report.unit, self.report.taken = "offset", lambda: source.share
        self._held: dict[int, dict[int, _Where]] = {}  # by partition and offset
        self._raw = RawBatch(config.topics.events, 0, np.zeros(0, np.int64), [])
        self._numbers: Sequence[int] = []

    @property
    def name(self) -> str:
        """What is read, for people."""
        return file_name(self.source) if isinstance(self.source, Path) else f"topic {self.source.topic}"

    @property
    def sources(self) -> int | None:
        """Partitions of the topic; None for a file."""
        return None if isinstance(self.source, Path) else self.source.sources

    @property
    def dropped(self) -> Dropped:
        """Rows that came to nothing."""
        return self.report.dropped

    def done(self) -> set[int]:
        """Partitions of the topic of which nothing more comes in this reading; none of a file."""
        return set() if isinstance(self.source, Path) else self.source.done()

    def again(self) -> Reading:
        """Another reading of the same, with a report of its own."""
        return Reading(self._config, self.source, None, self._between, self._sort)

    def batches(self) -> Iterator[RawBatch]:
        """The rows as batches of consecutive offsets per partition, in their order; raises DriftflowError."""
        for raw, numbers in _within(self._config, self._between, self._numbered()):
            self._raw, self._numbers = raw, numbers
            yield raw

    def _numbered(self) -> Iterator[tuple[RawBatch, Sequence[int]]]:
        if isinstance(self.source, Path):
            rows = self._sorted(self.source) if self._sort else self._as_it_is(self.source)
            yield from numbered_batches(self._config, rows)
            return
        for raw in self.source.batches():
            self.report.rows += len(raw)
            yield raw, raw.offsets.tolist()

    def _as_it_is(self, path: Path) -> Iterator[_Numbered]:
        for key, value in read_rows(path, self._config, self.report):
            yield self.report.number, key, value

    def _sorted(self, path: Path) -> Iterator[_Numbered]:
        for given, row in enumerate(in_order(placed(path, self._config, self.report)), 1):
            self.report.taken = partial(truediv, given, self.report.rows)  # of rows: the file was read to its end
            yield row.number, row.key, row.value

    def events(self) -> Iterator[EventBatch]:
        """The events of each batch; what cannot be decoded is counted. Raises DriftflowError."""
        decode, times = _Decoding(self._config), LocalTimes()
        for raw in self.batches():
            events, rejects = decode(raw)
            for reject in rejects:
                self._add(reject.reason, reject.field, reject.detail, self._where(reject.offset))
            yield times.read(events)

    def scored(self, out: Outputs, state: ScoreState) -> None:
        """Count what SCORE dropped of the last batch; ``state`` is its partition's, after it."""
        for message in out.messages:
            letter = decode_event(message.value, message.headers) if message.role == "dead_letters" else None
            if isinstance(letter, DeadLetter):
                self._add(letter.reason, letter.field, letter.detail, self._where(letter.offset))
        for name, offset in out.first_dropped.items():
            self._add(name, "", _WHY[name], self._where(offset), rows=0)
        held = {one.offset: self._where(one.offset) for one in state.timing.held}
        self._held[self._raw.partition] = held

    def finish(self, states: Mapping[int, ScoreState]) -> None:
        """Count what the source partitions have not windowed, once all batches are scored; ``states`` are theirs."""
        for partition, state in states.items():
            why = _WHY["held"] if state.timing.clock_ms != NOTHING else _WHY["waiting"]
            for where in self._held.get(partition, {}).values():
                self._add("held", "", why, where)
            for name in ("late", "duplicate"):
                self.dropped.add(name, "", "", state.counters[name], sys.maxsize)

    def _add(self, name: str, field: str, why: str, where: _Where, rows: int = 1) -> None:
        number, body = where
        part = "" if isinstance(self.source, Path) else f"partition {self._raw.partition}, "
        self.dropped.add(name, field, f"{part}{self.report.place(number)}: {why}, in {body}", rows, number)

    def _where(self, offset: int) -> _Where:
        """Where an event of the last batch is, or one that was held before it."""
        i = int(np.searchsorted(self._raw.offsets, offset))
        if i == len(self._raw) or int(self._raw.offsets[i]) != offset:
            return self._held[self._raw.partition][offset]
        if self._config.event.sensitive:
            return self._numbers[i], "a row that is not shown (event.sensitive)"
        body = (self._raw.values[i] or b"").decode(errors="replace")
        return self._numbers[i], body if len(body) <= _SHOWN_CHARS else f"{body[: _SHOWN_CHARS - 1]}…"


class _Decoding:
    """Decodes batches with the schemas that they need."""

    def __init__(self, config: Config) -> None:
        self._decoder, self._registry = Decoder(config), registry_of(config)

    def __call__(self, raw: RawBatch) -> tuple[EventBatch, list[Reject]]:
        if self._registry is not None:
            self._registry.supply(self._decoder.schemas, raw.values)
        return self._decoder.decode(raw)


def _within(
    config: Config, between: Between | None, batches: Iterator[tuple[RawBatch, Sequence[int]]]
) -> Iterator[tuple[RawBatch, Sequence[int]]]:
    """Batches without the events of other times."""
    if not between:
        yield from batches
        return
    decode = _Decoding(config)
    for raw, numbers in batches:
        events, _ = decode(raw)
        out = np.zeros(len(raw), dtype=bool)
        if between.from_ms is not None:
            out[events.rows] |= events.event_time_ms < between.from_ms
        if between.to_ms is not None:
            out[events.rows] |= events.event_time_ms >= between.to_ms
        stay = np.flatnonzero(~out).tolist()
        if stay:
            values = [raw.values[i] for i in stay]
            kept = RawBatch(raw.topic, raw.partition, raw.offsets[stay], values)
            yield kept, [numbers[i] for i in stay]


_WHY = {
    "late": "its pane was closed (windows.lateness)",
    "duplicate": "an event with this id came before (event.id_field)",
    "held": "it was further ahead than windows.max_future when the file ended",
    "waiting": "the file ended before its partition had a clock (windows.clock)",
}
