"""Whoever asks a trainer for models, and what it has answered."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer

from flowlib.artifact import Ed25519PrivateKey
from schemas.codecs import Envelope, decode_event, encode_event
from schemas.records import ModelNotice, RetrainRequest
from stream_app.kafka.clients import client_settings
from stream_app.kafka.signals import read_signals
from stream_app.models.keys import request_key, trusted_keys
from stream_app.models.registry import Registry
from stream_app.models.signing import sign, signature_fault
from stream_app.stages.partitioning import trainer_signals
from tests.forked import Forked
from tests.integration.stream import Stream
from tests.integration.test_models import retrain_request

WIDTH = 4


def notices(stream: Stream) -> list[ModelNotice]:
    """What has been decided so far; nothing before the trainer has made its key."""
    if not (stream.folder / "keys" / "signing.pub").exists():
        return []
    return Registry(stream.config).notices()


def told(stream: Stream) -> list[ModelNotice]:
    """The answers on the signals topic, each signed by the trainer."""
    trusted, answers = trusted_keys(stream.config), []
    for message in read_signals(stream.config):
        notice = decode_event(message.value, message.headers) if message.partition == trainer_signals(WIDTH) else None
        if isinstance(notice, ModelNotice):
            assert signature_fault(message.value or b"", message.headers, trusted) is None
            answers.append(notice)
    return answers


class Unreadable(str):
    """The name of a header, which is no UTF-8 on the wire."""

    def encode(self, *_: str) -> bytes:
        return b"\xff\xfe"


class Asking:
    """Whoever writes to the signals topic, JUDGE of a stream among them."""

    def __init__(self, stream: Stream) -> None:
        self._topic, self._key = stream.config.topics.signals, request_key(stream.config)
        self._producer = KafkaProducer(**client_settings(stream.config.kafka))

    def send(self, value: bytes | None, headers: list[Any], partition: int = WIDTH) -> None:
        self._producer.send(self._topic, key=b"k", value=value, headers=headers, partition=partition).get(timeout=30)

    def send_null_header(self, stream: Stream) -> None:
        """A header may have no value, though kafka-python sends none such."""

        async def send() -> None:
            producer = AIOKafkaProducer(**client_settings(stream.config.kafka))
            await producer.start()
            await producer.send_and_wait(self._topic, b"junk", partition=WIDTH, headers=[("ce_type", None)])
            await producer.stop()

        asyncio.run(send())

    def ask(self, request: RetrainRequest, number: int = 0, key: Ed25519PrivateKey | None = None) -> None:
        """As JUDGE asks, or an operator of that number; with a key of one's own, as a stranger does."""
        source = f"/driftflow/air/operator/{number}" if number else "/driftflow/air/judge"
        message = sign(encode_event(Envelope(request, request.id, source, request.requested_pane_ms)), key or self._key)
        self.send(message.value, list(message.headers), WIDTH)

    def close(self) -> None:
        self._producer.close()


def request_until(stream: Stream, until: str, **fields: Any) -> RetrainRequest:
    newest = Registry(stream.config).history()[-1].model_id
    return msgspec.structs.replace(retrain_request(stream, newest, until), **fields)


def end(trainer: Forked, stream: Stream, within_s: float = 9.5) -> None:
    """SIGTERM, and an end in good order within the time that orchestrators allow."""
    trainer.send_signal(signal.SIGTERM)
    assert trainer.wait(within_s) == 0, stream.log()


def wait_for(stream: Stream, what: str, answers: int) -> None:
    stream.wait(lambda: len(notices(stream)) == answers, what)
