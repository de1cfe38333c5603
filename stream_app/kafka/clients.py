"""Settings of the Kafka clients, from one section of the configuration."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import faust

from stream_app.config import KafkaConfig


def ssl_context(kafka: KafkaConfig, root: str | Path = ".") -> ssl.SSLContext | None:
    """A verifying context, or None where the protocol has no TLS.

    Raises:
        OSError: a file is missing or holds no certificate (``ssl.SSLError`` is one).
    """
    if kafka.security_protocol not in ("SSL", "SASL_SSL"):
        return None
    context = ssl.create_default_context(cafile=str(Path(root) / kafka.ssl_cafile) if kafka.ssl_cafile else None)
    if kafka.ssl_certfile:
        key = str(Path(root) / kafka.ssl_keyfile) if kafka.ssl_keyfile else None
        context.load_cert_chain(str(Path(root) / kafka.ssl_certfile), key)
    return context


def client_settings(kafka: KafkaConfig, root: str | Path = ".") -> dict[str, Any]:
    """Keyword arguments for the clients of kafka-python and aiokafka.

    Args:
        kafka: the section of the configuration.
        root: folder that relative paths in it are taken from (``config.root``).
    """
    settings: dict[str, Any] = {
        "bootstrap_servers": list(kafka.bootstrap),
        "security_protocol": kafka.security_protocol,
        "metadata_max_age_ms": int(kafka.metadata_max_age),
    }
    context = ssl_context(kafka, root)
    if context is not None:
        settings["ssl_context"] = context
    if kafka.security_protocol.startswith("SASL"):
        settings |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.password(root),
        }
    return settings


def faust_credentials(kafka: KafkaConfig, root: str | Path = ".") -> Any:
    """The same for ``faust.App(broker_credentials=…)``; None for PLAINTEXT."""
    context = ssl_context(kafka, root)
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.password(root),
            ssl_context=context,
            mechanism=kafka.sasl_mechanism,
        )
    return faust.SSLCredentials(context) if context is not None else None


def faust_broker(kafka: KafkaConfig) -> list[str]:
    """The value of ``faust.App(broker=…)``."""
    return [f"kafka://{address}" for address in kafka.bootstrap]
