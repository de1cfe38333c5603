"""The Faust app of a worker: its settings, and how it connects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faust
from faust.tables.manager import TableManager

from stream_app.config import Config, KafkaConfig
from stream_app.kafka.clients import ssl_context
from stream_app.worker.membership import instance_of

_MESSAGE_BYTES_MAX = 8 * 1024 * 1024
_LINGER_MS = 5
_BUFFERED_COMPOSITES = 8
_COMMIT_INTERVAL_S = 1.0
_CHUNKS = 2
"""Composites that the consumer's thread hands over at once: each time costs as much as some hundred events."""
_REQUEST_S = 60.0
"""How long the broker may take to answer; when a group is formed anew it waits for the other members that long."""
_ACKNOWLEDGE_S = 100.0
"""How long it may take to acknowledge a message, with all tries: less than it takes a checkpoint to count as hung."""


class NoTables(TableManager):  # type: ignore[misc]
    """Faust waits a second at its start for tables that agents may declare: none of ours does."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


def make_app(config: Config) -> faust.App:
    """The app, without agents."""
    kafka = config.kafka
    session_s = kafka.session_timeout.seconds
    return faust.App(
        kafka.group,
        broker=broker_urls(kafka),
        broker_credentials=credentials(kafka, config.root),
        broker_max_poll_records=_CHUNKS * kafka.max_poll_records,
        broker_commit_interval=_COMMIT_INTERVAL_S,
        broker_request_timeout=_REQUEST_S,
        broker_session_timeout=session_s,
        broker_heartbeat_interval=session_s / 5,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=instance_of(kafka),
        consumer_metadata_max_age_ms=int(kafka.metadata_max_age),
        producer_max_request_size=_MESSAGE_BYTES_MAX,
        producer_request_timeout=_ACKNOWLEDGE_S,
        producer_linger_ms=_LINGER_MS,
        stream_buffer_maxsize=_BUFFERED_COMPOSITES,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        TableManager=NoTables,
        datadir=str(config.path(config.state.dir) / "faust"),  # not where the worker was started
    )


def consumer_of(app: faust.App) -> Any:
    """The :class:`~stream_app.worker.batch_transport.BatchConsumer` of an app, None before it has one: Faust keeps it
    to itself.
    """
    return app._consumer


def broker_urls(kafka: KafkaConfig) -> list[str]:
    """The brokers as ``faust.App(broker=…)`` takes them."""
    return [f"kafka://{address}" for address in kafka.bootstrap]


def credentials(kafka: KafkaConfig, root: str | Path = ".") -> object:
    """The login and TLS context for ``faust.App(broker_credentials=…)``; None where the protocol is PLAINTEXT.

    Raises:
        OSError: a file is missing or holds no certificate.
    """
    context = ssl_context(kafka, root)
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.password(root),
            ssl_context=context,
            mechanism=kafka.sasl_mechanism,
        )
    return faust.SSLCredentials(context) if context is not None else None
