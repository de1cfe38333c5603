"""Rows that could not be used, each with the reason that its dead letter gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowlib.table import Bools, Ints
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.stages.batches import EventBatch, RawBatch, ScoredBatch


class Undecodable(DriftflowError):
    """A body that is not an event: reason code, field and detail."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.field, self.detail = reason, field, detail


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not be used: where it is and what was wrong with it.

    Attributes:
        row: position in its RawBatch.
        reason: a short code (:class:`schemas.records.DeadLetter`).
        field: the field at fault, or "".
    """

    row: int
    offset: int
    reason: str
    field: str
    detail: str
    value: bytes | None


def undecodable(raw: RawBatch, row: int, error: Undecodable) -> Reject:
    """The reject of a body that a decoder refused."""
    return Reject(row, int(raw.offsets[row]), error.reason, error.field, error.detail, raw.values[row])


def far_future(raw: RawBatch, events: EventBatch, future: Bools) -> list[Reject]:
    """Rejects for the events, a mask ``(n,)``, that lie too far ahead."""
    rejects = []
    for i in np.flatnonzero(future).tolist():
        row = int(events.rows[i])
        detail = f"event time {int(events.event_time_ms[i])} ms is further ahead than windows.max_future allows"
        rejects.append(Reject(row, int(events.offsets[i]), "far_future", "", detail, raw.values[row]))
    return rejects


def unscorable(config: Config, raw: RawBatch, scored: ScoredBatch, index: Ints) -> list[Reject]:
    """Rejects for the events (indices into ``scored``) that cannot be scored, naming the field at fault.

    A finite value is never one of them, however large: it is scored as very unlikely.
    """
    rejects = []
    for i in index.tolist():
        values = scored.events.numeric[i]
        bad = np.flatnonzero(np.isinf(values))
        name = config.event.numeric[bad[0]] if len(bad) else ""
        if len(bad):
            detail = f"{name} is infinite, or beyond 3.4e38, the most that a float32 holds: send it as missing (null)"
        elif np.isnan(values).all():
            detail = "every numeric field is missing: an event needs one number at least to be scored"
        else:
            detail = "the model gives no finite likelihood: its weights do not fit these values; retrain it"
        row = int(scored.events.rows[i])
        rejects.append(Reject(row, int(scored.events.offsets[i]), "unscorable", name, detail, raw.values[row]))
    return rejects
