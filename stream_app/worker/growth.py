"""Room on the signals topic for source partitions that come up while a worker runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import faust

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.topics import ensure_topics
from stream_app.stages.partitioning import score_signals
from stream_app.worker.batch_transport import known_to_producer

_PATIENCE_S = 30.0
_PAUSE_S = 0.2


async def make_room(app: faust.App, config: Config, sources: Iterable[int]) -> None:
    """Let SCORE of each of these source partitions have its signals partition, and let the producer know it.

    Raises:
        DriftflowError: the topic is too small and the broker does not let us add partitions, or does not show them.
    """
    width, topic = config.topics.partitions, config.topics.signals
    wanted = {score_signals(source, width) for source in sources if source >= width}
    if wanted <= await _known(app, topic, wanted):
        return
    await asyncio.to_thread(ensure_topics, config)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while not wanted <= await _known(app, topic, wanted):
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        raise DriftflowError(
            f"the broker does not show partition {max(wanted)} of {topic} to the producer after {_PATIENCE_S:.0f} s: "
            "look at its log, and start the worker again"
        ) from None


async def _known(app: faust.App, topic: str, wanted: set[int]) -> set[int]:
    return await known_to_producer(app, topic) if wanted else set()
