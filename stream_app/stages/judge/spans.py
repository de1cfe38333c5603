"""What people have and have not judged: the spans whose events a model may not learn, and those that it may.

A burst, or a fault of the data, is *unjudged* until somebody accepts it, or a newer model has taken it for normal. Its
events train, calibrate and judge no model, while it is open and for as long as training reaches back to it. What a
person has accepted trains, however strange it looks: until a newer model is in service, for all that comes is like it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from schemas.names import EVERYTHING
from schemas.records import IncidentSpan
from stream_app.config import Config
from stream_app.stages.judge.threads import Thread

SPANS_MAX = 500
"""Spans of each kind that are remembered; of more the oldest two become one, which is as long as both."""
SLICES_MAX = 100
"""Slices that a span names; of more it is about all."""
NAMES_MAX = 50_000
"""Characters of slices that the spans of one request name, unjudged ones and accepted ones; those beyond it are about
all slices: a broker takes no message beyond 1 MiB by default."""


class Accepted(msgspec.Struct):
    """What a person has accepted.

    Attributes:
        spans: one for each slicing.
        model_id: in service then; another one ends the spans.
        asks: slices and the incident's id that a model is still to be asked for.
        open: whether its events go on.
    """

    spans: list[IncidentSpan]
    model_id: str
    asks: list[tuple[str, str]]
    open: bool = True


class Spans:
    """The spans of incidents that have ended."""

    def __init__(self, config: Config) -> None:
        self._reference = int(config.retrain.reference)
        self._unjudged: list[IncidentSpan] = []
        self._accepted: list[Accepted] = []
        self._judged: list[str] = []

    @property
    def judged(self) -> list[str]:
        """Ids of the incidents that people have judged since a model was last asked for, the latest of them."""
        return self._judged

    @property
    def asking(self) -> list[tuple[str, str]]:
        """(slice, incident id) of what was accepted and a model is to be asked for."""
        return [pair for of in self._accepted for pair in of.asks]

    def asked(self) -> None:
        """A model was asked for."""
        self._judged = []
        for of in self._accepted:
            of.asks = []

    def judge(self, incident_id: str) -> None:
        """A person has said what an incident is."""
        self._judged = [*self._judged, incident_id][-SPANS_MAX:]

    def lift(self, incident_id: str, model_id: str, asks: bool) -> bool:
        """A person has accepted what an incident was about that has ended unjudged: a burst may be learned, and a model
        is asked for; a fault is left out no more. Whether there was any such.

        Args:
            incident_id: of the incident.
            model_id: in service.
            asks: whether models are asked for at all.
        """
        named = [span for span in self._unjudged if span.incident_id == incident_id]
        self._unjudged = [span for span in self._unjudged if span.incident_id != incident_id]
        if bursts := [span for span in named if span.kind == "burst"]:
            slices = sorted({name for span in bursts for name in span.slices or [EVERYTHING]})
            pairs = [(name, incident_id) for name in slices] if asks else []
            self._accepted = [*self._accepted, Accepted(bursts, model_id, pairs, open=False)][-SPANS_MAX:]
        if named:
            self.judge(incident_id)
        return bool(named)

    def go_on(self, thread: Thread) -> None:
        """An incident that had ended is open again: its span is its own."""
        self._unjudged = [span for span in self._unjudged if span.incident_id != thread.id]

    def end(self, thread: Thread, end_ms: int) -> None:
        """An incident is over, and nobody has judged it."""
        self.go_on(thread)
        if thread.is_unjudged:
            self._unjudged = _bounded([*self._unjudged, *_spans(thread, "burst" if thread.burst else "fault", end_ms)])

    def accept(self, thread: Thread, end_ms: int, model_id: str, asks: list[tuple[str, str]]) -> None:
        """A person has accepted drift.

        Args:
            thread: of drift that hurts the model in service.
            model_id: that model.
            asks: slices, and the incident's id.
        """
        self.go_on(thread)
        new = Accepted(_spans(thread, "burst" if thread.burst else "drift", end_ms), model_id, asks)
        self._accepted = [*self._accepted, new][-SPANS_MAX:]

    def serve(self, model_id: str, end_ms: int) -> None:
        """A pane was scored by a model, most of it: a newer one ends what was accepted under the former."""
        for of in self._accepted:
            if of.open and model_id not in ("", of.model_id):
                of.open, of.spans = False, [_until(span, end_ms) for span in of.spans]

    def of_request(self, threads: Iterable[Thread], end_ms: int) -> tuple[list[IncidentSpan], list[IncidentSpan]]:
        """Accepted and unjudged spans for a request, within reach of its training rows.

        Args:
            threads: open incidents.
            end_ms: of the pane that it is made in.
        """
        from_ms = end_ms - self._reference
        self._unjudged = [span for span in self._unjudged if span.to_ms > from_ms]
        self._accepted = [of for of in self._accepted if of.open or any(span.to_ms > from_ms for span in of.spans)]
        accepted = [_until(span, end_ms) if of.open else span for of in self._accepted for span in of.spans]
        open_ = [
            span
            for thread in threads
            if thread.is_unjudged
            for span in _spans(thread, "burst" if thread.burst else "fault", end_ms)
        ]
        return _short(accepted[-SPANS_MAX:]), _short(_bounded([*self._unjudged, *open_]))

    def to_state(self) -> Any:
        """Plain values for a snapshot."""
        return msgspec.to_builtins([self._unjudged, self._accepted, self._judged])

    def restore(self, state: Any) -> None:
        """Inverse of :meth:`to_state`."""
        unjudged, accepted, self._judged = state
        self._unjudged = msgspec.convert(unjudged, list[IncidentSpan])
        self._accepted = msgspec.convert(accepted, list[Accepted])


def _spans(thread: Thread, kind: str, end_ms: int) -> list[IncidentSpan]:
    """One for each slicing of an incident, from its beginning on."""
    slices: dict[str, set[str]] = {}
    for _, slicing, slice_ in thread.members:
        slices.setdefault(slicing, set()).add(slice_)
    return [
        IncidentSpan(
            incident_id=thread.id,
            kind=kind,
            slicing=slicing,
            slices=sorted(names) if len(names) <= SLICES_MAX and not thread.dropped else [],
            from_ms=min(thread.since_ms, end_ms),
            to_ms=end_ms,
        )
        for slicing, names in sorted(slices.items())
    ]


def _until(span: IncidentSpan, end_ms: int) -> IncidentSpan:
    return msgspec.structs.replace(span, to_ms=max(span.to_ms, end_ms))


def _bounded(spans: list[IncidentSpan]) -> list[IncidentSpan]:
    """The oldest become one where there are too many: none is forgotten, for an attacker could make room."""
    while len(spans) > SPANS_MAX:
        first, second, *rest = spans
        spans = [_joined(first, second), *rest]
    return spans


def _joined(a: IncidentSpan, b: IncidentSpan) -> IncidentSpan:
    """A span as long as both, of the slices of both."""
    names = sorted({*a.slices, *b.slices}) if a.slicing == b.slicing and a.slices and b.slices else []
    return msgspec.structs.replace(
        b,
        slices=names if len(names) <= SLICES_MAX else [],
        from_ms=min(a.from_ms, b.from_ms),
        to_ms=max(a.to_ms, b.to_ms),
    )


def _short(spans: list[IncidentSpan]) -> list[IncidentSpan]:
    left, out = NAMES_MAX, list[IncidentSpan]()
    for span in reversed(spans):
        left -= sum(map(len, span.slices))
        out.append(span if left >= 0 else msgspec.structs.replace(span, slices=[]))
    return out[::-1]
