"""Texts of events as the names of slices, categories and ids: one value is one name however it was written."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from flowlib.table import Coded, Ints
from schemas.names import EVERYTHING, is_plain, slice_name, text_name
from stream_app.config import EventConfig
from stream_app.stages.score.coercion import Misfit, number, text_of
from stream_app.stages.score.pools import POOL_MAX, Lookup, Pool, looked_up

Text = str | None
_KEPT_MAX = 2**18
"""Names that are known by heart."""


class _Memo(dict[Hashable, Any]):
    """What a function gives for each key, worked out once for as long as there is room for it."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Hashable) -> Any:
        if len(self) >= _KEPT_MAX:
            self.clear()
        self[key] = made = self._make(key)
        return made


class Texts:
    """Makes names of the values of a stream's fields.

    Attributes:
        missing_numbers: of ``event.missing_values`` those that a numeric field may hold.
    """

    def __init__(self, event: EventConfig) -> None:
        self._missing, self._form = frozenset(event.missing_values), event.unicode
        self._levels, self._names = _Memo(self._category), _Memo(lambda text: self._slice((text,)))
        self._joined = _Memo(self._slice)
        self._pool, self._numbers, self._of_texts = Pool(), dict[str, int](), Lookup()
        self.missing_numbers = [value for text in event.missing_values if (value := _number_of(text)) is not None]

    def levels(self, texts: Coded) -> Coded:
        """The level of a category in each of n events, None where it is missing."""
        return _named(texts.codes, [self._levels[text] for text in texts.names])

    def ids(self, texts: Iterable[Text]) -> list[str]:
        """The id of each event, "" for none; a long one ends with its hash: ids are kept in memory and snapshots."""
        missing, named = self._missing, self._category
        return [
            text if text and is_plain(text) and text.strip() not in missing else named(text) or "" for text in texts
        ]

    def slices(self, columns: Sequence[Coded], n: int) -> Coded:
        """The name of the slice of each of n events in a slicing by fields of these texts."""
        if not columns:
            return Coded.alike(n, EVERYTHING)
        if len(self._pool) > POOL_MAX:
            self._pool, self._numbers = Pool(), {}
            self._of_texts.forget()
        if len(columns) == 1:
            return self._named(columns[0].codes, self._of_texts.of(columns[0], self._numbers_of))
        codes, tuples = _tuples(columns)
        return self._named(codes, self._numbered([self._joined[texts] for texts in tuples]))

    def _numbers_of(self, texts: list[Text]) -> Ints:
        """The numbers of the names of some texts; most are their own names."""
        missing, made = self._missing, self._names
        return self._numbered(
            [text if text and is_plain(text) and text.strip() not in missing else made[text] for text in texts]
        )

    def _numbered(self, names: list[str]) -> Ints:
        """The numbers of some names in the pool, where those that are new come to be."""
        numbers = looked_up(names, self._numbers, -1)
        new = np.flatnonzero(numbers < 0).tolist()
        if new:
            several = [names[i] for i in new]
            fresh = dict.fromkeys(several)
            first = self._pool.add(*fresh)
            self._numbers.update(zip(fresh, range(first, first + len(fresh)), strict=True))
            numbers[new] = looked_up(several, self._numbers, -1)
        return numbers

    def _named(self, codes: Ints, numbers: Ints) -> Coded:
        """A column of names, each once: several texts may have one."""
        place = np.empty(len(self._pool), dtype=np.int64)
        place[numbers] = np.arange(len(numbers))
        if np.array_equal(place[numbers], np.arange(len(numbers))):
            return self._pool.column(codes, numbers)
        different, first, there = np.unique(numbers, return_index=True, return_inverse=True)
        order = np.argsort(first)
        return self._pool.column(np.argsort(order)[there][codes], different[order])

    def name(self, values: Iterable[Any]) -> str:
        """The name of the slice of some values of JSON; objects and lists, which no event is taken with, are none."""
        return self._slice(tuple(None if isinstance(value, dict | list) else as_text(value) for value in values))

    def _category(self, text: Text) -> Text:
        present = self._present(text)
        return None if present is None else text_name(present, self._form)

    def _slice(self, texts: tuple[Text, ...]) -> str:
        return slice_name([self._present(text) for text in texts], self._form)

    def _present(self, text: Text) -> Text:
        return None if text is None or text.strip() in self._missing else text


def as_text(value: Any) -> Text:
    """The text of a value of a text field."""
    return None if value is None else text_of(value)


def _named(codes: Ints, names: list[Any]) -> Coded:
    """A column of names, each once: several texts may have one."""
    if len(set(names)) == len(names):
        return Coded(codes, names)
    place: dict[Text, int] = {}
    there = np.array([place.setdefault(name, len(place)) for name in names], dtype=np.int64)
    return Coded(there[codes], list(place))


def _tuples(columns: Sequence[Coded]) -> tuple[Ints, list[tuple[Text, ...]]]:
    """Some columns of texts as one column of tuples, in the order in which they come first."""
    codes, first = columns[0].codes, np.arange(0)
    for column in columns[1:]:
        _, first, codes = np.unique(codes * len(column.names) + column.codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    texts = [[column.names[code] for code in column.codes[first[order]].tolist()] for column in columns]
    return np.argsort(order)[codes], list(zip(*texts, strict=True))


def _number_of(text: str) -> float | None:
    try:
        found, _ = number(text)
    except Misfit:
        return None
    return None if found is None else float(found)
