"""Connection probes, one for each layer: name and TCP, TLS, Kafka, login.

A Kafka client says "Unable to bootstrap" whichever of them fails. A probe opens one connection and looks at its layer
alone.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import ssl
import threading
import time

from stream_app.config import KafkaConfig
from stream_app.errors import Unreachable
from stream_app.kafka.types import ClientSettings

Fault = tuple[str, str]
"""What failed, and what to do about it."""

TIMEOUT_S = 5.0
"""How long a probe waits for a connection or an answer."""

_GLANCE_S, _GLANCES_S, _REMEMBERED_S = 1.0, 2.5, 5.0

_API_VERSIONS = bytes.fromhex("0000000e 0012 0000 00000001 0004") + b"ping"
"""Length; ApiVersions (18) in version 0; correlation id 1; client id ``ping``."""


def address_of(bootstrap: str) -> tuple[str, int]:
    """Host and port of ``host:port``, with or without brackets round an IPv6 host."""
    host, _, port = bootstrap.rpartition(":")
    return host.strip("[]"), int(port)


def tcp_fault(bootstrap: str, timeout_s: float = TIMEOUT_S) -> Fault | None:
    """Can a TCP connection be opened? None where it can, as in all the probes."""
    try:
        with socket.create_connection(address_of(bootstrap), timeout=timeout_s):
            return None
    except (socket.gaierror, UnicodeError) as error:  # UnicodeError: no name that DNS could hold
        return f"{bootstrap}: the name does not resolve ({error.args[-1]})", "check kafka.bootstrap and DNS"
    except TimeoutError:
        return f"{bootstrap}: no answer in {timeout_s:.0f} s", "check kafka.bootstrap, the network and firewalls"
    except OSError as error:
        return f"{bootstrap}: {error.strerror or error}", "check kafka.bootstrap, and that the broker runs"


def require_reachable(kafka: KafkaConfig) -> None:
    """Check that one of the brokers at least takes a connection: some seconds at most, where a client would take longer
    and could not say why not.

    Raises:
        Unreachable: none does.
    """
    faults, each_s = list[Fault](), max(TIMEOUT_S / len(kafka.bootstrap), _GLANCE_S)
    for address in kafka.bootstrap:
        fault = tcp_fault(address, each_s)
        if fault is None:
            return
        faults.append(fault)
    what = "; ".join(said for said, _ in faults)
    raise Unreachable(f"the broker cannot be reached: {what}; {faults[0][1]}")


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
    except ssl.SSLEOFError:
        return _broken_off(bootstrap, "the other side hung up")
    except ssl.SSLError as error:
        if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            return f"{bootstrap}: no TLS is spoken there", "use a plain kafka.security_protocol, or the TLS port"
        return f"{bootstrap}: {error.reason or error}", "check kafka.ssl_cafile, ssl_certfile and ssl_keyfile"
    except OSError as error:
        return _broken_off(bootstrap, error.strerror or type(error).__name__)


def _broken_off(bootstrap: str, reason: str) -> Fault:
    return f"{bootstrap}: the handshake broke off ({reason})", "check that this port speaks TLS"


def speaks_kafka(bootstrap: str, timeout_s: float = TIMEOUT_S) -> bool:
    """Whether a broker without TLS answers at ``host:port``: one that listens need not answer yet."""
    try:
        with socket.create_connection(address_of(bootstrap), timeout=timeout_s) as link:
            link.sendall(_API_VERSIONS)
            head = link.recv(8)  # length and correlation id; a length below 2^24 begins with a zero
            return len(head) >= 4 and head[0] == 0
    except OSError:
        return False


class Reachable:
    """Whether any of the brokers takes a connection, asked once in some seconds at most; for any thread but that of an
    event loop: it may take some seconds.
    """

    def __init__(self, kafka: KafkaConfig) -> None:
        self._bootstrap = kafka.bootstrap
        self._is_plain = kafka.security_protocol.endswith("PLAINTEXT")
        self._lock = threading.Lock()
        self._asked_s, self._answer = -math.inf, list[str]()

    def why_not(self) -> list[str]:
        """Why none is reachable; empty where one is."""
        with self._lock:
            if time.monotonic() - self._asked_s > _REMEMBERED_S:
                until_s = time.monotonic() + _GLANCES_S
                reached = any(self._reaches(at) for at in self._bootstrap if time.monotonic() < until_s)
                where = ", ".join(self._bootstrap)
                self._answer = [] if reached else [f"no broker answers at {where}: look at it, and at the network"]
                self._asked_s = time.monotonic()
            return self._answer

    def _reaches(self, address: str) -> bool:
        if self._is_plain:
            return speaks_kafka(address, _GLANCE_S)
        try:
            with socket.create_connection(address_of(address), timeout=_GLANCE_S):
                return True
        except (OSError, UnicodeError):
            return False


def plain_fault(bootstrap: str) -> Fault | None:
    """Is Kafka spoken without TLS? Tells a TLS port apart."""
    if speaks_kafka(bootstrap):
        return None
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if tls_fault(bootstrap, context) is None:
        return f"{bootstrap}: this port speaks TLS", "set kafka.security_protocol to SSL or SASL_SSL"
    return f"{bootstrap}: something listens, but it is not a Kafka broker", "check the port in kafka.bootstrap"


def login_fault(bootstrap: str, kafka: KafkaConfig, password: str, context: ssl.SSLContext | None) -> Fault | None:
    """Does SASL accept the user, and does Kafka answer behind it?"""
    if kafka.security_protocol.startswith("SASL") and not password:
        return "the password is empty", "set the variable in kafka.sasl_password_env, or kafka.sasl_password_file"
    # Takes a sixth of a second: who only asks whether somebody listens does not wait for it.
    from aiokafka.errors import KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

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
    sasl: ClientSettings = {}
    if kafka.security_protocol.startswith("SASL"):
        sasl = {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": password,
        }
    from aiokafka.conn import AIOKafkaConnection  # as above

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
