"""Each probe tells what is wrong with its own layer. The layers of real brokers are in ``test_preflight.py``."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream_app.config import KafkaConfig
from stream_app.config.registries import SecurityProtocol
from stream_app.kafka.probes import Reachable, address_of, login_fault, plain_fault, speaks_kafka, tcp_fault, tls_fault
from tests.certificates import write_certificates

Answer = Callable[[socket.socket], None]
Serve = Callable[[Answer], str]


def web_page(link: socket.socket) -> None:
    """A web server's answer to whatever."""
    link.recv(100)
    link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def hang_up(link: socket.socket) -> None:
    """Nothing at all."""


def say_nothing(link: socket.socket) -> None:
    """Until the other side gives up."""
    link.recv(100)
    link.recv(100)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Servers on ports of their own: ``serve(answer)`` gives the address."""
    listeners = []

    def accept(listener: socket.socket, answer: Answer) -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with link:
                try:
                    answer(link)
                except OSError:
                    continue

    def start(answer: Answer) -> str:
        listener = socket.create_server(("", 0))
        listeners.append(listener)
        threading.Thread(target=accept, args=(listener, answer), daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture
def tls_server(serve: Serve, tmp_path: Path) -> str:
    """Speaks TLS with a certificate for 127.0.0.1."""
    write_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    return serve(lambda link: context.wrap_socket(link, server_side=True).close())


def trusting(folder: Path, name: str = "ca.pem") -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / name))


@pytest.mark.parametrize(
    ("bootstrap", "address"),
    [("kafka.example:9092", ("kafka.example", 9092)), ("[::1]:9093", ("::1", 9093)), ("10.0.0.1:1", ("10.0.0.1", 1))],
)
def test_addresses(bootstrap: str, address: tuple[str, int]) -> None:
    assert address_of(bootstrap) == address


def test_a_broker_speaks_kafka(tansu: str) -> None:
    assert speaks_kafka(tansu)
    assert plain_fault(tansu) is None
    assert tcp_fault(tansu) is None


@pytest.mark.parametrize("answer", [web_page, hang_up, say_nothing])
def test_a_port_that_is_no_broker(serve: Serve, answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.kafka.probes.TIMEOUT_S", 0.5)
    address = serve(answer)
    assert not speaks_kafka(address, timeout_s=0.5)
    fault = plain_fault(address)
    assert fault is not None
    assert "something listens, but it is not a Kafka broker" in fault[0]


def test_a_port_that_speaks_tls(tls_server: str) -> None:
    fault = plain_fault(tls_server)
    assert fault is not None
    assert "this port speaks TLS" in fault[0]


def test_a_closed_port(port: int) -> None:
    assert not speaks_kafka(f"127.0.0.1:{port}")
    fault = tcp_fault(f"127.0.0.1:{port}")
    assert fault is not None
    assert "Connection refused" in fault[0]


def test_a_certificate_of_a_known_authority(tls_server: str, tmp_path: Path) -> None:
    assert tls_fault(tls_server, trusting(tmp_path)) is None


@pytest.mark.parametrize(
    ("host", "authority", "remedy"),
    [
        ("127.0.0.1", "other-ca.pem", "set kafka.ssl_cafile to the authority that signed it"),
        ("127.0.0.2", "ca.pem", "use the name in the certificate in kafka.bootstrap"),
    ],
)
def test_a_certificate_that_does_not_hold(
    tls_server: str, tmp_path: Path, host: str, authority: str, remedy: str
) -> None:
    port = address_of(tls_server)[1]
    fault = tls_fault(f"{host}:{port}", trusting(tmp_path, authority))
    assert fault is not None
    assert fault[1] == remedy


@pytest.mark.parametrize(
    ("answer", "said"), [(web_page, "no TLS is spoken there"), (hang_up, "the handshake broke off")]
)
def test_a_port_without_tls(serve: Serve, answer: Answer, said: str) -> None:
    fault = tls_fault(serve(answer), ssl.create_default_context())
    assert fault is not None
    assert said in fault[0]


def test_an_empty_password_is_not_sent() -> None:
    kafka = KafkaConfig(security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN", sasl_username="me")
    fault = login_fault("127.0.0.1:1", kafka, "", None)
    assert fault is not None
    assert fault[0] == "the password is empty"


def test_a_broker_that_needs_no_login(tansu: str) -> None:
    assert login_fault(tansu, KafkaConfig(), "", None) is None


def test_a_login_that_nobody_answers(serve: Serve) -> None:
    address = serve(hang_up)
    fault = login_fault(address, KafkaConfig(), "", None)
    assert fault is not None
    assert fault[1] == "check kafka.security_protocol and kafka.sasl_mechanism"


def test_one_broker_that_answers_is_enough_and_it_is_asked_once_in_a_while(serve: Serve) -> None:
    asked = []

    def answer(link: socket.socket) -> None:
        asked.append(link.recv(100))
        link.sendall(b"\x00\x00\x00\x04aaaa")

    reachable = Reachable(KafkaConfig(bootstrap=[serve(hang_up), serve(answer)]))
    assert reachable.why_not() == reachable.why_not() == []
    assert len(asked) == 1


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_SSL"])
def test_no_broker_that_answers_is_a_reason(serve: Serve, protocol: SecurityProtocol) -> None:
    kafka = KafkaConfig(bootstrap=["127.0.0.1:1", "no-such-host.invalid:9"], security_protocol=protocol)
    assert Reachable(kafka).why_not() == [
        "no broker answers at 127.0.0.1:1, no-such-host.invalid:9: look at it, and at the network"
    ]


def test_of_a_broker_with_tls_a_connection_is_enough(serve: Serve) -> None:
    assert Reachable(KafkaConfig(bootstrap=[serve(say_nothing)], security_protocol="SSL")).why_not() == []
