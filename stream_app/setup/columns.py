"""What the columns of a sample hold: numbers, texts, booleans; how many different ones; what is missing."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowlib.table import Floats
from stream_app.config import EventConfig
from stream_app.event_files.amounts import amount
from stream_app.stages.score.coercion import Misfit, number, text_of

_DEPTH = 4
MISSING = frozenset(EventConfig(time_field="-", numeric=["-"]).missing_values)
_JUNK_MAX, _JUNK_SHARE = 5, 0.3


@dataclass(slots=True)
class Column:
    """One field of the rows.

    Attributes:
        name: as a configuration writes it.
        values: ``(n,)`` of each row, None where it is missing.
        numbers: ``(n,)`` float64, NaN where there is none.
        counts: text of each value that is there to how often.
        texts: values that are text and no number.
        written: numbers that are written as text.
        booleans, nested: values that are one, or an object or a list.
        ambiguous: texts that may be a thousand or have a decimal comma.
        amounts: texts such as ``$1,234.50``, which are numbers in tables alone.
    """

    name: str
    values: list[Any]
    numbers: Floats = field(default_factory=lambda: np.zeros(0))
    counts: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    written: int = 0
    booleans: int = 0
    nested: int = 0
    ambiguous: int = 0
    amounts: int = 0

    @property
    def present(self) -> int:
        """Rows that have a value."""
        return len(self.values) - self.values.count(None)

    @property
    def distinct(self) -> int:
        """Different values."""
        return len(self.counts)

    @property
    def n_numbers(self) -> int:
        """Values that are numbers."""
        return int(np.count_nonzero(~np.isnan(self.numbers)))

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers, a few words that stand for missing ones apart."""
        words = self.texts.total()
        others = len(self.texts) <= _JUNK_MAX and words <= _JUNK_SHARE * self.present
        return self.n_numbers > 0 and not self.booleans and not self.nested and (not words or others)

    @property
    def is_whole(self) -> bool:
        """Whether its numbers are whole ones."""
        known = self.numbers[~np.isnan(self.numbers)]
        return bool(len(known)) and bool(np.all(known == np.floor(known)))

    @property
    def words(self) -> set[str]:
        """The words of its name, in small letters."""
        return words_of(self.name)


def words_of(name: str) -> set[str]:
    """The words of a name.

    >>> sorted(words_of("eventTime_ms")), sorted(words_of("TX_ID"))
    (['event', 'ms', 'time'], ['id', 'tx'])
    """
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return {word for word in re.split(r"[^a-z0-9]+", parted.lower()) if word}


def columns_of(rows: Sequence[dict[str, Any]], is_table: bool = False) -> dict[str, Column]:
    """The columns by name, in the order in which they come first; ``is_table``: values are cells of text."""
    values: dict[str, list[Any]] = {}
    for i, row in enumerate(rows):
        for name, value in _fields(row):
            held = values.setdefault(name, [])
            held.extend([None] * (i - len(held)))
            held.append(value)
    return {name: _column(name, held + [None] * (len(rows) - len(held)), is_table) for name, held in values.items()}


def _fields(row: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        way = (*path, name)
        if isinstance(value, dict) and value and len(way) < _DEPTH:
            yield from _fields(value, way)
        else:
            yield ".".join(map(_escaped, way)) if path else name.replace("\\", "\\\\"), value


def _escaped(step: str) -> str:
    return step.replace("\\", "\\\\").replace(".", "\\.")


def _column(name: str, values: list[Any], is_table: bool) -> Column:
    column = Column(name, values, np.full(len(values), np.nan))
    known: dict[str, tuple[float, bool, bool]] = {}
    for i, value in enumerate(values):
        if isinstance(value, str):
            _take_text(column, i, value, known, is_table)
        elif isinstance(value, bool):
            column.booleans += 1
            column.counts["true" if value else "false"] += 1
        elif isinstance(value, int | float):
            _take_number(column, i, value)
        elif value is not None:
            column.nested += 1
    return column


def _take_number(column: Column, i: int, value: float) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        column.values[i] = None
    else:
        column.numbers[i] = value
        column.counts[text_of(value)] += 1


def _take_text(column: Column, i: int, value: str, known: dict[str, tuple[float, bool, bool]], is_table: bool) -> None:
    told = value.strip()
    if told in MISSING:
        column.values[i] = None
        return
    if told not in known:
        known[told] = _read(told)
    found, ambiguous, is_amount = known[told]
    column.counts[told] += 1
    column.ambiguous += ambiguous
    column.amounts += is_amount
    if math.isnan(found) or (is_amount and not is_table):
        column.texts[told] += 1
    else:
        column.numbers[i] = found
        column.written += 1


def _read(told: str) -> tuple[float, bool, bool]:
    """A text as a number, NaN where it is none; whether there are two ways to read it; whether it is one in tables
    alone.
    """
    if told[0].isalpha():
        return math.nan, False, False
    try:
        found = float(told) if "_" not in told else math.nan
        return (found if math.isfinite(found) else math.nan), False, False
    except ValueError:
        pass
    try:
        coerced = number(told)[0]
        return (math.nan if coerced is None else float(coerced)), False, False
    except Misfit as error:
        shown = amount(told)
        return (math.nan if shown is None else float(shown)), "thousand" in str(error), shown is not None
