"""Rows that could not be used, each with the reason that its dead letter gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from flowlib.table import Ints
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.stages.batches import RawBatch, ScoredBatch
from stream_app.stages.score.timing import Held


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


def far_future(rows: Ints, given_up: Iterable[tuple[int, Held]], time_field: str) -> list[Reject]:
    """Rejects of events that were held, for which there is no room any more.

    Args:
        rows: ``(n,)`` records of the events of a batch.
        given_up: the event of the batch at which each is given up, and the held event.
        time_field: field of the time.
    """
    detail = (
        "event time {} ms is too far ahead of the stream (windows.max_future), and more such events wait than there is "
        "room for: look at the clock of its producer"
    )
    return [
        Reject(int(rows[i]), held.offset, "far_future", time_field, detail.format(held.time_ms), held.value)
        for i, held in given_up
    ]


def unscorable(
    config: Config, raw: RawBatch, scored: ScoredBatch, index: Ints, bodies: Mapping[int, bytes]
) -> list[Reject]:
    """Rejects for the events (indices into ``scored``) that cannot be scored, naming the field at fault.

    A finite value is never one of them, however large: it is scored as very unlikely.

    Args:
        config: the stream.
        raw: the batch.
        scored: its events, and those that were held.
        index: which of them.
        bodies: of those that were held.
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
        value = bodies.get(i, raw.values[row])
        rejects.append(Reject(row, int(scored.events.offsets[i]), "unscorable", name, detail, value))
    return rejects
