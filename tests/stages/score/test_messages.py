"""What SCORE says to people: no event makes a message that a broker or a reader refuses."""

from __future__ import annotations

import msgspec
import numpy as np

from flowlib.table import Coded
from schemas.intake import take_in
from schemas.records import EventAnomaly
from stream_app.stages.batches import EventBatch, RawBatch, ScoredBatch
from stream_app.stages.score.decoding import Decoder
from stream_app.stages.score.messages import anomalies, signals
from tests.stages.streams import config, event

DEFAULT_MAX_BYTES = 1_048_588
"""Apache Kafka's ``message.max.bytes``."""


def _scored(events: EventBatch, columns: int) -> ScoredBatch:
    """The first event, strange in every column."""
    scored = ScoredBatch.unscored(events, Coded.alike(1, "m"))
    scored.contributions[0] = np.full(columns, 2.0)
    for name, value in (("log_prob", -1.0), ("p_value", 1 / 200), ("level", 0.01)):
        getattr(scored, name)[:] = value
    for mask in (scored.scorable, scored.flagged):
        mask[:] = True
    return scored


def test_a_value_as_large_as_an_event_may_be_is_cut() -> None:
    stream = config(event={"max_bytes": 1_000_000})
    body = event(1_000, 1, c="x" * 990_000)
    assert 990_000 < len(body) < 1_000_000
    events, rejects = Decoder(stream).decode(RawBatch("e", 0, np.array([7]), [body]))
    assert not rejects
    scored = _scored(events, events.numeric.shape[1] + events.categorical.shape[1])
    [sent] = signals(stream, 0, list(anomalies(stream, scored, [0])))
    assert sent.value is not None
    assert len(sent.value) < DEFAULT_MAX_BYTES // 100
    taken = take_in("signals", "s", sent.value, sent.headers)
    assert isinstance(taken, EventAnomaly), taken
    details = [blame.detail for blame in taken.blame]
    assert max(map(len, details)) <= len("value ") + 200
    assert msgspec.json.encode(taken) == sent.value
