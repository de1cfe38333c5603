"""``driftflow keys``: making, rotating and revoking keys."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from flowlib import artifact
from flowlib.artifact import Ed25519PrivateKey
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.history import Entry
from stream_app.models.keys import Trust, signing_key
from stream_app.models.keys import files as key_files
from stream_app.models.keys.commands import new_key, revoke_key, rotate_key
from stream_app.models.keys.listing import KnownKey, list_keys
from stream_app.models.registry import Registry
from tests.models.keys.asking import EACH_ROLE, FILES, ROLES, TRUSTS, listed, name_of, trusted, with_settings
from tests.models.streams import config_in, density


def promote(config: Config) -> str:
    """Put a model in service that the trainer's key has signed."""
    model, registry = artifact.pack(density(), signing_key(config)), Registry(config)
    registry.save(model)
    registry.change(Entry(model.model_id, "r", 1))
    return model.model_id


# New ------------------------------------------------------------------------------------------------------------------


@EACH_ROLE
def test_a_new_key_is_what_the_process_would_have_made(config: Config, role: Any) -> None:
    said = new_key(config, role)
    name = name_of(ROLES[role](config))
    assert said[0].startswith(f"the {role}'s key {name} is made: ")
    assert said[1].startswith("copy ")
    assert new_key(config, role)[0].startswith(f"the {role}'s key {name} is there already: ")


def test_a_lost_key_is_not_made_anew_by_new(config: Config, keys: Path) -> None:
    signing_key(config)
    (keys / "signing.pem").unlink()
    with pytest.raises(ModelError, match="`driftflow keys rotate trainer`"):
        new_key(config, "trainer")


def test_an_operators_key_is_trusted_where_a_person_says_so(config: Config, keys: Path) -> None:
    said = " ".join(new_key(config, "operator"))
    assert (
        "operator.pub to wherever alerts.trusted_keys is read elsewhere name keys/operator.pub in trainer.tru" in said
    )
    assert list(Trust.of_actions(config).keys()) == list(listed(config))
    assert sorted(path.name for path in keys.iterdir()) == ["operator.pem", "operator.pub"]
    trusting = with_settings(config, "trainer", trusted_keys=["keys/worker.pub", "keys/operator.pub"])
    (name,) = Trust.of_requests(trusting).keys()
    files = [str(keys / "operator.pem"), str(keys / "operator.pub")]
    assert listed(trusting)[name] == KnownKey(name, "operator", "current", False, ["requests", "actions"], True, files)


def test_encryption_that_is_asked_for_is_done_or_refused(
    config: Config, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match=r"no passphrase to encrypt .*signing\.pem with: set trainer\.passphrase_file"):
        new_key(config, "trainer", encrypt=True)
    monkeypatch.delenv("DRIFTFLOW_OPERATOR_PASSPHRASE", raising=False)
    with pytest.raises(ModelError, match="set the environment variable DRIFTFLOW_OPERATOR_PASSPHRASE"):
        new_key(config, "operator", encrypt=True)
    assert not keys.exists()
    monkeypatch.setenv("DRIFTFLOW_OPERATOR_PASSPHRASE", "open sesame")
    new_key(config, "operator", encrypt=True)
    assert key_files.is_encrypted(keys / "operator.pem")
    plain = name_of(signing_key(config))
    monkeypatch.setenv("PASSPHRASE", "open sesame")
    config = with_settings(config, "trainer", passphrase_env="PASSPHRASE")
    with pytest.raises(ModelError, match="is there already, not encrypted: `driftflow keys rotate trainer --encrypt`"):
        new_key(config, "trainer", encrypt=True)
    rotate_key(config, "trainer", encrypt=True)
    assert key_files.is_encrypted(keys / "signing.pem")
    assert trusted(config) == [name_of(signing_key(config)), plain]


# Rotate ---------------------------------------------------------------------------------------------------------------


@EACH_ROLE
def test_after_a_rotation_both_keys_are_trusted_and_the_new_one_signs(config: Config, keys: Path, role: Any) -> None:
    trust, old = TRUSTS[role](config), name_of(ROLES[role](config))
    assert list(trust.keys()) == [old]
    said = " ".join(rotate_key(config, role))
    new = name_of(ROLES[role](config))
    assert new != old
    assert list(trust.keys()) == [new, old], "no restart is needed"
    assert f"what {old} signed stays valid" in said
    assert "then start the" in said
    assert sorted(path.name for path in keys.iterdir()) == [f"{FILES[role]}.pem", f"{FILES[role]}.pub"]
    assert stat.S_IMODE((keys / f"{FILES[role]}.pem").stat().st_mode) == 0o600
    assert [listed(config)[name].state for name in (new, old)] == ["current", "former"]


@EACH_ROLE
def test_a_lost_key_is_replaced_and_what_it_signed_stays_valid(config: Config, keys: Path, role: Any) -> None:
    old = name_of(ROLES[role](config))
    (keys / f"{FILES[role]}.pem").unlink()
    rotate_key(config, role)
    assert list(TRUSTS[role](config).keys()) == [name_of(ROLES[role](config)), old]


def test_there_has_to_be_a_key_to_rotate(config: Config, keys: Path) -> None:
    with pytest.raises(ModelError, match=r"no key of the trainer to rotate: `driftflow keys new trainer` makes"):
        rotate_key(config, "trainer")
    assert not keys.exists()


