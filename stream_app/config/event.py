"""What an event looks like: the ``[event]`` section."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from stream_app.config.registries import EventFormat, PolicyName, UnicodeForm
from stream_app.config.types import Positive, Section


class EventConfig(Section, frozen=True):
    """What an event looks like. A field's name is one that the event has, dots or not, else a path: ``payload.amount``
    is in the object ``payload``, ``items.0.price`` in the first element of a list; ``PM2\\.5`` is never a path."""

    time_field: str
    """Field that says when the event happened."""
    numeric: Annotated[list[str], Meta(min_length=1)]
    """Fields that hold numbers; null and absent are missing values."""
    format: EventFormat = "json"
    """How the bodies are encoded: ``json``; ``msgpack``, MessagePack with the same fields; ``avro``, by
    ``event.avro_schema`` or a schema registry; ``float32``, rows of numbers as ``event.layout`` says."""
    layout: list[str] = msgspec.field(default_factory=list)
    """Of a float32 body, the fields behind the time in their order (default: those of ``numeric``, ``categorical``,
    ``slicings`` and the id, each once). Without gaps, little-endian: the time as int64, milliseconds since the epoch, a
    number as float32, NaN for missing, any other field as int32, -2147483648 for missing; its digits are its text."""
    avro_schema: str = ""
    """File of an Avro schema. Without ``schema_registry.url`` the bodies are written by it, and nothing stands before
    them; with one it is the reader's schema: its aliases and defaults count."""
    time_format: str = "iso8601"
    """``iso8601``, ``epoch_s``, ``epoch_ms``, ``epoch_us``, ``epoch_ns`` or a strptime pattern."""
    timezone: str = "UTC"
    """Zone of times that carry none, of the hours, weekdays and seasons that ``model.context`` tells of, and of the
    hours of the week at which events are usual."""
    categorical: list[str] = msgspec.field(default_factory=list)
    """Fields that hold one of some texts, or booleans."""
    label_field: str = ""
    """One of ``categorical`` that people or another system have entered, such as a diagnosis: before a training the
    rows whose label the other columns contradict are counted, and many of them stop it."""
    id_field: str = ""
    """Field that tells events apart: one that comes again is a duplicate."""
    slicings: Annotated[list[list[str]], Meta(min_length=1)] = msgspec.field(default_factory=lambda: [[]])
    """Lists of fields; an event belongs to one slice of each. The empty list is everything."""
    key: list[str] = msgspec.field(default_factory=list)
    """Fields that ``driftflow produce`` keys events by (default: the first slicing; where that is everything, the id).
    Duplicates are told within a source partition, so that events with one id need one key."""
    max_bytes: Positive = 1_000_000
    """Larger bodies go to the dead letters undecoded."""
    first_events: Annotated[int, Meta(ge=0)] = 1_000
    """Of so many events at the beginning of a stream or a file one at least must have each field that is named here,
    null or not; else the command ends with what they have instead. 0 where a field comes later."""
    tolerated: Annotated[float, Meta(ge=1e-5, le=0.5)] = 0.01
    """Share of events that may be rejected, late, held back, duplicate, read leniently, not to be scored, or with a
    field under another name, each kind for itself. Where evidence says that it is more, a data fault is told: of a
    source partition at once, by the rule ``intake``, of a slice pane by pane, by the detector ``intake``."""
    missing_values: list[str] = msgspec.field(
        default_factory=lambda: ["", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None"]
    )
    """Texts that mean that a value is missing, on the topic and in files of every format, whatever blanks stand around
    them; null, an absent field and a number that is none (NaN) always do."""
    policy: dict[str, PolicyName] = msgspec.field(default_factory=dict)
    """How a field is read; ``*`` is every other (default: ``lenient``). ``lenient``: numbers may come as text (``1.5``,
    ``1e3``, ``1,5``, but not ``1,234``, which may be a thousand) or as booleans, and the literals NaN and Infinity are
    no fault, nor is a whole number of more digits than a float64 holds (beyond 2⁵³); such fields are counted
    (``coerced``). ``strict``: their events are rejected. ``text``, of a number: it comes as text, and as a number once
    the producer sends one; neither is counted."""
    unicode: UnicodeForm = "NFC"
    """The form that texts are brought into, so that one word is one slice and one category however it is put together;
    ``NFKC`` takes wide and narrow letters for one too, and with an empty one texts stay as they come."""
    sensitive: list[str] = msgspec.field(default_factory=list)
    """Fields whose values appear in no message, sample or dead letter, not the time nor those of slicings, whose values
    are names. With any, dead letters carry no body: they say where the message is, its hash and its size."""
    units: dict[str, str] = msgspec.field(default_factory=dict)
    """Unit of each number, such as ``°C``, for messages."""
