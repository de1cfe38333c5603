"""The object that a row decoder gives, made of the values of a body's fields."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from stream_app.config import EventConfig
from stream_app.stages.score.json_bodies import readers
from stream_app.stages.score.rejects import Undecodable

_LARGEST = sys.float_info.max


class Fields:
    """The fields of a stream: the time, the numbers, the texts and the id, where that is none of the texts.

    Attributes:
        attributes, names: of the fields, in this order.
    """

    def __init__(self, event: EventConfig, texts: list[str]) -> None:
        numbers, others = (f"n{i}" for i in range(len(event.numeric))), (f"c{i}" for i in range(len(texts)))
        ways = readers(event, texts)
        self.attributes, self.names = ["t", *numbers, *others, "i"][: len(ways)], [name for name, _, _ in ways]
        self._finders = [find for _, find, _ in ways]
        self._ways = [
            (attribute, name, read, attribute[0] == "n")
            for attribute, (name, _, read) in zip(self.attributes, ways, strict=True)
        ]

    def made_of(self, values: Iterable[Any]) -> Any:
        """What :data:`~stream_app.stages.score.decoding.DECODERS` gives, of the values of the fields in their order.

        They are read as those of JSON are (``event.policy``), but for NaN, which is how these formats write that a
        number is missing.

        Raises:
            Undecodable: one is not what its field holds.
        """
        made, coerced = dict[str, Any](), 0
        for (attribute, name, read, is_number), value in zip(self._ways, values, strict=True):
            if value is None or (is_number and value.__class__ is float and -_LARGEST <= value <= _LARGEST):
                made[attribute] = value  # nearly all of them
            else:
                made[attribute], as_it_should_be = read(_plain(name, value))
                coerced += not as_it_should_be
        return SimpleNamespace(**made, coerced=coerced)

    def made_of_body(self, body: Mapping[str, Any]) -> Any:
        """The same, of a body with these fields somewhere in it."""
        return self.made_of(find(body) for find in self._finders)


def _plain(name: str, value: Any) -> Any:
    """A value that JSON could have; raises Undecodable where it is binary data."""
    if isinstance(value, float) and value != value:
        return None
    if value is None or isinstance(value, str | int | float | dict | list):
        return value
    size = f"{len(value)} bytes of " if isinstance(value, bytes) else ""
    raise Undecodable("wrong_type", name, f"expected a text, a number or a boolean, got {size}binary data")
