"""Whether the first events of a stream have the fields that the configuration names: a typo must not train a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from stream_app.config import EventConfig
from stream_app.config.types import nearest
from stream_app.errors import DriftflowError
from stream_app.stages.score.json_bodies import object_of
from stream_app.stages.score.objects import Objects
from stream_app.stages.score.paths import holder
from stream_app.stages.score.rejects import Undecodable

_SHOWN, _FAULTS_SHOWN, _CHARS_SHOWN = 12, 5, 80
_NAMES_MAX = 1_000
_DEPTH = 4


class FieldsMissing(DriftflowError):
    """None of a stream's first events has a field that the configuration names."""


class FirstEvents:
    """Looks at the first ``event.first_events`` events of a stream: bodies that are an object, whatever else is wrong.

    A field that is null is there.

    Args:
        event: the stream.
        objects: what makes objects of bodies.

    Attributes:
        seen: events looked at.
    """

    def __init__(self, event: EventConfig, objects: Objects = object_of) -> None:
        self._most, self._known, self._objects = event.first_events, fields_of(event), objects
        self._missing = {name: (key, holder(name)) for name, key in self._known.items()}
        """Fields that no event has had so far, with their setting and how to tell."""
        self._names: Counter[str] = Counter()
        self.seen = 0

    @property
    def enough(self) -> bool:
        """Whether what can be said is known: so many events were looked at, or every field was found."""
        return self.seen >= self._most or not self._missing

    def take(self, values: Iterable[bytes | None]) -> None:
        """Look at the next bodies, as many as are wanted."""
        for value in values:
            if self.enough:
                return
            body = self._body(value)
            if body is not None:
                self._look(body)

    def check(self) -> None:
        """Raise FieldsMissing, in one sentence, where no event that was looked at has one of the fields."""
        if self.seen and self._missing:
            raise FieldsMissing(self._says())

    def _body(self, value: bytes | None) -> dict[str, Any] | None:
        try:
            return self._objects(value or b"")
        except Undecodable:
            return None

    def _look(self, body: dict[str, Any]) -> None:
        self.seen += 1
        self._missing = {name: (key, has) for name, (key, has) in self._missing.items() if not has(body)}
        for name in _names(body):
            if name in self._names or len(self._names) < _NAMES_MAX:
                self._names[name] += 1

    def _says(self) -> str:
        named = [f"{_shown(name)} ({key}{self._hint(name)})" for name, (key, _) in self._missing.items()]
        more = f" and {len(named) - _FAULTS_SHOWN} more" if len(named) > _FAULTS_SHOWN else ""
        # Those that the configuration does not name come first: the one that is looked for is among them.
        names = sorted(self._names, key=lambda name: (name in self._known, -self._names[name], name))
        others = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return (
            f"none of the first {self.seen:,} events has a field {', nor '.join(named[:_FAULTS_SHOWN])}{more}; they "
            f"have {', '.join(map(_shown, names[:_SHOWN])) or 'no field'}{others}: write the name that they have, or "
            "set event.first_events = 0 where the field comes later"
        )

    def _hint(self, name: str) -> str:
        last = {found.rpartition(".")[2]: found for found in sorted(self._names, reverse=True)}
        near = nearest(name, last | {found: found for found in self._names}, 0.7)
        return f", did you mean {_shown(near)}?" if near else ""


def fields_of(event: EventConfig) -> dict[str, str]:
    """Every field that the configuration names, with the first setting that does."""
    named = {
        "time_field": [event.time_field],
        "numeric": event.numeric,
        "categorical": event.categorical,
        "slicings": [name for fields in event.slicings for name in fields],
        "id_field": [event.id_field] if event.id_field else [],
    }
    settings: dict[str, str] = {}
    for setting, names in named.items():
        settings |= {name: f"event.{setting}" for name in names if name not in settings}
    return settings


def _names(body: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Names of an event's fields, those of objects in it too, as the configuration would write them."""
    for name, value in body.items():
        way = (*path, name)
        if isinstance(value, dict) and value and len(way) < _DEPTH:
            yield from _names(value, way)
        else:
            yield ".".join(map(_escaped, way)) if path else name


def _shown(name: str) -> str:
    return repr(name if len(name) <= _CHARS_SHOWN else name[:_CHARS_SHOWN] + "…")


def _escaped(step: str) -> str:
    return step.replace("\\", "\\\\").replace(".", "\\.")
