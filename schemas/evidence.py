"""The contract of the evidence topic, from WATCH to JUDGE: MessagePack, one partition, internal.

Of each pane WATCH of each partials partition sends what it has found (:class:`PaneEvidence`, one for each rule and
slicing with something to say) and then a marker (:class:`EvidenceClosed`). Messages are idempotent by partition, pane
and index: JUDGE goes by the content, never by the order of arrival.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from schemas.bounds import Count, Finite, Id, Millis, Name, Number
from schemas.records import MANY, Record, Strangers, TopEvent

CAUSES_MAX = 3
"""Channels that are named of a slice."""

FIGURES = ("events", "seen", "expected", "sd")
"""Of a channel in a pane: sums that add up over panes, but for ``sd``, that of one event. ``seen / events`` against
``expected / events`` is the channel's measure, in its unit. NaN where there is none."""

ALARM = 0.01
"""An event with a p-value at or below it is an *alarm* here: one in a hundred, while a model and its data agree."""


class PaneEvidence(Record, frozen=True):
    """What one rule says of the m slices of one slicing that are at or above its floor, or were and are not over.

    ``columns`` are little-endian arrays in C order; :class:`EvidenceColumns` has their shapes.
    """

    stream: Name
    partition: Number
    """The partials partition."""
    pane_start_ms: Millis
    pane_end_ms: Millis
    rule: Name
    slicing: Name
    index: Number
    """Number of this message among those of the partition and pane."""
    slices: Annotated[list[Name], Meta(max_length=MANY)]
    models: Annotated[list[Id], Meta(max_length=MANY)]
    """Of each slice, the model that scored it."""
    scored: Annotated[list[Count], Meta(max_length=MANY)]
    """Of each slice, its events in the pane that the model could score."""
    alarms: Annotated[list[Count], Meta(max_length=MANY)]
    """Of each slice, those of them with a p-value at or below :data:`ALARM`."""
    columns: dict[str, bytes]


class GroupSums(Record, frozen=True):
    """Sums over the slices of one partition, slicing and model that one rule finds ordinary: evidence of all slices
    together is made of the sums of all partitions. Little-endian float64 arrays ``(c,)`` over the moment channels."""

    rule: Name
    slicing: Name
    model_id: Id
    events: bytes
    deviations: bytes
    """Sums of the slices' deviations, each from its own reference."""
    unknown: bytes
    """Sums of squares of what their references do not know, in events."""


class OtherRow(Record, frozen=True):
    """The pane's row of the events in ``__other__``, one for each slicing and model: columns as
    :class:`~schemas.pane_layout.PaneLayout` says, ``(w,)`` little-endian int64."""

    slicing: Name
    model_id: Id
    row: bytes


class SourceMark(Record, frozen=True):
    """Where a pane ends in the log of a source partition; see :class:`~schemas.records.PaneClosed`."""

    partition: Number
    pane_end_ms: Millis
    offset_end: Count


class ModelPane(Record, frozen=True):
    """What came of the events of a pane under one model, in the first slicing, ``__other__`` included."""

    model_id: Id
    seen: Count
    """Those that it scored, and those that it could not."""
    scored: Count
    unscorable: Count
    alarms: Count
    """Events with a p-value at or below :data:`ALARM`."""
    log_prob_sum: Finite
    """Nats, over those scored."""


class EvidenceClosed(Record, frozen=True):
    """The marker after the evidence of a pane: nothing of this partials partition follows for panes that end at or
    before ``pane_end_ms``. Panes between that of the marker before and this one held nothing."""

    stream: Name
    partition: Number
    pane_start_ms: Millis
    pane_end_ms: Millis
    slices: dict[str, Count]
    """Slicing to the number of slices that have a place there."""
    events: Count
    """Events of the pane, in the first slicing, ``__other__`` included."""
    service: Id
    """The model that most slices were scored by; "" where there were none."""
    models: Annotated[list[ModelPane], Meta(max_length=MANY)]
    """Every model of the pane, in the order of their ids."""
    groups: Annotated[list[GroupSums], Meta(max_length=MANY)]
    other: Annotated[list[OtherRow], Meta(max_length=MANY)]
    top: Annotated[list[TopEvent], Meta(max_length=MANY)]
    marks: Annotated[list[SourceMark], Meta(max_length=MANY)]
    """Those since the last marker; of partials partition 0 alone: all have the same."""
    strangers: Annotated[list[Strangers], Meta(max_length=MANY)]
    """Of partials partition 0 alone."""


Evidence = PaneEvidence | EvidenceClosed
"""A message of the evidence topic."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class EvidenceColumns(msgspec.Struct, frozen=True):
    """The columns of :class:`PaneEvidence`, of m slices, b bets at most.

    Attributes:
        statistic: ``(m,)`` the rule's evidence.
        remaining: ``(m,)`` what remains of the evidence since it was largest, in [0, 1]; below the rule's ``resolve``
            it is over, and WATCH has begun anew.
        since_ms: ``(m,)`` end of the last pane in which nothing spoke for a change.
        events: ``(m,)`` of the pane.
        detector: ``(m, 3)`` number of the detector among :data:`~stream_app.config.registries.DETECTOR_KINDS`, the one
            to name first; −1 for none.
        channel: ``(m, 3)``.
        weight: ``(m, 3)`` log evidence, nats.
        odds: ``(m, 3, b)`` of the channel's bets; they add up to 1.
        figures: ``(m, 3, 4)``, see :data:`FIGURES`.
    """

    statistic: Floats
    remaining: Floats
    since_ms: Ints
    events: Ints
    detector: Ints
    channel: Ints
    weight: Floats
    odds: Floats
    figures: Floats

    def encode(self) -> dict[str, bytes]:
        """Little-endian bytes by column name."""
        return {name: _little(getattr(self, name)) for name in self.__struct_fields__}

    @classmethod
    def decode(cls, columns: dict[str, bytes], m: int) -> EvidenceColumns:
        """Inverse of :meth:`encode`; raises ValueError where a column is missing, of another shape, or not a number
        where it has to be one."""
        shapes: dict[str, tuple[int, ...]] = {
            "statistic": (m,),
            "remaining": (m,),
            "since_ms": (m,),
            "events": (m,),
            "detector": (m, CAUSES_MAX),
            "channel": (m, CAUSES_MAX),
            "weight": (m, CAUSES_MAX),
            "odds": (m, CAUSES_MAX, -1),
            "figures": (m, CAUSES_MAX, len(FIGURES)),
        }
        arrays: dict[str, Any] = {name: _array(columns.get(name, b""), name, shape) for name, shape in shapes.items()}
        for name in ("statistic", "remaining", "weight", "odds"):
            if not np.isfinite(arrays[name]).all():
                raise ValueError(f"column {name!r} holds values that are not finite")
        return cls(**arrays)


_WHOLE = ("since_ms", "events", "detector", "channel")


def _little(values: npt.NDArray[np.generic]) -> bytes:
    kind = "<i8" if values.dtype.kind in "iu" else "<f8"
    return np.ascontiguousarray(values, dtype=kind).tobytes()


def _array(column: bytes, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    try:
        values = np.frombuffer(column, dtype="<i8" if name in _WHOLE else "<f8")
        if 0 in shape:  # nothing says how many bets there are
            return values.reshape([max(n, 0) for n in shape])
        return values.reshape(shape)
    except ValueError:
        raise ValueError(f"column {name!r} has {len(column)} bytes, which are no array of the shape {shape}") from None
