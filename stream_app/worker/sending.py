"""Messages through the producer of a Faust app."""

from __future__ import annotations

import asyncio

import faust

from stream_app.kafka.types import Headers, Sent


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
    producer = await app.maybe_start_producer()
    acknowledgement = await producer.send(topic, key, value, partition, None, list(headers))
    pending: asyncio.Future[Sent] = asyncio.ensure_future(acknowledgement)
    return pending


async def known_to_producer(app: faust.App, topic: str) -> set[int]:
    """Partitions of a topic that the app's producer knows, after asking the broker: sending to any other fails."""
    producer = (await app.maybe_start_producer())._ensure_producer()
    await producer.partitions_for(topic)
    await producer.client.force_metadata_update()
    return set(await producer.partitions_for(topic))
