"""Before a process starts: its key is trusted by whoever has to, as far as that can be seen."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from flowlib.artifact import Ed25519PrivateKey
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.keys import files as key_files
from stream_app.models.keys import request_key, signing_key
from stream_app.models.keys.checks import require_keys
from stream_app.models.keys.commands import new_key, revoke_key
from tests.models.keys.asking import name_of, with_settings
from tests.models.streams import config_in


@pytest.fixture(autouse=True)
def only_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a test before has set: that nobody may act yet is no warning."""
    caplog.set_level(logging.WARNING)


def test_both_start_where_both_keys_are_and_the_trainer_makes_its_own(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    require_keys(config, "trainer")
    (note,) = caplog.messages
    assert "worker.pub) is here yet: no retrain request is honoured until" in note
    caplog.clear()
    require_keys(config, "worker")
    require_keys(config, "trainer")
    assert caplog.messages == []


def test_a_worker_needs_the_trainers_public_key(config: Config) -> None:
    with pytest.raises(ModelError, match=r"state\.trusted_keys: .*signing\.pub does not exist"):
        require_keys(config, "worker")


def test_a_worker_notes_that_it_cannot_see_what_the_trainer_trusts(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    signing_key(config)
    require_keys(with_settings(config, "trainer", trusted_keys=["elsewhere/agents.pub"]), "worker")
    assert "elsewhere/agents.pub) is here yet: whether the trainer trusts the workers' key" in caplog.messages[0]


def test_a_worker_ends_where_the_operators_public_key_is_damaged_and_a_trainer_does_not_look(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    signing_key(config)
    caplog.set_level(logging.INFO)
    require_keys(config, "worker")
    assert "operator.pub) is here yet: what people say of incidents does not count" in caplog.text
    new_key(config, "operator")
    caplog.clear()
    require_keys(config, "worker")
    assert "what people say" not in caplog.text
    public = config.path("keys/operator.pub")
    public.write_bytes(b"garbage")
    with pytest.raises(ModelError, match=r"operator\.pub is not a public key in PEM"):
        require_keys(config, "worker")
    require_keys(config, "trainer")


def test_where_no_file_is_named_no_model_could_be_accepted(config: Config) -> None:
    with pytest.raises(ModelError, match=r"state\.trusted_keys names no file, .*: name the trainer's public key there"):
        require_keys(with_settings(config, "state", trusted_keys=[]), "worker")


@pytest.mark.parametrize(
    ("role", "section", "says"),
    [("trainer", "state", "every model it signs"), ("worker", "trainer", "every retrain request it signs")],
)
def test_a_key_that_is_in_no_file_that_has_to_trust_it_is_refused(
    tmp_path: Path, role: Literal["trainer", "worker"], section: str, says: str
) -> None:
    config = config_in(tmp_path)
    own = {"trainer": signing_key, "worker": request_key}
    names = {name: name_of(key(config)) for name, key in own.items()}
    other = tmp_path / "keys" / "production.pub"
    key_files.put_first(other, Ed25519PrivateKey.generate().public_key())
    changed = with_settings(config, section, trusted_keys=["keys/production.pub"])
    with pytest.raises(
        ModelError, match=rf"{names[role]} .* is in none of .*production\.pub .*{says} would be refused"
    ):
        require_keys(changed, role)
    key_files.put_first(other, own[role](config).public_key())
    require_keys(changed, role)


def test_a_worker_that_would_believe_nobody_does_not_start(config: Config) -> None:
    revoke_key(config, name_of(signing_key(config)))
    with pytest.raises(ModelError, match=r"every key of state\.trusted_keys is revoked, .*`driftflow keys rotate"):
        require_keys(config, "worker")


@pytest.mark.parametrize("role", ["trainer", "worker"])
@pytest.mark.parametrize("name", ["signing.pub", "worker.pub", key_files.REVOKED])
def test_every_file_of_trust_has_to_be_readable(
    config: Config, tmp_path: Path, role: Literal["trainer", "worker"], name: str
) -> None:
    signing_key(config)
    request_key(config)
    path = tmp_path / "keys" / name
    for damage in (lambda: path.write_bytes(b"garbage"), lambda: path.chmod(0o666)):
        damage()
        with pytest.raises(ModelError, match=name):
            require_keys(config, role)
    path.chmod(0o644)


def test_a_lost_key_stops_the_trainer_at_the_start(config: Config, tmp_path: Path) -> None:
    require_keys(config, "trainer")
    shutil.move(tmp_path / "keys" / "signing.pem", tmp_path / "backup.pem")
    with pytest.raises(ModelError, match="`driftflow keys rotate trainer`"):
        require_keys(config, "trainer")
    shutil.move(tmp_path / "backup.pem", tmp_path / "keys" / "signing.pem")
    require_keys(config, "trainer")


TOML = (
    'stream = "s"\n[topics]\nevents = "e"\n[event]\ntime_field = "t"\nnumeric = ["x", "y"]\n[kafka]\nbootstrap = {}\n'
)


@pytest.mark.parametrize(
    ("command", "key", "says"),
    [
        ("trainer", "signing", "driftflow keys rotate trainer"),
        ("worker", "worker", "driftflow keys rotate worker"),
        ("score", "signing", "driftflow keys rotate trainer"),
    ],
)
def test_a_command_whose_key_is_lost_ends_in_a_sentence_before_it_looks_for_a_broker(
    config: Config, tmp_path: Path, command: str, key: str, says: str
) -> None:
    (tmp_path / "driftflow.toml").write_text(TOML.format('["127.0.0.1:1"]'))
    (tmp_path / "events.csv").write_text("t,x,y\n2026-01-01T00:00:00,1,2\n")
    signing_key(config)
    request_key(config)
    (tmp_path / "keys" / f"{key}.pem").unlink()
    before = sorted((tmp_path / "keys").iterdir())
    words = {"score": [str(tmp_path / "events.csv"), "--bootstrap-until", "2026-01-02"]}.get(command, [])
    run = subprocess.run(
        [sys.executable, "-m", "stream_app.cli", command, *words, "-c", str(tmp_path / "driftflow.toml")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (run.returncode, "Traceback" in run.stderr) == (1, False), run.stderr
    assert f"{key}.pem is missing, but" in run.stderr
    assert says in run.stderr
    assert sorted((tmp_path / "keys").iterdir()) == before, "nothing is made"
