"""Texts of events as the names of slices, categories and ids: one value is one name however it was written."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from operator import attrgetter
from typing import Any

from schemas.names import EVERYTHING, slice_name, text_name
from stream_app.config import EventConfig
from stream_app.stages.score.coercion import Misfit, number, text_of

Text = str | None


class _Memo(dict[Hashable, Any]):
    """What a function gives for each key, worked out once: a batch has few slices and levels."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Hashable) -> Any:
        self[key] = made = self._make(key)
        return made


class Texts:
    """Makes names of the values of a stream's fields.

    Attributes:
        missing_numbers: of ``event.missing_values`` those that a numeric field may hold.
    """

    def __init__(self, event: EventConfig) -> None:
        self._missing, self._form = frozenset(event.missing_values), event.unicode
        self.missing_numbers = [value for text in event.missing_values if (value := _number_of(text)) is not None]

    def categories(self, bodies: Iterable[Any], attribute: str) -> list[Text]:
        """The level of a category in each body, None where it is missing."""
        levels = _Memo(self._category)
        return [levels[text] for text in _texts(bodies, attribute)]

    def ids(self, bodies: Iterable[Any], attribute: str) -> list[str]:
        """The id of each body, "" for none. They are kept in memory and in snapshots: a long one ends with its hash."""
        return [self._category(text) or "" for text in _texts(bodies, attribute)]

    def slices(self, bodies: Sequence[Any], attributes: list[str]) -> list[str]:
        """The name of the slice of each body in a slicing by some attributes."""
        if not attributes:
            return [EVERYTHING] * len(bodies)
        names = _Memo(self._slice)
        return [names[texts] for texts in zip(*(_texts(bodies, name) for name in attributes), strict=True)]

    def name(self, values: Iterable[Any]) -> str:
        """The name of the slice of some values of JSON; objects and lists, which no event is taken with, are none."""
        return self._slice(tuple(None if isinstance(value, dict | list) else _text(value) for value in values))

    def _category(self, text: Text) -> Text:
        present = self._present(text)
        return None if present is None else text_name(present, self._form)

    def _slice(self, texts: tuple[Text, ...]) -> str:
        return slice_name([self._present(text) for text in texts], self._form)

    def _present(self, text: Text) -> Text:
        return None if text is None or text.strip() in self._missing else text


def _texts(bodies: Iterable[Any], attribute: str) -> list[Text]:
    return [value if value.__class__ is str else _text(value) for value in map(attrgetter(attribute), bodies)]


def _text(value: Any) -> Text:
    return None if value is None else text_of(value)


def _number_of(text: str) -> float | None:
    try:
        found, _ = number(text)
    except Misfit:
        return None
    return None if found is None else float(found)
