"""Events that were held, decoded again: they take their place among the events of the batch that releases them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from stream_app.stages.batches import EventBatch, RawBatch
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.rejects import Reject
from stream_app.stages.score.screening import Screening
from stream_app.stages.score.timing import Held, Timing


def rejoined(decoder: Decoder, raw: RawBatch, events: EventBatch, screening: Screening) -> EventBatch:
    """The m events of a screening, in its order, each with the time that was read. Those that were held stand at the
    record at which they are judged (:attr:`~stream_app.stages.batches.EventBatch.rows`), with their own offsets.

    Args:
        decoder: of the stream.
        raw: a batch.
        events: n events decoded from it.
        screening: of them.
    """
    if not screening.released:
        return replace(events, event_time_ms=screening.time_ms)
    released, _ = decoder.decode(_raw(raw, screening.released))
    both = events.followed_by(released).take(screening.source)
    return replace(both, rows=events.rows[screening.event], event_time_ms=screening.time_ms)


def bodies_of(screening: Screening) -> dict[int, bytes]:
    """Of the m events of a screening, the bodies of those that were held."""
    n = len(screening.source) - len(screening.released)
    again = np.flatnonzero(screening.again).tolist()
    return {i: screening.released[int(screening.source[i]) - n].value for i in again}


def check_restored(state: Timing, decoder: Decoder, raw: RawBatch) -> list[Reject]:
    """After a restart with other settings events may be held that are none any more: they are rejected, at the first
    record of the batch.
    """
    if not state.is_restored:
        return []
    state.is_restored = False
    _, rejects = decoder.decode(_raw(raw, state.held))
    refused = {reject.row for reject in rejects}
    state.held = [held for i, held in enumerate(state.held) if i not in refused]
    return [replace(reject, row=0) for reject in rejects]


def _raw(raw: RawBatch, held: Sequence[Held]) -> RawBatch:
    offsets = np.array([one.offset for one in held], dtype=np.int64)
    return RawBatch(raw.topic, raw.partition, offsets, [one.value for one in held])
