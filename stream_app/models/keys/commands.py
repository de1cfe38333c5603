"""``driftflow keys new``, ``rotate`` and ``revoke``. Each does nothing that was done already, so that one which was
broken off is given again; each answers in sentences, the last of which say what is left to a person.

A rotated private key is not kept: what it signed is verified by its public half, and nobody has to guard it any more.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from flowlib.artifact import Ed25519PublicKey, key_id
from stream_app.config import Config
from stream_app.config.types import RoleName
from stream_app.disk import write_durably, writing
from stream_app.errors import ModelError
from stream_app.models.audit import AuditLog
from stream_app.models.audit_lines import KeyEvent, of_key
from stream_app.models.keys import files
from stream_app.models.keys.files import present
from stream_app.models.keys.private import private_key, traces
from stream_app.models.keys.roles import OPERATOR_KEY, Role, role_of, roles_of, trusted_paths
from stream_app.models.keys.trust import revoked_keys
from stream_app.models.registry import Registry

_ROTATE_AGAIN = "remove it and rotate again"
_RESTART = {"trainer": "start the trainer again", "worker": "start the workers again", "operator": ""}


def new_key(config: Config, name: RoleName, encrypt: bool = False) -> list[str]:
    """Make the key of a role that has none.

    Args:
        config: the stream.
        name: of the role.
        encrypt: insist on a passphrase; where the settings give one, the key is encrypted anyhow.

    Raises:
        ModelError: the role has had a key, which is lost or damaged; or no passphrase is given.
        DriftflowError: a file cannot be written.
    """
    role = role_of(config, name)
    _check_passphrase(role, encrypt)
    existed = present(role.private)
    public = private_key(role).public_key()
    if not existed:
        _note(config, name, key_id(public), "new")
    _check_encrypted(role.private, encrypt, f"`driftflow keys rotate {name} --encrypt` replaces it")
    said = "is there already" if existed else "is made"
    return [f"the {name}'s key {key_id(public)} {said}: {role.private}", *_to_copy(role)]


def rotate_key(config: Config, name: RoleName, encrypt: bool = False, prepare: bool = False) -> list[str]:
    """Give a role a new key in the place of one that is there, or is lost. The public half comes first, the private
    one last: what the new key signs is trusted from its first message on. The former public halves stay trusted.

    Args:
        config: the stream.
        name: of the role.
        encrypt: insist on a passphrase; where the settings give one, the key is encrypted anyhow.
        prepare: put the public half where it belongs only; the next call completes it.

    Raises:
        ModelError: the role has had no key; or no passphrase is given.
        DriftflowError: a file cannot be written.
    """
    role = role_of(config, name)
    _check_passphrase(role, encrypt)
    if not present(role.private) and not traces(role):
        raise ModelError(f"there is no key of the {name} to rotate: `driftflow keys new {name}` makes the first")
    files.create_private(role.waiting, role.passphrase())  # unless one was prepared
    public = files.read_private(role.waiting, role.passphrase(), _ROTATE_AGAIN).public_key()
    _check_encrypted(role.waiting, encrypt, _ROTATE_AGAIN)
    if key_id(public) in revoked_keys((role.public, *role.trusted)):
        raise ModelError(f"{role.waiting} is a key that was revoked: {_ROTATE_AGAIN}")
    former = [held for held in _held(role.public) if held != key_id(public)]
    for path in _files_to_change(config, role, former):
        files.put_first(path, public)
    if prepare:
        _note(config, name, key_id(public), "next")
        again = f"then `driftflow keys rotate {name}` completes it"
        return [f"the {name}'s next key is {key_id(public)}, and does not sign yet", *_to_copy(role), again]
    _note(config, name, key_id(public), "rotated")
    _take(role.waiting, role.private)
    return [f"the {name}'s key is now {key_id(public)}: {role.private}", *_kept(former), *_to_copy(role, restart=True)]


def revoke_key(config: Config, name: str, sure: bool = False) -> list[str]:
    """Trust a key no more, nor what it has signed, and not again when an old file is copied back.

    Args:
        config: the stream.
        name: id of the key.
        sure: also where the model in service was signed by it.

    Raises:
        ModelError: there is no such key, a file is damaged, or the model in service was signed by it.
        DriftflowError: a file cannot be written, or the registry is damaged.
    """
    places = {setting: paths for setting, paths in _places(config).items() if _knows(paths, name)}
    if not places:
        return [_revoked_already(config, name)]
    current = [role.name for role in roles_of(config) if next(iter(_held(role.public)), None) == name]
    models, in_service = _signed_models(config, name)
    if in_service in models and not sure:
        raise ModelError(
            f"the model in service, {in_service}, was signed by key {name}: workers and trainers that start from then "
            "on refuse it, and score nothing until another is promoted; rotate the key and have a model trained first, "
            "or revoke it all the same with --yes"
        )
    lists = _put_on_lists(places, name)
    _note(config, " and ".join(current), name, "revoked")
    for path in (path for paths in places.values() for path in paths if present(path)):
        files.remove(path, name)
    which = f"the models {', '.join(models)}" if models else "no model"
    on, settings = " and ".join(map(str, lists)), " or ".join(places)
    return [
        f"key {name} is revoked: {on}",
        f"what it signed is refused from now on (of the registry here: {which})",
        *(f"it was the {role}'s: `driftflow keys rotate {role}` makes another" for role in current),
        f"copy {on} to wherever {settings} is read elsewhere; running processes take it without a "
        "restart, but one that signs with this key goes on with it until it is started again",
    ]


# Parts ----------------------------------------------------------------------------------------------------------------


def _check_passphrase(role: Role, encrypt: bool) -> None:
    given = role.passphrase()
    if encrypt and not given.text:
        raise ModelError(f"there is no passphrase to encrypt {role.private} with: set {given.settings}")


def _check_encrypted(path: Path, encrypt: bool, remedy: str) -> None:
    if encrypt and not files.is_encrypted(path):
        raise ModelError(f"{path} is there already, not encrypted: {remedy}")


def _note(config: Config, role: str, key: str, event: KeyEvent) -> None:
    """Write a change of keys into the audit log, once: before the step after which the command does nothing more.

    Raises:
        DriftflowError: the log is damaged or cannot be written.
    """
    AuditLog(config).append(*of_key(role, key, event))


def _held(path: Path) -> dict[str, Ed25519PublicKey]:
    return files.read_public(path) if present(path) else {}


def _files_to_change(config: Config, role: Role, former: list[str]) -> list[Path]:
    """The role's own public files, and those of other names that trust one of its former keys."""
    others = [path for paths in trusted_paths(config).values() for path in paths if path not in role.homes]
    return [*role.homes, *(path for path in others if not _held(path).keys().isdisjoint(former))]


