"""Small configurations for the runtime tests."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

from stream_app.config import Config, EventConfig, KafkaConfig, TopicsConfig


def make_config(
    bootstrap: str, name: str, partitions: int = 2, event: dict[str, Any] | None = None, **kafka: Any
) -> Config:
    """A configuration whose topics are all named after ``name``."""
    topics = {kind: f"{name}.{kind}" for kind in ("events", "partials", "signals", "models", "dead_letters")}
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
