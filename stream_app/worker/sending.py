"""Messages through the producer of a Faust app."""

from __future__ import annotations

import asyncio
from typing import Protocol

import faust

from stream_app.kafka.types import Headers, Sent
from stream_app.stages.outputs import Outgoing


class Send(Protocol):
    """Hands a message to the producer: :func:`send` of an app."""

    async def __call__(
        self, topic: str, key: bytes | None, value: bytes | None, *, partition: int | None, headers: Headers
    ) -> asyncio.Future[Sent]: ...


async def send(
    app: faust.App,
    topic: str,
    key: bytes | None,
    value: bytes | None,
    *,
    partition: int | None = None,
    headers: Headers = (),
) -> asyncio.Future[Sent]:
    """Hand a message to the app's producer; await the result for the broker's acknowledgement.

    Raises:
        faust.exceptions.ProducerSendError: now or when the acknowledgement is awaited.
    """
    # Faust's own question whether it runs takes three rounds of the event loop, more than the message itself.
    producer = app.producer if app.producer.started else await app.maybe_start_producer()
    acknowledgement = await producer.send(topic, key, value, partition, None, list(headers))
    pending: asyncio.Future[Sent] = asyncio.ensure_future(acknowledgement)
    return pending


async def taken_within(send_it: Send, topic: str, message: Outgoing, within_s: float) -> bool:
    """Send a message that nothing depends on; whether the broker has taken it within a time. Nothing is raised."""

    async def taken() -> None:
        await (await send_it(topic, message.key, message.value, partition=message.partition, headers=message.headers))

    sending = asyncio.ensure_future(taken())
    await asyncio.wait({sending}, timeout=within_s)
    if not sending.done():
        sending.cancel()
        return False
    return sending.exception() is None


async def known_to_producer(app: faust.App, topic: str) -> set[int]:
    """Partitions of a topic that the app's producer knows, after asking the broker: sending to any other fails."""
    producer = (await app.maybe_start_producer())._ensure_producer()
    await producer.partitions_for(topic)
    await producer.client.force_metadata_update()
    return set(await producer.partitions_for(topic))
