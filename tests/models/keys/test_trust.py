"""Whom a stream believes."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest

from flowlib.artifact import Ed25519PrivateKey
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.keys import Trust, request_key, signing_key, trusted_keys
from stream_app.models.keys import files as key_files
from tests.models.keys.asking import EACH_ROLE, FILES, ROLES, TRUSTS, name_of, with_settings
from tests.models.streams import config_in


@EACH_ROLE
def test_trust_follows_the_files(config: Config, keys: Path, role: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trust, public = TRUSTS[role](config), keys / f"{FILES[role]}.pub"
    assert trust.keys() == {}, "a missing file holds no key"
    first, second = name_of(ROLES[role](config)), Ed25519PrivateKey.generate()
    assert list(trust.keys()) == [first]
    key_files.put_first(public, second.public_key())
    assert list(trust.keys()) == [name_of(second), first]
    key_files.add_revoked(keys, first)
    assert list(trust.keys()) == [name_of(second)]
    (keys / key_files.REVOKED).unlink()
    assert list(trust.keys()) == [name_of(second), first]
    public.unlink()
    assert trust.keys() == {}
    assert caplog.messages[-1].endswith("trusted_keys has changed, trusted are now: none")


def test_what_has_not_changed_is_not_read_again(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    signing_key(config)
    trust = Trust.of_models(config)
    held = trust.keys()
    monkeypatch.setattr(key_files, "read_public", lambda _: pytest.fail("it was read"))
    assert trust.keys() is held


def test_a_change_within_one_tick_of_the_clock_is_seen(config: Config, keys: Path) -> None:
    signing_key(config)
    trust, public = Trust.of_models(config), keys / "signing.pub"
    trust.keys()
    found, other = public.stat(), Ed25519PrivateKey.generate()
    public.unlink()
    key_files.put_first(public, other.public_key())
    os.utime(public, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert list(trust.keys()) == [name_of(other)]


def test_trust_does_not_outlive_a_damaged_file_or_rights_for_others(config: Config, keys: Path) -> None:
    signing_key(config)
    trust, public = Trust.of_models(config), keys / "signing.pub"
    whole = public.read_bytes()
    assert len(trust.keys()) == 1
    public.write_bytes(whole[:40])
    for _ in "ab":
        with pytest.raises(ModelError, match=r"signing\.pub is not a public key in PEM"):
            trust.keys()
    public.write_bytes(whole)
    assert len(trust.keys()) == 1
    public.chmod(0o666)
    with pytest.raises(ModelError, match=r"signing\.pub can be written by others"):
        trust.keys()
    public.chmod(0o644)
    keys.chmod(0o777)
    with pytest.raises(ModelError, match=r"keys can be written by everybody"):
        trust.keys()


def test_a_running_process_goes_on_with_the_keys_that_it_trusted_while_a_file_is_damaged(
    config: Config, keys: Path
) -> None:
    request_key(config)
    said: list[str] = []
    trust, public = Trust.of_requests(config), keys / "worker.pub"
    held = trust.steady_keys(said.append)
    whole = public.read_bytes()
    public.write_bytes(b"garbage")
    assert trust.steady_keys(said.append) == held
    assert said[0].endswith(
        "copy it here again from another place that has it. The keys that were trusted before stay so."
    )
    public.write_bytes(whole)
    assert trust.steady_keys(said.append) == held
    assert len(said) == 1


def test_a_revoked_key_comes_back_with_no_copy_of_its_file(tmp_path: Path) -> None:
    config = with_settings(config_in(tmp_path), "state", trusted_keys=["keys/signing.pub", "copies/old.pub"])
    name = name_of(signing_key(config))
    (tmp_path / "copies").mkdir()
    shutil.copy(tmp_path / "keys" / "signing.pub", tmp_path / "copies" / "old.pub")
    key_files.add_revoked(tmp_path / "keys", name)
    assert Trust.of_models(config).keys() == trusted_keys(config) == {}
    with pytest.raises(ModelError, match=rf"the trainer's key {name} .* is revoked: `driftflow keys rotate trainer`"):
        signing_key(config)


def test_trusted_keys_and_trust_agree_but_for_a_file_that_is_not_there(config: Config) -> None:
    with pytest.raises(ModelError, match=r"state\.trusted_keys: .*signing\.pub does not exist; `driftflow trainer`"):
        trusted_keys(config)
    signing_key(config)
    assert trusted_keys(config) == Trust.of_models(config).keys()
