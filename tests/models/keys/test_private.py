"""When a key may be made, and when it may sign."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from flowlib.artifact import Ed25519PrivateKey
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.history import Entry
from stream_app.models.keys import Trust, request_key, signing_key, trusted_keys
from stream_app.models.keys import files as key_files
from stream_app.models.registry import Registry
from tests.models.keys.asking import EACH_ROLE, FILES, ROLES, TRUSTS, name_of, with_settings
from tests.models.streams import config_in


@EACH_ROLE
def test_a_key_is_made_once_and_is_trusted(config: Config, keys: Path, role: str) -> None:
    key = ROLES[role](config)
    assert sorted(path.name for path in keys.iterdir()) == [f"{FILES[role]}.pem", f"{FILES[role]}.pub"]
    assert name_of(ROLES[role](config)) == name_of(key)
    assert list(TRUSTS[role](config).keys()) == [name_of(key)]


def test_the_roles_may_share_a_folder_and_do_not_trust_each_other(config: Config) -> None:
    worker, trainer = request_key(config), signing_key(config)
    assert list(Trust.of_models(config).keys()) == [name_of(trainer)]
    assert list(Trust.of_requests(config).keys()) == [name_of(worker)]


@EACH_ROLE
def test_a_lost_key_beside_its_public_half_is_an_error_with_a_remedy(config: Config, keys: Path, role: str) -> None:
    ROLES[role](config)
    (keys / f"{FILES[role]}.pem").unlink()
    before = sorted(path.name for path in keys.iterdir())
    with pytest.raises(ModelError) as lost:
        ROLES[role](config)
    for part in (f"{FILES[role]}.pem is missing, but", ".pub is there", "a backup", f"`driftflow keys rotate {role}`"):
        assert part in str(lost.value)
    assert sorted(path.name for path in keys.iterdir()) == before, "nothing is made"


@EACH_ROLE
def test_a_key_is_lost_too_where_its_folder_is_but_others_still_trust_it(tmp_path: Path, role: str) -> None:
    where = {"signing_key": f"private/{FILES[role]}.pem"}
    config = with_settings(config_in(tmp_path), role, **where)
    ROLES[role](config)
    shutil.rmtree(tmp_path / "private")
    with pytest.raises(ModelError, match=rf"is missing, but {tmp_path}/keys/{FILES[role]}\.pub is there"):
        ROLES[role](config)


def test_the_trainers_key_is_lost_where_any_file_of_trusted_keys_is_there(tmp_path: Path) -> None:
    config = with_settings(config_in(tmp_path), "state", trusted_keys=["keys/production.pub"])
    key_files.put_first(tmp_path / "keys" / "production.pub", Ed25519PrivateKey.generate().public_key())
    with pytest.raises(ModelError, match=r"is missing, but .*production\.pub is there"):
        signing_key(config)


def test_the_trainers_key_is_lost_where_models_have_been_promoted(config: Config, keys: Path) -> None:
    signing_key(config)
    Registry(config).change(Entry("m", "r", 1))
    shutil.rmtree(keys)
    with pytest.raises(ModelError, match=r"is missing, but .*s\.jsonl names models that it has signed"):
        signing_key(config)
    assert not keys.exists()


def test_an_operators_key_that_is_trusted_does_not_stand_for_the_trainers(tmp_path: Path) -> None:
    config = with_settings(config_in(tmp_path), "state", trusted_keys=["keys/signing.pub", "keys/operator.pub"])
    key_files.put_first(tmp_path / "keys" / "operator.pub", Ed25519PrivateKey.generate().public_key())
    assert name_of(signing_key(config)) in trusted_keys(config)


def test_workers_that_have_a_key_each_share_a_file(tmp_path: Path) -> None:
    """What the trainer trusts holds the others' keys already when a further worker makes its own."""
    trusted = {"trusted_keys": ["keys/first.pub", "keys/second.pub"]}
    shared = with_settings(config_in(tmp_path), "trainer", **trusted)
    names = []
    for number in ("first", "second"):
        names.append(name_of(request_key(with_settings(shared, "worker", signing_key=f"keys/{number}.pem"))))
    assert list(Trust.of_requests(shared).keys()) == names


@EACH_ROLE
def test_halves_that_do_not_match_are_an_error(config: Config, keys: Path, role: str) -> None:
    ROLES[role](config)
    public = keys / f"{FILES[role]}.pub"
    public.unlink()
    key_files.put_first(public, Ed25519PrivateKey.generate().public_key())
    with pytest.raises(ModelError, match=r"\.pub does not hold the public half of .*\.pem, which is [0-9a-f]{16}, but"):
        ROLES[role](config)


def test_a_private_key_that_others_can_read_is_warned_of(
    config: Config, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    signing_key(config)
    assert caplog.messages == []
    (keys / "signing.pem").chmod(0o644)
    signing_key(config)
    assert caplog.messages == [f"{keys}/signing.pem can be read by others: chmod 600 {keys}/signing.pem"]


# Passphrases ----------------------------------------------------------------------------------------------------------


@EACH_ROLE
def test_a_key_is_encrypted_where_there_is_a_passphrase(
    config: Config, keys: Path, role: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    config = with_settings(config, role, passphrase_env="KEY_PASSPHRASE")
    monkeypatch.delenv("KEY_PASSPHRASE", raising=False)
    with pytest.raises(ModelError, match=rf"{role}\.passphrase_env: no variable KEY_PASSPHRASE is set"):
        ROLES[role](config)
    assert not keys.exists(), "never a plain key where an encrypted one was asked for"
    monkeypatch.setenv("KEY_PASSPHRASE", "open sesame")
    name = name_of(ROLES[role](config))
    assert key_files.is_encrypted(keys / f"{FILES[role]}.pem")
    assert name_of(ROLES[role](config)) == name
    monkeypatch.setenv("KEY_PASSPHRASE", "open barley")
    with pytest.raises(ModelError, match=rf"is not opened by the passphrase of {role}\.passphrase_file or {role}\."):
        ROLES[role](config)
    with pytest.raises(ModelError, match="is encrypted, and no passphrase is given"):
        ROLES[role](with_settings(config, role, passphrase_env=""))
    assert not any("sesame" in text or "barley" in text for text in caplog.messages)


@EACH_ROLE
def test_a_passphrase_comes_from_a_file_too(config: Config, tmp_path: Path, role: str) -> None:
    config = with_settings(config, role, passphrase_file="secret")
    with pytest.raises(ModelError, match=rf"{role}\.passphrase_file: .*secret cannot be read, No such file"):
        ROLES[role](config)
    (tmp_path / "secret").write_text("\n")
    with pytest.raises(ModelError, match=rf"{role}\.passphrase_file: secret is empty"):
        ROLES[role](config)
    (tmp_path / "secret").write_text("ouvre-toi, sésame\n")
    name = name_of(ROLES[role](config))
    assert name_of(ROLES[role](config)) == name
    assert key_files.is_encrypted(tmp_path / "keys" / f"{FILES[role]}.pem")
