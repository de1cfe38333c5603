"""Settings of what a process tells of itself."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from stream_app.config.types import Section


class MonitorConfig(Section, frozen=True):
    """What a process tells of itself: ``/livez``, ``/readyz``, ``/metrics`` (``infra/METRICS.md``), and traces. The
    console answers them at its own port."""

    enabled: bool = True
    """Whether worker, trainer and notify listen at all."""
    host: str = "127.0.0.1"
    """Address that they listen at; the default is reached from this machine only."""
    worker_port: Annotated[int, Meta(ge=0, lt=65_536)] = 0
    """Port of a worker. 0 is any free one, so that several run on one machine: ``driftflow status`` names them."""
    trainer_port: Annotated[int, Meta(ge=0, lt=65_536)] = 0
    """Port of the trainer. 0 is any free one, which it says when it starts."""
    notify_port: Annotated[int, Meta(ge=0, lt=65_536)] = 0
    """Port of ``driftflow notify``. 0 is any free one, which it says when it starts."""
    traces: str = ""
    """OTLP endpoint that each step is sent to as a span, such as ``http://127.0.0.1:4318/v1/traces``; empty for none.
    Needs the extra ``tracing``."""
