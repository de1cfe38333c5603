"""How to connect to a broker: the ``[kafka]`` section as keyword arguments of kafka-python and aiokafka."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream_app.config import KafkaConfig
from stream_app.errors import DriftflowError
from stream_app.kafka import dead_ends, header_names
from stream_app.kafka.types import ClientSettings


def ssl_context(kafka: KafkaConfig, root: str | Path = ".") -> ssl.SSLContext | None:
    """The TLS context, which verifies the broker's certificate; None where the protocol has no TLS.

    Args:
        kafka: the section of the configuration.
        root: folder that relative paths in it are taken from (``config.root``).

    Raises:
        OSError: a file is missing or holds no certificate (``ssl.SSLError`` is one).
    """
    if kafka.security_protocol not in ("SSL", "SASL_SSL"):
        return None
    with _naming(root, kafka.ssl_cafile):
        context = ssl.create_default_context(cafile=str(Path(root) / kafka.ssl_cafile) if kafka.ssl_cafile else None)
    if kafka.ssl_certfile:
        key = str(Path(root) / kafka.ssl_keyfile) if kafka.ssl_keyfile else None
        with _naming(root, kafka.ssl_certfile, kafka.ssl_keyfile):
            # An encrypted key is refused: without a password OpenSSL would ask for one, and wait, at the terminal.
            context.load_cert_chain(str(Path(root) / kafka.ssl_certfile), key, password="")
    return context


@contextmanager
def _naming(root: str | Path, *names: str) -> Iterator[None]:
    """Put around the loading of certificates and keys: OpenSSL does not say of which file it speaks."""
    try:
        yield
    except OSError as error:
        files = " with ".join(str(Path(root) / name) for name in names if name)
        raise OSError(f"{files}: {error.strerror or error}") from error


def client_settings(kafka: KafkaConfig, root: str | Path = ".") -> ClientSettings:
    """Keyword arguments for the clients of kafka-python and aiokafka; the former read any header name from now on,
    and never look for ever at what they cannot take apart.

    Args:
        kafka: the section of the configuration.
        root: folder that relative paths in it are taken from (``config.root``).

    Raises:
        DriftflowError: a file with a certificate, a key or the password cannot be read.
    """
    header_names.take_any()
    dead_ends.leave()
    try:
        return _connection(kafka) | _tls(kafka, root) | _login(kafka, root)
    except OSError as error:
        raise DriftflowError(f"a file named in [kafka] cannot be read: {error}; check ssl_* and sasl_*_file") from error


def _connection(kafka: KafkaConfig) -> ClientSettings:
    return {
        "bootstrap_servers": list(kafka.bootstrap),
        "security_protocol": kafka.security_protocol,
        "metadata_max_age_ms": int(kafka.metadata_max_age),
    }


def _tls(kafka: KafkaConfig, root: str | Path) -> ClientSettings:
    context = ssl_context(kafka, root)
    return {} if context is None else {"ssl_context": context}


def _login(kafka: KafkaConfig, root: str | Path) -> ClientSettings:
    if not kafka.security_protocol.startswith("SASL"):
        return {}
    return {
        "sasl_mechanism": kafka.sasl_mechanism,
        "sasl_plain_username": kafka.sasl_username,
        "sasl_plain_password": kafka.password(root),
    }
