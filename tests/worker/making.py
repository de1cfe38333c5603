"""Small configurations and messages for the worker's tests."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import msgspec

from flowlib.artifact import Ed25519PrivateKey
from schemas.codecs import WireMessage
from schemas.records import ModelNotice
from stream_app.config import Config, EventConfig, KafkaConfig, TopicsConfig
from stream_app.kafka.types import TopicPartition
from stream_app.models.signing import sign
from stream_app.worker.acks import Token
from stream_app.worker.composites import Chunk

KEY = Ed25519PrivateKey.generate()
"""The trainer's, in tests that make no other."""


KINDS = ("events", "partials", "evidence", "signals", "actions", "models", "dead_letters", "decisions", "state")


def make_config(
    bootstrap: str, name: str, partitions: int = 2, event: dict[str, Any] | None = None, **kafka: Any
) -> Config:
    """A configuration whose topics are all named after ``name``."""
    topics = {kind: f"{name}.{kind}" for kind in KINDS}
    fields = {"time_field": "time", "numeric": ["x", "y"], "categorical": ["place"], "slicings": [["place"]]}
    return Config(
        stream=name,
        topics=TopicsConfig(**topics, partitions=partitions),
        event=EventConfig(**{**fields, **(event or {})}),
        kafka=KafkaConfig(bootstrap=[bootstrap], group=f"{name}-group", **kafka),
    )


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine test in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def record(tp: TopicPartition, offset: int, value: bytes | None = b"{}", headers: Any = ()) -> Any:
    """A record as a client fetches it."""
    return SimpleNamespace(
        topic=tp.topic, partition=tp.partition, offset=offset, value=value, headers=headers, timestamp=0
    )


class Stream:
    """Composites of one record each, as an agent gets them.

    Attributes:
        acked: offsets of the records that were acked.
    """

    def __init__(self, tp: TopicPartition, *offsets: int, value: bytes | None = b"{}") -> None:
        self.acked: list[int] = []
        self._events = [self._event(tp, [record(tp, offset, value)]) for offset in offsets]

    @classmethod
    def of(cls, tp: TopicPartition, records: list[Any]) -> Stream:
        """One composite of these records; its last offset is what is acked."""
        stream = cls(tp)
        stream._events = [stream._event(tp, records)]
        return stream

    def _event(self, tp: TopicPartition, records: list[Any]) -> Any:
        last = records[-1].offset
        return SimpleNamespace(value=Chunk(tp, records, Token(last)), ack=lambda: self.acked.append(last))

    def noack(self) -> Stream:
        """Faust's: the agent acks itself."""
        return self

    async def events(self) -> AsyncIterator[Any]:
        """The composites in order."""
        for event in self._events:
            yield event


def notice(model_id: str, status: str = "promoted", **fields: Any) -> ModelNotice:
    """A notice of the stream ``s``, without bytes unless they are given."""
    texts = dict.fromkeys(("parent_id", "request_id", "reason", "key_id"), "")
    blobs = dict.fromkeys(("manifest", "tensors", "signature"), b"")
    known = {"stream": "s", "train_rows": 0, "gates": {}, "created_ms": 5, **texts, **blobs}
    return ModelNotice(**{**known, "model_id": model_id, "status": status, **fields})


def notice_record(tp: TopicPartition, offset: int, sent: ModelNotice, key: Ed25519PrivateKey | None = KEY) -> Any:
    """A notice as a record of the models topic, signed unless there is no key."""
    message = WireMessage(msgspec.json.encode(sent), (("ce_type", b"driftflow.model-notice.v1"),))
    message = message if key is None else sign(message, key)
    return record(tp, offset, message.value, message.headers)
