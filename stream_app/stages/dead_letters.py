"""Dead letters: messages of any topic that could not be used, with the reason and the first part of their values."""

from __future__ import annotations

import hashlib

from schemas.codecs import Envelope, encode_event
from schemas.intake import Refusal
from schemas.records import DeadLetter, record_id
from stream_app.config import Config
from stream_app.stages.outputs import Outgoing

BODY_BYTES_MAX = 4_096
"""Part of a refused value that its dead letter carries; none where fields are sensitive (``event.sensitive``), since
nobody knows where in bytes that could not be read they stand."""

_NAME_MAX, _DETAIL_MAX = 1_000, 2_000


def dead_letter(
    config: Config, topic: str, partition: int, offset: int, refusal: Refusal, value: bytes | None
) -> Outgoing:
    """The dead letter of one message. Its id says which message, so whoever refuses it again says the same; other
    messages have the same offset where the topic was made anew.

    Args:
        config: the stream.
        topic, partition, offset: where the message is.
        refusal: why it cannot be used.
        value: of the message.
    """
    body = value or b""
    digest = hashlib.sha256(body).hexdigest()
    letter = DeadLetter(
        id=record_id("dead-letter", config.stream, topic, partition, offset, digest),
        stream=config.stream,
        topic=topic,
        partition=partition,
        offset=offset,
        reason=refusal.reason,
        field=refusal.field[:_NAME_MAX],
        detail=refusal.detail[:_DETAIL_MAX],
        sha256=digest,
        size=len(body),
        body=b"" if config.event.sensitive else body[:BODY_BYTES_MAX],
    )
    source = f"/driftflow/{config.stream}/{_reader_of(config, topic)}/{partition}"
    message = encode_event(Envelope(letter, letter.id, source, 0, letter.reason))
    return Outgoing("dead_letters", 0, None, message.value, message.headers)


def _reader_of(config: Config, topic: str) -> str:
    """Who reads a topic of ours, as CloudEvents name the source of an event."""
    topics = config.topics
    readers = {
        topics.partials: "watch",
        topics.evidence: "judge",
        topics.actions: "judge",
        topics.models: "models",
        topics.signals: "trainer",
    }
    return readers.get(topic, "score")
