"""``driftflow keys list``: every key that is known here, whose it is, where it is trusted, and what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from flowlib.artifact import Ed25519PrivateKey, key_id
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.keys import files
from stream_app.models.keys.files import present
from stream_app.models.keys.roles import Role, roles_of, trusted_paths
from stream_app.models.keys.trust import revoked_keys

T = TypeVar("T")

_MEANS = {"state.trusted_keys": "models", "trainer.trusted_keys": "requests", "alerts.trusted_keys": "actions"}


class KnownKey(msgspec.Struct):
    """One key.

    Attributes:
        key_id: its id.
        role: whose it is; "" where only a setting or a list names it.
        state: of its role's keys, ``current`` signs, ``next`` is prepared, ``former`` no longer signs; "" for others.
        revoked: it is on a list of revoked keys.
        trusted_for: what is believed that it has signed: ``models`` (and notices), ``requests``, ``actions``.
        private: whether its private half is here and can be used.
        files: where it is, the private one first.
    """

    key_id: str
    role: str = ""
    state: str = ""
    revoked: bool = False
    trusted_for: list[str] = msgspec.field(default_factory=list)
    private: bool = False
    files: list[str] = msgspec.field(default_factory=list)

    def __str__(self) -> str:
        state = "revoked" if self.revoked else self.state
        believed = f"trusted for {' and '.join(self.trusted_for)}" if self.trusted_for else "not trusted here"
        half = ["no private key here"] if self.state in ("current", "next") and not self.private else []
        rest = "; ".join([believed, *half, *([", ".join(self.files)] if self.files else [])])
        return "  ".join([self.key_id, f"{self.role or '-':8}", f"{state or '-':7}", rest])


class KeyList(msgspec.Struct):
    """All keys, and what is wrong with any of their files, in words."""

    keys: list[KnownKey]
    problems: list[str]


def list_keys(config: Config) -> KeyList:
    """Look at every key file of a stream. Nothing is made, and what is wrong is told, not raised."""
    look = _Look()
    for role in roles_of(config):
        look.at_role(role)
    for setting, paths in trusted_paths(config).items():
        look.at_setting(setting, paths)
    for role in roles_of(config):
        look.at_current(role)
    return KeyList(list(look.keys.values()), look.problems)


def lines_of(listed: KeyList) -> list[str]:
    """The same for a person to read."""
    none = ["No keys yet: trainer and workers make theirs at their first start, or `driftflow keys new ROLE` does."]
    return [*(map(str, listed.keys) if listed.keys else none), *(f"problem: {each}" for each in listed.problems)]


class _Look:
    """Collects what the files say; one that cannot be used is a problem, and the others are looked at all the same."""

    def __init__(self) -> None:
        self.keys: dict[str, KnownKey] = {}
        self.problems: list[str] = []
        self._unusable: set[Path] = set()
        """Public files that are a problem themselves: whether they hold a key is not known."""

    def at_role(self, role: Role) -> None:
        held = self._held(role.public)
        private, waiting = self._private(role, role.private), self._private(role, role.waiting)
        current = private or next((name for name in held if name != waiting), "")
        for name in (*held, private, waiting):
            if name:
                state = "current" if name == current else "next" if name == waiting else "former"
                self._key(name).role, self._key(name).state = role.name, state
        if private and held and private not in held:
            self.problems.append(f"{role.public} does not hold the public half of {role.private}, which is {private}")
        if waiting:
            self.problems.append(f"{role.waiting} is prepared: `driftflow keys rotate {role.name}` completes it")

    def at_setting(self, setting: str, paths: tuple[Path, ...]) -> None:
        revoked = self._tried(lambda: revoked_keys(paths), set[str]())
        for name in revoked:
            self._key(name).revoked = True
        for name in dict.fromkeys(name for path in paths for name in self._held(path)):
            if name not in revoked:
                self._key(name).trusted_for.append(_MEANS[setting])

    def at_current(self, role: Role) -> None:
        for key in (key for key in self.keys.values() if key.state == "current" and key.role == role.name):
            if key.revoked:
                self.problems.append(
                    f"the {role.name}'s key {key.key_id} is revoked: `driftflow keys rotate {role.name}`"
                )
            elif self._unusable.isdisjoint(role.trusted) and _is_untrusted(role, key):
                self.problems.append(
                    f"the {role.name}'s key {key.key_id} is in no file of {role.setting}: add it there"
                )

    def _key(self, name: str) -> KnownKey:
        return self.keys.setdefault(name, KnownKey(name))

    def _tried(self, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except ModelError as error:
            self.problems += [] if str(error) in self.problems else [str(error)]
            return otherwise

    def _held(self, path: Path) -> list[str]:
        """Ids of the keys in a public file, which are noted as being there."""
        held = self._tried(lambda: list(files.read_public(path)) if present(path) else [], None)
        if held is None:
            self._unusable.add(path)
            return []
        for key in map(self._key, held):
            key.files += [] if str(path) in key.files else [str(path)]
        return held

    def _private(self, role: Role, path: Path) -> str:
        """Id of a private key of a role; "" where it is not here, or cannot be used."""
        if not present(path):
            return ""
        if files.read_by_others(path):
            self.problems.append(f"{path} can be read by others: chmod 600 it")
        name = self._tried(lambda: key_id(_read(role, path).public_key()), "")
        if name:
            self._key(name).files.insert(0, str(path))
            self._key(name).private = True
        return name


def _is_untrusted(role: Role, key: KnownKey) -> bool:
    return _MEANS[role.setting] not in key.trusted_for


def _read(role: Role, path: Path) -> Ed25519PrivateKey:
    return files.read_private(path, role.passphrase(), f"`driftflow keys rotate {role.name}` replaces it")
