"""Key files: Ed25519 keys in PEM, and the list of revoked ones. Whoever may write one of these files decides whose
models and requests are believed, so a file that others may write is refused.

A public file holds any number of keys, the current one first; between them only comments (``#``) and blank lines.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from flowlib.artifact import Ed25519PrivateKey, Ed25519PublicKey, key_id
from stream_app.disk import create_durably, write_durably, writing
from stream_app.errors import ModelError

REVOKED = "revoked.txt"
"""Name of the list of revoked keys, in the folder of a public file: one key id a line."""

_BYTES_MAX = 65_536
_PASSPHRASE_MAX = 1_023  # what OpenSSL takes
_BLOCK = re.compile(rb"-----BEGIN PUBLIC KEY-----\n.*?\n-----END PUBLIC KEY-----(?:\n|\Z)", re.DOTALL)
_ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_KEY_ID = re.compile(r"[0-9a-f]{16}")
_PUBLIC_REMEDY = "restore it from a backup, or copy it here again from another place that has it"
_REVOKED_REMEDY = "a line is the id of a key, 16 hexadecimal digits: mend it, or copy it here again"


@dataclass(frozen=True)
class Passphrase:
    """What opens a private key, and the settings that say where it is; the text is never logged nor printed."""

    settings: str
    text: str = ""

    def __post_init__(self) -> None:
        if len(self.encoded) > _PASSPHRASE_MAX:
            raise ModelError(f"the passphrase of {self.settings} is longer than {_PASSPHRASE_MAX:,} bytes: shorten it")

    @property
    def encoded(self) -> bytes:
        """The text as bytes; those of the environment need not be text in UTF-8."""
        return self.text.encode("utf-8", "surrogateescape")

    def __repr__(self) -> str:
        return f"Passphrase(settings={self.settings!r})"


def is_key_id(text: str) -> bool:
    """Whether a text has the form of a key's id."""
    return _KEY_ID.fullmatch(text) is not None


def present(path: Path) -> bool:
    """Whether there is something of this name; raises ModelError where that cannot be told."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ModelError(f"{path} cannot be looked at, {error.strerror}: see to the rights of its folder") from error
    return True


# Private keys ---------------------------------------------------------------------------------------------------------


def read_private(path: Path, passphrase: Passphrase, remedy: str) -> Ed25519PrivateKey:
    """A private key (PKCS8), encrypted or not.

    Raises:
        ModelError: it cannot be read, others may write it, it is none, or the passphrase does not open it.
    """
    blob = _read(path, remedy)
    encrypted = _ENCRYPTED in blob
    if encrypted and not passphrase.text:
        raise ModelError(f"{path} is encrypted, and no passphrase is given: set {passphrase.settings}")
    try:
        key = serialization.load_pem_private_key(blob, passphrase.encoded if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if encrypted:
            raise ModelError(f"{path} is not opened by the passphrase of {passphrase.settings}: correct it") from None
        raise ModelError(f"{path} is not a private key in PEM, {error}: {remedy}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ModelError(f"{path} is not an Ed25519 private key: {remedy}")
    return key


def is_encrypted(path: Path) -> bool:
    """Whether a private key needs a passphrase; raises ModelError where it cannot be read."""
    return _ENCRYPTED in _read(path, "see to its rights")


def read_by_others(path: Path) -> bool:
    """Whether a private key can be read by others than who needs it. Its group may where it is how we read it, as in
    a volume of Kubernetes."""
    found = path.stat()
    return bool(found.st_mode & (stat.S_IROTH | (stat.S_IRGRP if found.st_uid == os.geteuid() else 0)))


def create_private(path: Path, passphrase: Passphrase) -> None:
    """Make a private key with mode 0600, encrypted where there is a passphrase, unless another process just did. The
    file has all of a key in it from the start, or is not there.

    Raises:
        DriftflowError: it cannot be written.
    """
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase.text:
        encryption = serialization.BestAvailableEncryption(passphrase.encoded)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    blob = Ed25519PrivateKey.generate().private_bytes(pem, pkcs8, encryption)
    with writing(path):
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        create_durably(path, blob, 0o600)


# Public keys ----------------------------------------------------------------------------------------------------------


def read_public(path: Path) -> dict[str, Ed25519PublicKey]:
    """The keys of a public file by their ids, in order.

    Raises:
        ModelError: it cannot be read, others may write it, or it holds anything else.
    """
    return {name: key for name, key, _ in _blocks(path, _read_unix(path))}


def put_first(path: Path, public: Ed25519PublicKey) -> None:
    """Make a key the first one of a public file, which is made where there is none; mode 0644.

    Raises:
        ModelError: the file is no public file.
        DriftflowError: it cannot be written.
    """
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    if not present(path):
        with writing(path):
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_durably(path, pem, 0o644)
    elif next(iter(read_public(path)), None) != key_id(public):
        write_durably(path, pem + _without(path, key_id(public)), 0o644)


def remove(path: Path, name: str) -> bool:
    """Take a key out of a public file; whether it was there. Raises what :func:`put_first` raises."""
    if name not in read_public(path):
        return False
    write_durably(path, f"# key {name} is revoked\n".encode() + _without(path, name), 0o644)
    return True


def _without(path: Path, name: str) -> bytes:
    """The bytes of a public file less a key."""
    rest = blob = _read_unix(path)
    for found, _, pem in _blocks(path, blob):
        rest = rest.replace(pem, b"") if found == name else rest
    return rest


def _read_unix(path: Path) -> bytes:
    """The bytes of a public file, which may have been edited elsewhere, with this system's line ends."""
    return _read(path, _PUBLIC_REMEDY).replace(b"\r\n", b"\n")


