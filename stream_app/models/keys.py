"""The keys that models and messages are signed with and verified by, and when one may be made."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path

from flowlib.artifact import Ed25519PrivateKey, Ed25519PublicKey, key_id
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models import key_files
from stream_app.models.key_files import present
from stream_app.models.key_roles import Role, role_of, trusted_paths

log = logging.getLogger(__name__)


# Private keys ---------------------------------------------------------------------------------------------------------


def signing_key(config: Config) -> Ed25519PrivateKey:
    """The trainer's key, made on first use. Its public half (``.pub``) is put beside it, and wherever
    ``state.trusted_keys`` looks for a file of that name: the agents then need not see the folder of the private one.

    Raises:
        ModelError: the key is lost, revoked, damaged or encrypted, others may write it, or it is not that of its
            public half.
        DriftflowError: a key cannot be written.
    """
    return private_key(role_of(config, "trainer"))


def request_key(config: Config) -> Ed25519PrivateKey:
    """The workers' key, which signs retrain requests; made on first use, its public half where
    ``trainer.trusted_keys`` looks for it. Raises what :func:`signing_key` raises.
    """
    return private_key(role_of(config, "worker"))


def private_key(role: Role) -> Ed25519PrivateKey:
    """The key of a role; raises what :func:`signing_key` raises."""
    known = traces(role)  # before the look for the private key: another process may make both just now
    if not present(role.private):
        if known:
            raise ModelError(_lost(role, known))
        key_files.create_private(role.private, role.passphrase())
    rotate = f"`driftflow keys rotate {role.name}` makes another; what it signs must then be trusted"
    key = key_files.read_private(role.private, role.passphrase(), f"restore it from a backup, or {rotate}")
    if key_files.read_by_others(role.private):
        log.warning("%s can be read by others: chmod 600 %s", role.private, shlex.quote(str(role.private)))
    _put_where_it_belongs(role, key.public_key())
    return key


def traces(role: Role) -> list[str]:
    """What shows that a role has had a key, in words."""
    others = {"operator.pub", "worker.pub"} - {role.public.name}
    places = [role.public, *(role.trusted if role.promoted else role.homes)]  # workers may have a key each
    known = [path for path in dict.fromkeys(places) if path.name not in others and present(path)]
    words = [f"{path} is there" for path in known]
    if role.promoted and present(role.promoted):
        words.append(f"{role.promoted} names models that it has signed")
    return words


def _lost(role: Role, known: list[str]) -> str:
    return (
        f"the {role.name}'s private key {role.private} is missing, but {' and '.join(known)}: restore it from a "
        f"backup, or make another with `driftflow keys rotate {role.name}`, whose public half must then be copied to "
        f"wherever {role.setting or 'it'} is read elsewhere; what the lost one signed stays valid"
    )


def _put_where_it_belongs(role: Role, public: Ed25519PublicKey) -> None:
    """Put the public half where it is looked for; raises ModelError where another stands there, or it is revoked."""
    name = key_id(public)
    if name in revoked_keys((role.public, *role.trusted)):
        raise ModelError(
            f"the {role.name}'s key {name} ({role.private}) is revoked: "
            f"`driftflow keys rotate {role.name}` makes another"
        )
    for path in role.homes:
        if not present(path):
            key_files.put_first(path, public)
        elif name not in (held := key_files.read_public(path)):
            raise ModelError(
                f"{path} does not hold the public half of {role.private}, which is {name}, but "
                f"{', '.join(held) or 'none'}: restore the one of them that was changed, or make a new pair with "
                f"`driftflow keys rotate {role.name}`"
            )


# Public keys ----------------------------------------------------------------------------------------------------------


def trusted_keys(config: Config) -> dict[str, Ed25519PublicKey]:
    """The public keys whose models are accepted, by key id.

    Raises:
        ModelError: a key file is missing, or what :meth:`Trust.keys` raises.
    """
    for path in trusted_paths(config)["state.trusted_keys"]:
        if not present(path):
            raise ModelError(
                f"state.trusted_keys: {path} does not exist; `driftflow trainer` writes one beside its signing key"
            )
    return Trust.of_models(config).keys()


def revoked_keys(paths: tuple[Path, ...]) -> set[str]:
    """Ids of the keys that are revoked in the folder of any of these files; raises ModelError where a list is
    damaged."""
    return {name for folder in _folders(paths) for name in key_files.read_revoked(folder)}


def _folders(paths: tuple[Path, ...]) -> list[Path]:
    return list(dict.fromkeys(path.parent for path in paths))


class Trust:
    """The public keys in some files, less those that are revoked, by key id; read again when a file has changed, so
    that no restart is needed."""

    def __init__(self, setting: str, paths: tuple[Path, ...]) -> None:
        self._setting, self._paths = setting, paths
        self._files = (*paths, *(folder / key_files.REVOKED for folder in _folders(paths)))
        self._seen: list[tuple[int, ...]] | None = None
        self._keys: dict[str, Ed25519PublicKey] = {}

    @classmethod
    def of_models(cls, config: Config) -> Trust:
        """Whose models and notices are accepted (``state.trusted_keys``)."""
        return cls("state.trusted_keys", trusted_paths(config)["state.trusted_keys"])

    @classmethod
    def of_requests(cls, config: Config) -> Trust:
        """Whose retrain requests are honoured (``trainer.trusted_keys``)."""
        return cls("trainer.trusted_keys", trusted_paths(config)["trainer.trusted_keys"])

    def keys(self) -> dict[str, Ed25519PublicKey]:
        """The keys as the files are now. A file that is missing holds none.

        Raises:
            ModelError: a file is damaged, or others may write it.
        """
        seen = [_seen(path) for path in self._files]
        if seen != self._seen:
            keys = self._read()
            if self._seen is not None and keys.keys() != self._keys.keys():
                log.info("%s has changed, trusted are now: %s", self._setting, ", ".join(keys) or "none")
            self._keys, self._seen = keys, seen
        return self._keys

    def _read(self) -> dict[str, Ed25519PublicKey]:
        revoked = revoked_keys(self._paths)
        held = [key_files.read_public(path) for path in self._paths if present(path)]
        return {name: key for keys in held for name, key in keys.items() if name not in revoked}


def _seen(path: Path) -> tuple[int, ...]:
    """What tells one state of a file, and of the rights on its folder, from another; () where there is none."""
    if not present(path):
        return ()
    found = path.stat()
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, path.parent.stat().st_mode)
