"""Room on the signals topic for source partitions that come up while a worker runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.topics import ensure_topics
from stream_app.stages.partitioning import score_signals

Known = Callable[[], Awaitable[set[int]]]
"""Asks the broker which partitions the signals topic has, and lets the producer know them."""

_PATIENCE_S = 30.0
_PAUSE_S = 0.2


async def make_room(known: Known, config: Config, sources: Iterable[int]) -> None:
    """Let SCORE of each of these source partitions have its signals partition, and let the producer know it.

    Raises:
        DriftflowError: the topic is too small and the broker does not let us add partitions, or does not show them.
    """
    width = config.topics.partitions
    wanted = {score_signals(source, width) for source in sources if source >= width}
    if not wanted or wanted <= await known():
        return
    await asyncio.to_thread(ensure_topics, config)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while not wanted <= await known():
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        raise DriftflowError(
            f"the broker does not show partition {max(wanted)} of {config.topics.signals} after {_PATIENCE_S:.0f} s: "
            "look at its log, and start the worker again"
        ) from None
