"""The public keys that models and messages are verified by."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from flowlib.artifact import Ed25519PublicKey
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.models.keys import files
from stream_app.models.keys.files import present
from stream_app.models.keys.roles import trusted_paths

log = logging.getLogger(__name__)


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
    return {name for folder in _folders(paths) for name in files.read_revoked(folder)}


def _folders(paths: tuple[Path, ...]) -> list[Path]:
    return list(dict.fromkeys(path.parent for path in paths))


class Trust:
    """The public keys in some files, less those that are revoked, by key id; read again when a file has changed, so
    that no restart is needed."""

    def __init__(self, setting: str, paths: tuple[Path, ...]) -> None:
        self._setting, self._paths = setting, paths
        self._files = (*paths, *(folder / files.REVOKED for folder in _folders(paths)))
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

    @classmethod
    def of_actions(cls, config: Config) -> Trust:
        """Whose actions count (``alerts.trusted_keys``)."""
        return cls("alerts.trusted_keys", trusted_paths(config)["alerts.trusted_keys"])

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

    def steady_keys(self, say: Callable[[str], object]) -> dict[str, Ed25519PublicKey]:
        """:meth:`keys`; as they were before, while a file is damaged, which is said."""
        try:
            return self.keys()
        except ModelError as error:
            say(f"{error}. The keys that were trusted before stay so.")
            return self._keys

    def _read(self) -> dict[str, Ed25519PublicKey]:
        revoked = revoked_keys(self._paths)
        held = [files.read_public(path) for path in self._paths if present(path)]
        return {name: key for keys in held for name, key in keys.items() if name not in revoked}


def _seen(path: Path) -> tuple[int, ...]:
    """What tells one state of a file, and of the rights on its folder, from another; () where there is none."""
    if not present(path):
        return ()
    try:
        found, rights = path.stat(), path.parent.stat().st_mode
    except FileNotFoundError:  # gone since
        return ()
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, rights)
