"""Settings of the clients follow the protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

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
    "kafka",
    [
        KafkaConfig(security_protocol="SSL", ssl_cafile="no-such.pem"),
        KafkaConfig(security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN", sasl_password_file="no-such.txt"),
    ],
)
def test_a_file_that_is_not_there_ends_in_a_sentence(tmp_path: Path, kafka: KafkaConfig) -> None:
    with pytest.raises(DriftflowError, match=r"a file named in \[kafka\] cannot be read: .*; check ssl_"):
        client_settings(kafka, tmp_path)
