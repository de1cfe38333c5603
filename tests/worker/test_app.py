"""How the Faust app connects: what a broker is sent depends on the protocol alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from faust.types.auth import AuthProtocol

from stream_app.config import Config, KafkaConfig
from stream_app.worker.app import broker_urls, credentials, make_app


def test_plaintext_needs_no_credentials() -> None:
    assert credentials(KafkaConfig()) is None


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_login_takes_its_password_from_the_file(tmp_path: Path, protocol: str) -> None:
    (tmp_path / "word").write_text("secret\n")
    kafka = KafkaConfig(
        security_protocol=protocol,  # type: ignore[arg-type]
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="worker",
        sasl_password_file="word",
    )
    login = credentials(kafka, tmp_path)
    assert login.protocol is AuthProtocol(protocol)  # type: ignore[attr-defined]
    assert (login.username, login.password) == ("worker", "secret")  # type: ignore[attr-defined]
    assert (login.ssl_context is not None) == (protocol == "SASL_SSL")  # type: ignore[attr-defined]


def test_tls_alone_has_a_context() -> None:
    assert credentials(KafkaConfig(security_protocol="SSL")).context is not None  # type: ignore[attr-defined]


def test_every_broker_is_named() -> None:
    assert broker_urls(KafkaConfig(bootstrap=["a:1", "[::1]:2"])) == ["kafka://a:1", "kafka://[::1]:2"]


def test_the_app_commits_only_what_is_acked_and_keeps_its_files_with_the_state(config: Config) -> None:
    kafka = msgspec.structs.replace(config.kafka, group="mine")
    app = make_app(msgspec.structs.replace(config, kafka=kafka))
    assert app.conf.id == "mine"
    assert app.conf.processing_guarantee.value == "at_least_once"
    assert app.conf.consumer_auto_offset_reset == "earliest"
    assert str(config.path(config.state.dir)) in str(app.conf.datadir)


def test_nobody_waits_for_tables(config: Config) -> None:
    """Faust would a second: partitions are assigned once its tables are there, and there are none."""

    async def start() -> list[str]:
        tables, done = make_app(config).tables, list[str]()
        tables._update_channels = lambda: _note(done, "channels")
        tables._recovery = SimpleNamespace(start=lambda: _note(done, "recovery"))
        tables.sleep = lambda seconds: _note(done, "waited")
        await tables.on_start()
        return done

    assert asyncio.run(start()) == ["channels", "recovery"]


async def _note(done: list[str], what: str) -> None:
    done.append(what)
