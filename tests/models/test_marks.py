"""People see which notices and requests are signed by a key that is trusted here."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from flowlib.artifact import Ed25519PrivateKey
from schemas.codecs import Envelope, WireMessage, encode_event
from schemas.records import Activation, Record, RetrainRequest
from stream_app.config import Config
from stream_app.models.keys import files as key_files
from stream_app.models.keys.roles import trusted_paths
from stream_app.models.marks import Marks
from stream_app.models.signing import sign
from tests.models.streams import config_in, notice_of

TRAINER, WORKER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
REQUEST = RetrainRequest(
    id="r",
    stream="s",
    reason="drift",
    slices=[],
    alerts=[],
    model_id="m",
    requested_pane_ms=1,
    train=[],
    calibrate_from_ms=0,
)
SWAP = Activation(stream="s", topic="e", partition=0, pane_start_ms=0, model_id="m")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A machine that trusts a trainer's key and a worker's."""
    config = config_in(tmp_path)
    for setting, key in (("state.trusted_keys", TRAINER), ("trainer.trusted_keys", WORKER)):
        key_files.put_first(trusted_paths(config)[setting][0], key.public_key())
    return config


def encoded(record: Record, key: Ed25519PrivateKey | None) -> WireMessage:
    message = encode_event(Envelope(record, "id", "/driftflow/s/x", 0))
    return message if key is None else sign(message, key)


@pytest.mark.parametrize(
    ("record", "key", "trusted"),
    [
        (notice_of("m"), TRAINER, True),
        (notice_of("m"), WORKER, False),
        (notice_of("m"), None, False),
        (REQUEST, WORKER, True),
        (REQUEST, TRAINER, False),
        (REQUEST, None, False),
        (SWAP, None, True),
    ],
)
def test_each_kind_has_keys_of_its_own(config: Config, record: Record, key: Ed25519PrivateKey, trusted: bool) -> None:
    message, marks = encoded(record, key), Marks(config)
    for _ in range(2):
        assert marks.is_trusted(record, message.value, message.headers) is trusted


def test_a_machine_without_keys_trusts_nobody(tmp_path: Path) -> None:
    message = encoded(REQUEST, WORKER)
    assert not Marks(config_in(tmp_path)).is_trusted(REQUEST, message.value, message.headers)


def test_a_damaged_key_file_is_said_once(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    trusted_paths(config)["trainer.trusted_keys"][0].write_text("half a k")
    message, marks = encoded(REQUEST, WORKER), Marks(config)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert not marks.is_trusted(REQUEST, message.value, message.headers)
    (line,) = caplog.messages
    assert "worker.pub" in line
    assert line.endswith("No key is trusted meanwhile.")
