"""Connection probes, lowest layer first: Kafka clients say "Unable to bootstrap" whatever is wrong.

Each returns None when all is well, or ``(what failed, what to do)``.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import Any

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from stream_app.config import KafkaConfig

Fault = tuple[str, str]
TIMEOUT_S = 5.0


def address_of(bootstrap: str) -> tuple[str, int]:
    """Host and port of ``host:port``, with or without brackets round an IPv6 host."""
    host, _, port = bootstrap.rpartition(":")
    return host.strip("[]"), int(port)


def tcp_fault(bootstrap: str) -> Fault | None:
    """Can a TCP connection be opened?"""
    try:
        with socket.create_connection(address_of(bootstrap), timeout=TIMEOUT_S):
            return None
    except socket.gaierror as error:
        return f"{bootstrap}: the name does not resolve ({error.strerror})", "check kafka.bootstrap and DNS"
    except TimeoutError:
        return f"{bootstrap}: no answer in {TIMEOUT_S:.0f} s", "check kafka.bootstrap, the network and firewalls"
    except OSError as error:
        return f"{bootstrap}: {error.strerror or error}", "check kafka.bootstrap, and that the broker runs"


def tls_fault(bootstrap: str, context: ssl.SSLContext) -> Fault | None:
    """Does the handshake succeed, with the certificate verified?"""
    host, port = address_of(bootstrap)
    try:
        link = socket.create_connection((host, port), timeout=TIMEOUT_S)
        with link, context.wrap_socket(link, server_hostname=host):
            return None
    except ssl.SSLCertVerificationError as error:
        if "mismatch" in error.verify_message or "match" in error.verify_message:
            return f"{bootstrap}: {error.verify_message}", "use the name in the certificate in kafka.bootstrap"
        return f"{bootstrap}: {error.verify_message}", "set kafka.ssl_cafile to the authority that signed it"
    except ssl.SSLError as error:
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            return f"{bootstrap}: no TLS is spoken there", "use a plain kafka.security_protocol, or the TLS port"
        return f"{bootstrap}: {error.reason or error}", "check kafka.ssl_cafile, ssl_certfile and ssl_keyfile"
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return f"{bootstrap}: the handshake broke off ({reason})", "check that this port speaks TLS"


_API_VERSIONS = bytes.fromhex("0000000e 0012 0000 00000001 0004") + b"ping"


def plain_fault(bootstrap: str) -> Fault | None:
    """Is Kafka spoken without TLS? Tells a TLS port apart."""
    try:
        with socket.create_connection(address_of(bootstrap), timeout=TIMEOUT_S) as link:
            link.sendall(_API_VERSIONS)
            head = link.recv(8)
            if len(head) >= 4 and head[0] == 0:
                return None
    except OSError:
        pass
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if tls_fault(bootstrap, context) is None:
        return f"{bootstrap}: this port speaks TLS", "set kafka.security_protocol to SSL or SASL_SSL"
    return f"{bootstrap}: something listens, but it is not a Kafka broker", "check the port in kafka.bootstrap"


def login_fault(bootstrap: str, kafka: KafkaConfig, password: str, context: ssl.SSLContext | None) -> Fault | None:
    """Does SASL accept the user, and does Kafka answer behind it?"""
    if kafka.security_protocol.startswith("SASL") and not password:
        return "the password is empty", "set the variable in kafka.sasl_password_env, or kafka.sasl_password_file"
    try:
        asyncio.run(_connect(bootstrap, kafka, password, context))
    except SaslAuthenticationFailed:
        return (
            f"user {kafka.sasl_username!r} was refused ({kafka.sasl_mechanism})",
            "check kafka.sasl_username and its password",
        )
    except UnsupportedSaslMechanismError:
        return f"the broker does not offer {kafka.sasl_mechanism}", "set kafka.sasl_mechanism to one it offers"
    except (KafkaError, OSError, TimeoutError) as error:
        return f"{bootstrap}: {type(error).__name__}", "check kafka.security_protocol and kafka.sasl_mechanism"
    return None


async def _connect(bootstrap: str, kafka: KafkaConfig, password: str, context: ssl.SSLContext | None) -> None:
    host, port = address_of(bootstrap)
    sasl: dict[str, Any] = {}
    if kafka.security_protocol.startswith("SASL"):
        sasl = {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": password,
        }
    logging.getLogger("aiokafka.conn").setLevel(logging.CRITICAL)
    connection = AIOKafkaConnection(
        host,
        port,
        client_id="driftflow-check",
        request_timeout_ms=int(TIMEOUT_S * 1000),
        security_protocol=kafka.security_protocol,
        ssl_context=context,
        **sasl,
    )
    try:
        await connection.connect()
    finally:
        connection.close()
        await asyncio.sleep(0.05)  # the transport is closed by the loop, a little later
