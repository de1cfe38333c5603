"""The request for a stream's first model, which nobody has sent."""

from __future__ import annotations

from schemas.records import OffsetRange, RetrainRequest, record_id
from stream_app.config import Config
from stream_app.errors import ConfigError
from stream_app.stages.score.event_time import date_ms


def bootstrap_until_ms(config: Config, text: str) -> int:
    """The value of ``--bootstrap-until`` in milliseconds since the epoch; raises ConfigError."""
    try:
        return date_ms(config.event, text)
    except ValueError:
        fault = f"expected a date such as 2026-01-31, from 1970 on, got {text!r}"
        raise ConfigError("--bootstrap-until", [fault]) from None


def bootstrap_request(config: Config, ends: dict[int, int], start_ms: int, end_ms: int) -> RetrainRequest:
    """The request for a first model, from what is on the events topic.

    Args:
        config: the stream.
        ends: partition to the offset to read up to.
        start_ms, end_ms: event time of the rows wanted.
    """
    topic = config.topics.events
    train = [
        OffsetRange(topic=topic, partition=partition, start=0, end=end, start_ms=start_ms, end_ms=end_ms)
        for partition, end in sorted(ends.items())
    ]
    return RetrainRequest(
        id=record_id("bootstrap", config.stream, topic, sorted(ends.items()), start_ms, end_ms),
        stream=config.stream,
        reason="bootstrap",
        slices=[],
        alerts=[],
        model_id="",
        requested_pane_ms=end_ms,
        train=train,
        calibrate_from_ms=start_ms,
    )