def _blocks(path: Path, blob: bytes) -> list[tuple[str, Ed25519PublicKey, bytes]]:
    """``(key id, key, its PEM)`` of each key in a public file."""
    blocks = []
    for pem in _BLOCK.findall(blob):
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ModelError(f"{path} holds a public key that cannot be read, {error}: {_PUBLIC_REMEDY}") from None
        if not isinstance(key, Ed25519PublicKey):
            raise ModelError(f"{path} holds a public key that is not Ed25519: {_PUBLIC_REMEDY}")
        blocks.append((key_id(key), key, pem))
    besides = [line for line in _BLOCK.sub(b"", blob).splitlines() if line.strip()]
    if any(not line.startswith(b"#") for line in besides) or not (blocks or besides):
        raise ModelError(f"{path} is not a public key in PEM, or holds something besides: {_PUBLIC_REMEDY}")
    return blocks


# Revoked keys ---------------------------------------------------------------------------------------------------------


def read_revoked(folder: Path) -> set[str]:
    """Ids of the keys that are revoked in a folder; raises ModelError where its list is damaged, or others may
    write it."""
    path = folder / REVOKED
    if not present(path):
        return set()
    lines = _read(path, _REVOKED_REMEDY).decode("utf-8", "replace").splitlines()
    if not lines:  # what was written here once, nobody takes off again: its keys would be believed
        raise ModelError(f"{path} is damaged, it is empty: {_REVOKED_REMEDY}")
    names = {line.partition("#")[0].strip() for line in lines} - {""}
    wrong = [name for name in names if not is_key_id(name)]
    if wrong:
        raise ModelError(f"{path} is damaged, it holds {wrong[0][:40]!r}: {_REVOKED_REMEDY}")
    return names


def add_revoked(folder: Path, name: str) -> None:
    """Put a key on a folder's list of revoked ones, once; mode 0644.

    Raises:
        ModelError: the list is damaged.
        DriftflowError: it cannot be written.
    """
    names = read_revoked(folder)
    if name not in names:
        write_durably(folder / REVOKED, "".join(f"{each}\n" for each in sorted({*names, name})).encode(), 0o644)


# Reading --------------------------------------------------------------------------------------------------------------


def _read(path: Path, remedy: str) -> bytes:
    """The bytes of a file that decides whom to believe; raises ModelError also where others may write it."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            _check_rights(path, os.fstat(file.fileno()).st_mode)
            blob = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise ModelError(f"{path} cannot be read as a key, {error.strerror}: {remedy}") from error
    if len(blob) > _BYTES_MAX:
        raise ModelError(f"{path} is larger than {_BYTES_MAX:,} bytes, no key file is: {remedy}")
    return blob


def _check_rights(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise ModelError(f"{path} is no file: put the key there, or name another place")
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ModelError(
            f"{path} can be written by others than its owner, who could put a key of theirs there: "
            f"look at what is in it, then chmod go-w {shlex.quote(str(path))}"
        )
    for folder in {path.parent, path.resolve().parent}:
        rights = folder.stat().st_mode
        if rights & stat.S_IWOTH and not rights & stat.S_ISVTX:
            raise ModelError(
                f"{folder} can be written by everybody, who could put another file in the place of {path.name}: "
                f"look at what is in it, then chmod o-w {shlex.quote(str(folder))}"
            )
