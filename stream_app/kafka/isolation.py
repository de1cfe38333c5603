"""What a consumer hands out where producers use transactions: with ``kafka.isolation = "read_committed"`` no record of
one that was aborted, and none behind one that is still open.

What can be read then ends at the *last stable offset*: the first record of the oldest open transaction, else the high
watermark. Lag, idleness and "read to the end" go by it. Aborted records and the markers at a transaction's end take
offsets, and are no records.

A private name of kafka-python is replaced here: ``tests/kafka/test_isolation.py`` fails where that has changed.
"""

from __future__ import annotations

from typing import Any

from kafka.consumer.fetcher import Fetcher
from kafka.protocol.consumer import IsolationLevel

from stream_app.config import KafkaConfig
from stream_app.kafka.types import ClientSettings

_PARSE = Fetcher._parse_fetched_data


def reading(kafka: KafkaConfig) -> ClientSettings:
    """What the settings of a consumer have beside those of any client. The ``highwater`` of kafka-python's consumers is
    where their reading ends from now on.
    """
    Fetcher._parse_fetched_data = _parse_fetched_data
    return {"isolation_level": kafka.isolation}


def readable_end(high: int | None, stable: int | None, kafka: KafkaConfig) -> int | None:
    """Offset at which reading ends, of the high watermark and the last stable offset that came with a fetch; a broker
    that tells of no stable offset knows no transactions.
    """
    told = kafka.isolation == "read_committed" and stable is not None and stable >= 0
    return stable if told else high


def _parse_fetched_data(fetcher: Any, fetched: Any) -> Any:
    told = fetched.partition_data
    stable = getattr(told, "last_stable_offset", None)
    if fetcher._isolation_level == IsolationLevel.READ_COMMITTED and stable is not None and stable >= 0:
        told.high_watermark = min(told.high_watermark, stable)
    return _PARSE(fetcher, fetched)
