"""What the page relies on in a stored point: a type for each measurement.

The store is a file that others may write too. A point that is damaged or of another type is left out and counted; the
page answers with the rest.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

import msgspec
from msgspec import Meta

from flowlib.pit import PIT_BINS
from schemas.bounds import Millis
from schemas.incidents import Action, Incident, StrangeEvents
from stream_app.stages.points import ALPHA_FIELDS

Row = dict[str, Any]
"""A point's time, tags and fields under their names; a row of an answer."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
"""What JavaScript holds exactly."""

_Value = str | int | float | bool | None


class _Timed(TypedDict):
    time_ms: Millis


class _GateWords(TypedDict):
    passed: bool
    says: str


class _Gate(_GateWords, total=False):
    waits: bool
    figure: float | None
    interval_95: list[float] | None
    threshold: float | None


class _Incident(_Timed):
    stream: str
    silenced: Literal["0", "1"]
    record: str


class _Told(_Timed):
    record: str


class _Model(_Timed):
    model_id: str
    status: Literal["promoted", "refused", "covered", "candidate", "waiting"]
    train_rows: Count
    request_id: str
    parent_id: str
    reason: str


class _Activation(_Timed):
    partition: str
    model_id: str


class _Counters(_Timed):
    partition: str
    received: Count
    windowed: Count
    late: Count
    rejected: Count
    duplicate: Count
    held: Count


class _Service(_Timed):
    verb: Literal["rollback", "pin", "unpin", "extend"]
    id: str
    model_id: str
    returns_to: str
    by: str
    why: str


class _Retrain(_Timed):
    id: str
    reason: str
    model_id: str


class _Health(_Timed):
    part: str
    state: Literal["failing", "ok"]
    says: str
    source: str


class _Window(_Timed):
    slice: str
    slicing: str
    span: str
    model_id: str


class _Pit(_Timed):
    feature: str
    partition: str
    model_id: str


_TYPES: dict[str, type] = {
    "windows": _Window,
    "incidents": _Incident,
    "strange_events": _Told,
    "actions": _Told,
    "models": _Model,
    "activations": _Activation,
    "health": _Health,
    "counters": _Counters,
    "service": _Service,
    "retrains": _Retrain,
    "pit": _Pit,
}
MEASUREMENTS = tuple(_TYPES)
"""Those that rows are made of."""

_COUNTS = {"windows": ("seen", "scored", "missing", *ALPHA_FIELDS), "pit": tuple(f"h{b:02d}" for b in range(PIT_BINS))}
SHIFTS = ("smallest_shift_day", "smallest_shift_week")
"""Fields of a window: what a slice would notice within that time, in standard deviations."""

_MAYBE = ("log_prob_mean", *SHIFTS)
_TAGS = msgspec.json.Decoder(dict[str, str])
_FIELDS = msgspec.json.Decoder(dict[str, _Value])
_NESTED: dict[str, dict[str, msgspec.json.Decoder[Any]]] = {
    "incidents": {"record": msgspec.json.Decoder(Incident)},
    "strange_events": {"record": msgspec.json.Decoder(StrangeEvents)},
    "actions": {"record": msgspec.json.Decoder(Action)},
    "models": {"gates": msgspec.json.Decoder(dict[str, _Gate])},
}


def row_of(measurement: str, time_ms: object, tags: object, fields: object) -> Row:
    """A stored point as one dict, with the JSON that some fields hold read too.

    Raises:
        ValueError: it is none that the pipeline writes.
    """
    if not (isinstance(tags, str) and isinstance(fields, str)):
        raise ValueError("tags and fields are texts")
    try:
        row: Row = {"time_ms": time_ms, **_TAGS.decode(tags), **_FIELDS.decode(fields)}
        msgspec.convert(row, _TYPES[measurement])
        counts = counted(row) if measurement == "counters" else _COUNTS.get(measurement, ())
        msgspec.convert([row[name] for name in counts], list[Count])
        msgspec.convert([row.get(name) for name in _MAYBE], list[float | None])
        row |= {name: decoder.decode(row[name]) for name, decoder in _NESTED.get(measurement, {}).items()}
    except (msgspec.MsgspecError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return row


def counted(row: Row) -> set[str]:
    """Names of the totals of a row of ``counters``."""
    return row.keys() - {"time_ms", "partition", "stream"}
