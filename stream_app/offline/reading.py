"""A file read as its events would come from the topic, and what of it was dropped and why."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from schemas.codecs import decode_event
from schemas.records import DeadLetter
from stream_app.config import Config
from stream_app.event_files import Report, read_rows
from stream_app.offline.replay import numbered_batches
from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.dropped import Dropped
from stream_app.stages.outputs import Outputs
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.readings import LocalTimes
from stream_app.stages.score.state import ScoreState
from stream_app.stages.score.timing import NOTHING

_SHOWN_CHARS = 100

_Where = tuple[int, str]
"""The number of a line or row, and how the body begins that it became."""


class Reading:
    """One reading of a file.

    Attributes:
        file: which.
        report: what became of its rows so far, and by the end of it all.
    """

    def __init__(self, config: Config, file: Path, report: Report | None = None) -> None:
        self._config, self.file = config, file
        self.report = report if report is not None else Report()
        self._held: dict[int, dict[int, _Where]] = {}  # by partition and offset
        self._raw = RawBatch(config.topics.events, 0, np.zeros(0, np.int64), [])
        self._numbers: list[int] = []

    @property
    def dropped(self) -> Dropped:
        """Rows that came to nothing."""
        return self.report.dropped

    def count(self) -> int:
        """How many rows can be read, by a reading of its own; raises DriftflowError."""
        return sum(1 for _ in read_rows(self.file, self._config, Report()))

    def batches(self) -> Iterator[RawBatch]:
        """The rows as batches of consecutive offsets per partition, in file order; raises DriftflowError."""
        rows = read_rows(self.file, self._config, self.report)
        numbered = ((self.report.number, key, value) for key, value in rows)
        for raw, numbers in numbered_batches(self._config, numbered):
            self._raw, self._numbers = raw, numbers
            yield raw

    def events(self) -> Iterator[EventBatch]:
        """The events of each batch; what cannot be decoded is counted. Raises DriftflowError."""
        decoder, times = Decoder(self._config), LocalTimes()
        for raw in self.batches():
            events, rejects = decoder.decode(raw)
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
        self.dropped.add(name, field, f"{self.report.place(number)}: {why}, in {body}", rows, number)

    def _where(self, offset: int) -> _Where:
        """Where an event of the last batch is, or one that was held before it."""
        i = offset - int(self._raw.offsets[0])
        if i < 0:
            return self._held[self._raw.partition][offset]
        if self._config.event.sensitive:
            return self._numbers[i], "a row that is not shown (event.sensitive)"
        body = (self._raw.values[i] or b"").decode(errors="replace")
        return self._numbers[i], body if len(body) <= _SHOWN_CHARS else f"{body[: _SHOWN_CHARS - 1]}…"


_WHY = {
    "late": "its pane was closed (windows.lateness)",
    "duplicate": "an event with this id came before (event.id_field)",
    "held": "it was further ahead than windows.max_future when the file ended",
    "waiting": "the file ended before its partition had a clock (windows.clock)",
}
