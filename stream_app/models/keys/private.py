"""The private keys that models and messages are signed with, and when one may be made."""

from __future__ import annotations

import logging
import shlex

from flowlib.artifact import Ed25519PrivateKey, Ed25519PublicKey, key_id
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.keys import files
from stream_app.models.keys.files import present
from stream_app.models.keys.roles import Role, role_of
from stream_app.models.keys.trust import Trust, revoked_keys

log = logging.getLogger(__name__)


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


def operator_key(config: Config) -> Ed25519PrivateKey:
    """The key of a person, which signs actions; it is not made in passing: workers have to be told to trust it.

    Raises:
        ModelError: there is none yet, those who read actions do not trust it as far as that can be seen from here, or
            what :func:`signing_key` raises.
    """
    role = role_of(config, "operator")
    if not present(role.private) and not traces(role):
        raise ModelError(
            f"there is no operator's key {role.private} to sign with: `driftflow keys new operator` makes it"
        )
    key, trusted = private_key(role), Trust.of_actions(config).keys()
    own = key_id(key.public_key())
    if trusted and own not in trusted:
        raise ModelError(
            f"the operator's key {own} ({role.private}) is in none of {', '.join(map(str, role.trusted))} "
            f"({role.setting}), so that nobody would heed what it signs: add what is in {role.public} to one of them"
        )
    return key


def private_key(role: Role) -> Ed25519PrivateKey:
    """The key of a role; raises what :func:`signing_key` raises."""
    known = traces(role)  # before the look for the private key: another process may make both just now
    if not present(role.private):
        if known:
            raise ModelError(_lost(role, known))
        files.create_private(role.private, role.passphrase())
    rotate = f"`driftflow keys rotate {role.name}` makes another; what it signs must then be trusted"
    key = files.read_private(role.private, role.passphrase(), f"restore it from a backup, or {rotate}")
    if files.read_by_others(role.private):
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
        f"wherever {role.setting} is read elsewhere; what the lost one signed stays valid"
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
            files.put_first(path, public)
        elif name not in (held := files.read_public(path)):
            raise ModelError(
                f"{path} does not hold the public half of {role.private}, which is {name}, but "
                f"{', '.join(held) or 'none'}: restore the one of them that was changed, or make a new pair with "
                f"`driftflow keys rotate {role.name}`"
            )
