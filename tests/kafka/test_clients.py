"""Settings of the clients follow the protocol."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from stream_app.config import KafkaConfig
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from tests.certificates import write_certificates


def test_plaintext_has_no_secrets() -> None:
    assert client_settings(KafkaConfig(bootstrap=["a:1", "b:2"])) == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "PLAINTEXT",
        "metadata_max_age_ms": 30_000,
    }


def test_a_login_over_tls(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    (tmp_path / "word").write_text("secret\n")
    kafka = KafkaConfig(
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="me",
        sasl_password_file="word",
        ssl_cafile="ca.pem",
        ssl_certfile="server.pem",
    )
    settings = client_settings(kafka, tmp_path)
    login = {name: value for name, value in settings.items() if name.startswith("sasl")}
    assert login == {"sasl_mechanism": "PLAIN", "sasl_plain_username": "me", "sasl_plain_password": "secret"}
    assert settings["ssl_context"].verify_mode.name == "CERT_REQUIRED"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "blob", [b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None]
)
@pytest.mark.parametrize(
    "settings",
    [{"ssl_cafile": "odd"}, {"ssl_certfile": "odd"}, {"ssl_certfile": "server.pem", "ssl_keyfile": "odd"}],
    ids=["authority", "certificate", "key"],
)
def test_a_damaged_certificate_is_named(tmp_path: Path, settings: dict[str, str], blob: bytes | None) -> None:
    write_certificates(tmp_path)
    path = tmp_path / "odd"
    path.mkdir() if blob is None else path.write_bytes(blob)
    with pytest.raises(DriftflowError, match=f"a file named in .kafka. cannot be read: .*{path}: "):
        client_settings(KafkaConfig(security_protocol="SSL", **settings), tmp_path)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    secret = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")
    )
    (tmp_path / "odd").write_bytes(secret)
    kafka = KafkaConfig(security_protocol="SSL", ssl_certfile="server.pem", ssl_keyfile="odd")
    with pytest.raises(DriftflowError, match=f"{tmp_path / 'odd'}: "):
        client_settings(kafka, tmp_path)


@pytest.mark.parametrize(
    "kafka",
    [
        KafkaConfig(security_protocol="SSL", ssl_cafile="no-such.pem"),
        KafkaConfig(security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN", sasl_password_file="no-such.txt"),
    ],
)
def test_a_file_that_is_not_there_ends_in_a_sentence(tmp_path: Path, kafka: KafkaConfig) -> None:
    with pytest.raises(DriftflowError, match=r"a file named in \[kafka\] cannot be read: .*; check ssl_"):
        client_settings(kafka, tmp_path)