def _take(waiting: Path, private: Path) -> None:
    """Replace a private key by one that waits beside it."""
    with writing(private):
        blob = waiting.read_bytes()
    write_durably(private, blob, 0o600)
    with writing(waiting):
        waiting.unlink()


def _kept(former: list[str]) -> list[str]:
    if not former:
        return []
    return [f"what {' and '.join(former)} signed stays valid until `driftflow keys revoke KEY` ends that"]


def _to_copy(role: Role, restart: bool = False) -> list[str]:
    """What a person has to do."""
    then = f", then {_RESTART[role.name]}" if restart and _RESTART[role.name] else ""
    copy = f"copy {shlex.quote(str(role.public))} to wherever {role.setting} is read elsewhere{then}"
    if role.name != "operator":
        return [copy]
    public = f"{OPERATOR_KEY.removesuffix('.pem')}.pub"
    return [
        copy,
        f"name {public} in trainer.trusted_keys too to have its requests honoured, in state.trusted_keys to have its "
        "notices believed",
    ]


def _places(config: Config) -> dict[str, tuple[Path, ...]]:
    """By setting, the files in which a key of that setting may be, those beside private keys included."""
    places = trusted_paths(config)
    for role in roles_of(config):
        places[role.setting] = tuple(dict.fromkeys((*places[role.setting], role.public)))
    return places


def _knows(paths: tuple[Path, ...], name: str) -> bool:
    return any(name in _held(path) for path in paths)


def _revoked_already(config: Config, name: str) -> str:
    """What to say of a key that is in no file; raises ModelError where it never was."""
    everywhere = tuple(path for paths in _places(config).values() for path in paths)
    if name in revoked_keys(everywhere):
        return f"key {name} is revoked already"
    known = sorted({held for path in everywhere for held in _held(path)})
    raise ModelError(f"no key {name} is known here (known: {', '.join(known) or 'none'}): see `driftflow keys list`")


def _put_on_lists(places: dict[str, tuple[Path, ...]], name: str) -> list[Path]:
    """Put a key on the list of every folder that there is; the lists."""
    folders = dict.fromkeys(path.parent for paths in places.values() for path in paths if present(path.parent))
    for folder in folders:
        files.add_revoked(folder, name)
    return [folder / files.REVOKED for folder in folders]


def _signed_models(config: Config, name: str) -> tuple[list[str], str]:
    """Promoted models that a key signed, oldest first; and the model in service. None where there is no registry."""
    promoted = role_of(config, "trainer").promoted
    if promoted is None or not present(promoted):
        return [], ""
    registry = Registry(config)
    ids = list(dict.fromkeys(entry.model_id for entry in registry.promotions()))
    return [model for model in ids if _signer(registry, model) == name], registry.in_service()


def _signer(registry: Registry, model_id: str) -> str:
    """Id of the key that signed a model; "" where its file is damaged or missing, as `driftflow models list` says."""
    try:
        return registry.read(model_id).key_id
    except ModelError:
        return ""
