"""The keys that models are signed with and verified by."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cryptography.exceptions import UnsupportedAlgorithm

from flowlib import artifact
from flowlib.artifact import Ed25519PrivateKey, Ed25519PublicKey
from flowlib.errors import FlowlibError
from stream_app.config import Config
from stream_app.disk import write_durably, writing
from stream_app.errors import ModelError

Key = TypeVar("Key")


def trusted_keys(config: Config) -> dict[str, Ed25519PublicKey]:
    """The public keys whose models are accepted, by key id.

    Raises:
        ModelError: a key file is missing, cannot be read, or is no Ed25519 public key.
    """
    keys = {}
    for name in config.state.trusted_keys:
        path = config.path(name)
        if not path.exists():
            raise ModelError(
                f"state.trusted_keys: {path} does not exist; `driftflow trainer` writes one beside its signing key"
            )
        public = _read_key(artifact.load_public_key, path, "copy it here again from beside the trainer's signing key")
        keys[artifact.key_id(public)] = public
    return keys


def signing_key(config: Config) -> Ed25519PrivateKey:
    """The trainer's key, made on first use. Its public half (``.pub``) is put beside it, and wherever
    ``state.trusted_keys`` looks for a file of that name: the agents then need not see the folder of the private one.

    Raises:
        ModelError: the file cannot be read, or is no Ed25519 private key.
        DriftflowError: a key cannot be written.
    """
    return _role_key(config, config.trainer.signing_key, config.state.trusted_keys)


def request_key(config: Config) -> Ed25519PrivateKey:
    """The workers' key, which signs retrain requests; made on first use, its public half where
    ``trainer.trusted_keys`` looks for it.

    Raises:
        ModelError: the file cannot be read, or is no Ed25519 private key.
        DriftflowError: a key cannot be written.
    """
    return _role_key(config, config.worker.signing_key, config.trainer.trusted_keys)


class Trust:
    """The public keys in some files, by key id; read again when a file has changed, so that no restart is needed."""

    def __init__(self, config: Config, names: list[str]) -> None:
        self._paths = [config.path(name) for name in names]
        self._seen: list[tuple[int, ...]] = []
        self._keys: dict[str, Ed25519PublicKey] = {}

    @classmethod
    def of_models(cls, config: Config) -> Trust:
        """Whose models and notices are accepted (``state.trusted_keys``)."""
        return cls(config, config.state.trusted_keys)

    @classmethod
    def of_requests(cls, config: Config) -> Trust:
        """Whose retrain requests are honoured (``trainer.trusted_keys``)."""
        return cls(config, config.trainer.trusted_keys)

    def keys(self) -> dict[str, Ed25519PublicKey]:
        """The keys as the files are now. A file that is missing holds none.

        Raises:
            ModelError: a file is damaged, or others may write it.
        """
        seen = [_seen(path) for path in self._paths]
        if seen != self._seen:
            keys = (_read_public(path) for path, there in zip(self._paths, seen, strict=True) if there)
            self._keys = {artifact.key_id(key): key for key in keys}
            self._seen = seen
        return self._keys


def _seen(path: Path) -> tuple[int, ...]:
    """What tells one state of a file from another; () where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ModelError(f"{path} cannot be looked at, {error.strerror}: see to its folder and their rights") from error
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def _read_public(path: Path) -> Ed25519PublicKey:
    if path.stat().st_mode & 0o022:
        raise ModelError(f"{path} can be written by others, so that anybody's key may be in it: chmod go-w {path}")
    return _read_key(artifact.load_public_key, path, "copy it here again from beside its signing key")


def _role_key(config: Config, signing_key: str, trusted: list[str]) -> Ed25519PrivateKey:
    path = config.path(signing_key)
    if not path.exists():
        _create_key(path)
    remedy = (
        "restore it from a backup, or remove it so that the trainer makes another; what it signs must then be trusted"
    )
    key = _read_key(artifact.load_or_create_key, path, remedy)
    beside = path.with_suffix(".pub")
    wanted = [config.path(name) for name in trusted]
    for public in (beside, *(other for other in wanted if other.name == beside.name)):
        if not public.exists():
            with writing(public):
                public.parent.mkdir(parents=True, exist_ok=True)
                write_durably(public, artifact.public_key_pem(key.public_key()))
    return key


def _create_key(path: Path) -> None:
    """Make a private key under another name first: the file has all of a key in it from the start, or is not there."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        try:
            artifact.load_or_create_key(beside)
            os.link(beside, path)
        except FileExistsError:
            pass  # another process was faster: its key counts
        except OSError:
            artifact.load_or_create_key(path)  # a file system without hard links
        finally:
            beside.unlink(missing_ok=True)


def _read_key(read: Callable[[Path], Key], path: Path, remedy: str) -> Key:
    try:
        return read(path)
    except FlowlibError as error:
        raise ModelError(f"{error}: {remedy}") from error
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"{path} cannot be read as a key, {why}: {remedy}") from error