def test_a_rotation_reaches_every_file_that_trusts_the_key(tmp_path: Path) -> None:
    files = ["public/signing.pub", "agents/production.pub", "agents/stranger.pub", "agents/missing.pub"]
    config = with_settings(config_in(tmp_path), "state", trusted_keys=files)
    stranger, old = Ed25519PrivateKey.generate(), signing_key(config)
    key_files.put_first(tmp_path / "agents" / "production.pub", old.public_key())
    key_files.put_first(tmp_path / "agents" / "stranger.pub", stranger.public_key())
    rotate_key(config, "trainer")
    new = name_of(signing_key(config))
    for name in ("keys/signing.pub", *files[:2]):
        assert list(key_files.read_public(tmp_path / name)) == [new, name_of(old)]
    assert list(key_files.read_public(tmp_path / files[2])) == [name_of(stranger)]
    assert not (tmp_path / files[3]).exists()


def test_a_rotation_can_be_prepared_before_the_key_signs(config: Config, keys: Path) -> None:
    old = name_of(signing_key(config))
    said = rotate_key(config, "trainer", prepare=True)
    assert "does not sign yet" in said[0]
    assert name_of(signing_key(config)) == old
    (waiting, _) = trusted(config)
    assert (listed(config)[waiting].state, listed(config)[old].state) == ("next", "current")
    assert list_keys(config).problems == [
        f"{keys}/signing.pem.next is prepared: `driftflow keys rotate trainer` completes it"
    ]
    assert rotate_key(config, "trainer", prepare=True) == said, "twice is once"
    rotate_key(config, "trainer")
    assert name_of(signing_key(config)) == waiting
    assert list_keys(config).problems == []


def test_a_prepared_key_that_was_revoked_does_not_come_into_service(config: Config) -> None:
    signing_key(config)
    rotate_key(config, "trainer", prepare=True)
    (waiting, _) = trusted(config)
    revoke_key(config, waiting)
    with pytest.raises(ModelError, match=r"signing\.pem\.next is a key that was revoked: remove it and rotate again"):
        rotate_key(config, "trainer")
    assert waiting not in trusted(config)


# Revoke ---------------------------------------------------------------------------------------------------------------


def test_a_former_key_is_revoked_for_good(config: Config, keys: Path) -> None:
    old = name_of(signing_key(config))
    whole = (keys / "signing.pub").read_bytes()
    rotate_key(config, "trainer")
    new, trust = name_of(signing_key(config)), Trust.of_models(config)
    assert list(trust.keys()) == [new, old]
    said = revoke_key(config, old)
    assert said[0] == f"key {old} is revoked: {keys}/revoked.txt"
    assert said[1] == "what it signed is refused from now on (of the registry here: no model)"
    assert said[-1].startswith(f"copy {keys}/revoked.txt to wherever state.trusted_keys is read elsewhere; running")
    assert list(trust.keys()) == [new]
    assert old not in (keys / "signing.pub").read_bytes().decode().replace(f"# key {old}", "")
    assert listed(config)[old] == KnownKey(old, revoked=True)
    assert revoke_key(config, old) == [f"key {old} is revoked already"]
    (keys / "signing.pub").write_bytes((keys / "signing.pub").read_bytes() + whole)
    assert list(trust.keys()) == [new], "a copy of the old file brings it not back"
    revoke_key(config, old)
    assert list(key_files.read_public(keys / "signing.pub")) == [new], "and is cleared out when asked again"


@EACH_ROLE
def test_a_current_key_that_is_revoked_signs_nothing_more_until_it_is_rotated(config: Config, role: Any) -> None:
    old = name_of(ROLES[role](config))
    said = " ".join(revoke_key(config, old))
    assert f"it was the {role}'s: `driftflow keys rotate {role}` makes another" in said
    assert TRUSTS[role](config).keys() == {}
    with pytest.raises(ModelError, match=rf"is revoked: `driftflow keys rotate {role}` makes another"):
        ROLES[role](config)
    assert any(old in problem and "revoked" in problem for problem in list_keys(config).problems)
    rotate_key(config, role)
    assert list(TRUSTS[role](config).keys()) == [name_of(ROLES[role](config))]


def test_the_key_of_the_model_in_service_is_revoked_only_by_those_who_are_sure(config: Config) -> None:
    model, name = promote(config), name_of(signing_key(config))
    rotate_key(config, "trainer")
    with pytest.raises(ModelError, match=rf"the model in service, {model}, was signed by key {name}: .* with --yes"):
        revoke_key(config, name)
    assert name in trusted(config)
    assert f"what it signed is refused from now on (of the registry here: the models {model})" in revoke_key(
        config, name, sure=True
    )
    with pytest.raises(ModelError, match="is not trusted here"):
        Registry(config).current()


def test_a_model_whose_file_is_damaged_does_not_stop_a_revocation(config: Config, tmp_path: Path) -> None:
    model, name = promote(config), name_of(signing_key(config))
    (tmp_path / "models" / f"{model}.model").write_bytes(b"")
    assert revoke_key(config, name)[0].startswith(f"key {name} is revoked")


@pytest.mark.parametrize("name", ["0" * 16, "", "nonsense", "../keys"])
def test_a_key_that_is_not_known_is_a_sentence(config: Config, name: str) -> None:
    known = name_of(signing_key(config))
    with pytest.raises(ModelError, match=rf"no key {name} is known here \(known: {known}\): see `driftflow keys list`"):
        revoke_key(config, name)


def test_an_operators_key_that_nobody_trusts_can_be_revoked(config: Config, keys: Path) -> None:
    name = new_key(config, "operator")[0].split()[3]
    assert "rotate operator" in " ".join(revoke_key(config, name))
    assert key_files.read_revoked(keys) == {name}
