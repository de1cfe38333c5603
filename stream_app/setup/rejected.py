"""Why rows come to nothing, in one sentence, with the name or the format that is nearest to right."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice

import numpy as np

from stream_app.config import Config, EventConfig
from stream_app.config.registries import EPOCHS
from stream_app.errors import DriftflowError
from stream_app.setup.columns import Column, columns_of
from stream_app.setup.times import formats_of, time_columns
from stream_app.stages.batches import RawBatch
from stream_app.stages.dropped import Dropped
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.json_bodies import object_of
from stream_app.stages.score.rejects import Reject, Undecodable
from stream_app.terminal import utc

MOST = 0.5
"""Above this share of rejected rows it is the configuration, and not some rows."""
FIRST = 1_000
"""Rows that are tried."""
_COUNTED = 200_000
"""Most rows that are counted where these were no good."""
_KEPT = 400
_OLD_MS, _LATE_MS = 631_152_000_000, 4_102_444_800_000  # 1990 to 2100
_NO_EVENTS = frozenset(
    {"bad_time", "missing_time", "wrong_type", "not_json", "not_msgpack", "not_avro", "wrong_length", "too_large"}
    | {"unknown_schema", "nameless"}
)
_QUOTED = re.compile(r"'((?:[^'\\]|\\.){1,80})'")
_SHOWN = 60


class MostRejected(DriftflowError):
    """Nearly all rows are rejected: how many, why, and what would be right."""


class Tried:
    """Rows that were decoded by a configuration, and what became of them.

    Args:
        config: the stream.

    Attributes:
        rows, coerced: how many, and how many of them were read leniently.
        rejects: reasons of those that came to nothing, by ``(reason, field)``, with how many.
    """

    def __init__(self, config: Config) -> None:
        self._config, self._decoder = config, Decoder(config)
        self._bodies: list[bytes] = []
        self._first: dict[tuple[str, str], Reject] = {}
        self.rows, self.coerced, self.rejects = 0, 0, Counter[tuple[str, str]]()
        self._times: list[int] = []

    @property
    def rejected(self) -> int:
        """Rows that came to nothing."""
        return self.rejects.total()

    @property
    def is_broken(self) -> bool:
        """Whether it is the configuration that is wrong."""
        return self.rejected > MOST * self.rows or bool(self._unit())

    def take(self, bodies: Iterable[bytes | None]) -> None:
        """Decode some more."""
        values = list(bodies)
        if not values:
            return
        raw = RawBatch(self._config.topics.events, 0, np.arange(self.rows, self.rows + len(values)), list(values))
        events, rejects = self._decoder.decode(raw)
        self.rows += len(values)
        self._times += events.event_time_ms[: max(_KEPT - len(self._times), 0)].tolist()
        if events.coerced is not None:
            self.coerced += int(np.count_nonzero(events.coerced))
        for reject in rejects:
            self.rejects[reject.reason, reject.field] += 1
            self._first.setdefault((reject.reason, reject.field), reject)
        self._bodies += [body for body in values[: max(_KEPT - len(self._bodies), 0)] if body is not None]

    def says(self, what: str = "rows") -> str:
        """How many are rejected, why, and what would be right; "" where none is."""
        if unit := self._unit():
            return unit
        if not self.rejected:
            return ""
        parts = []
        for (reason, name), n in self.rejects.most_common(3):
            first = self._first[reason, name]
            where = f" in field {name!r}" if name else ""
            parts.append(f"{n:,} {reason}{where} ({_short(first.detail)})")
        common = self.rejects.most_common(3) if self.is_broken else []
        hints = list(dict.fromkeys(filter(None, (self._hint(*of) for of, _ in common))))
        told = "".join(f"; {hint}" for hint in hints)
        return f"{self.rejected:,} of {self.rows:,} {what} rejected: {', '.join(parts)}{told}"

    def check(self, what: str = "rows") -> None:
        """Raise MostRejected where most of them are."""
        if self.rows and self.is_broken:
            raise MostRejected(self.says(what))

    def _unit(self) -> str:
        """What is wrong with times that are all of 1970, where another unit makes times of today of them."""
        event = self._config.event
        if event.time_format not in EPOCHS or not self._times or max(self._times) >= _OLD_MS:
            return ""
        times, by = EPOCHS[event.time_format]
        number = self._times[len(self._times) // 2] * by / times
        right = next((name for name, (m, d) in EPOCHS.items() if _OLD_MS <= number * m / d < _LATE_MS), "")
        if not right:
            return ""
        return (
            f"the times of all rows looked at lie before 1990, at {utc(self._times[0])} for one: {event.time_field} is "
            f"written as event.time_format = {_toml(right)}, and not {_toml(event.time_format)}"
        )

    def _hint(self, reason: str, name: str) -> str:
        event, columns = self._config.event, self._columns()
        if name == event.time_field or reason in ("bad_time", "missing_time"):
            return time_hint(event, columns)
        if reason == "wrong_type" and name in columns:
            return number_hint(event, columns[name])
        return ""

    def _columns(self) -> dict[str, Column]:
        found = []
        for body in self._bodies:
            try:
                found.append(object_of(body))
            except Undecodable:
                continue
        return columns_of(found)


def check_first(config: Config, bodies: Iterable[bytes]) -> None:
    """Decode the first rows of a source, and where most of these are rejected the others too, to say how many.

    Raises:
        MostRejected: most rows are: how many, why, and what would be right.
    """
    tried, rest = Tried(config), iter(bodies)
    tried.take(islice(rest, FIRST))
    while tried.is_broken and tried.rows < _COUNTED and (more := list(islice(rest, FIRST))):
        tried.take(more)
    tried.check()


def time_hint(event: EventConfig, columns: dict[str, Column]) -> str:
    """What ``event.time_field`` or ``time_format`` should be, by the columns of some rows; "" where none shows it."""
    own = columns.get(event.time_field)
    formats = formats_of(own, is_table=True) if own is not None and own.present else []
    if own is not None and formats and event.time_format not in formats:
        return (
            f"{_such(own)} is written as event.time_format = {_toml(formats[0])}, which is {_toml(event.time_format)}"
        )
    others = [each for each in time_columns(list(columns.values()), is_table=False) if each.name != event.time_field]
    if others:
        best = others[0]
        form = f" and event.time_format = {_toml(best.format)}" if best.format != event.time_format else ""
        return f"times stand in another field: event.time_field = {_toml(best.name)}{form}"
    return ""


def number_hint(event: EventConfig, column: Column) -> str:
    """What to do about texts in a field of numbers."""
    words = [word for word, _ in column.texts.most_common(3)]
    if not words:
        return ""
    told = ", ".join(_toml(word) for word in words)
    if column.n_numbers > column.texts.total() or len(column.texts) <= 2 < column.distinct:
        return f"where {told} means that it is missing, add it to event.missing_values"
    if len(column.texts) <= max(40, column.present // 10) and column.name not in event.categorical:
        return f"{column.name} holds texts such as {told}: it belongs to event.categorical, not to event.numeric"
    return f"{column.name} holds texts such as {told}: take it out of event.numeric"


def of_dropped(dropped: Dropped, kept: int, event: EventConfig) -> str:
    """The same of a tally of what was asked for: where more was no event than was one, how many of how many, why, and
    what a time looks like; "" else.
    """
    bad = [reason for reason in dropped if reason.name in _NO_EVENTS]
    n = sum(reason.rows for reason in bad)
    if n <= MOST * (n + kept):
        return ""
    said = f"{n:,} of {n + kept:,} rows rejected: {', '.join(map(str, bad[:3]))}"
    if bad[0].name == "bad_time" and (quoted := _QUOTED.search(bad[0].example)):
        column = columns_of([{"-": quoted[1]}])["-"]
        formats = formats_of(column, is_table=True) if column.present else []
        if formats and formats[0] != event.time_format:
            said += f"; {quoted[1]!r} is written as event.time_format = {_toml(formats[0])}"
    return said


def _such(column: Column) -> str:
    return repr(next(iter(column.counts))[:_SHOWN])


def _short(detail: str) -> str:
    return detail if len(detail) <= 120 else f"{detail[:119]}…"


def _toml(text: str) -> str:
    return f'"{text[:_SHOWN]}"'
