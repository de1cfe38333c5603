"""Key files: what is in them, who may write them, and what a damaged one is called."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from flowlib.artifact import Ed25519PrivateKey, Ed25519PublicKey, key_id
from stream_app.errors import DriftflowError, ModelError
from stream_app.models.keys import files as key_files
from stream_app.models.keys.files import Passphrase

NONE, SECRET = Passphrase("trainer.passphrase_env"), Passphrase("trainer.passphrase_env", "open sesame")
KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
PEM, PKCS8, PLAIN = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
INFO = serialization.PublicFormat.SubjectPublicKeyInfo


def pem(key: Ed25519PrivateKey | X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(PEM, INFO)


def name_of(key: Ed25519PrivateKey) -> str:
    return key_id(key.public_key())


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def private(path: Path, passphrase: Passphrase = NONE) -> Ed25519PrivateKey:
    return key_files.read_private(path, passphrase, "restore it")


@pytest.fixture(params=[0, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A file with two keys and what a person added."""
    path = tmp_path / "signing.pub"
    path.write_bytes(b"# ours\n" + pem(KEY) + b"\n# the former one\n" + pem(OTHER))
    path.chmod(0o644)
    return path


def test_our_files_have_their_rights_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "keys"
    key_files.create_private(folder / "signing.pem", NONE)
    key_files.put_first(folder / "signing.pub", KEY.public_key())
    key_files.add_revoked(folder, "0" * 16)
    found = {path.name: rights(path) for path in folder.iterdir()}
    assert found == {"signing.pem": 0o600, "signing.pub": 0o644, key_files.REVOKED: 0o644}
    assert not rights(folder) & 0o022
    assert private(folder / "signing.pem")
    assert list(key_files.read_public(folder / "signing.pub")) == [name_of(KEY)]


def test_a_key_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    key_files.create_private(path, NONE)
    before = path.read_bytes()
    key_files.create_private(path, NONE)
    assert path.read_bytes() == before


def test_an_encrypted_key_needs_its_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    key_files.create_private(path, SECRET)
    assert key_files.is_encrypted(path)
    assert private(path, SECRET)
    with pytest.raises(ModelError, match=r"is encrypted, and no passphrase is given: set trainer\.passphrase_env"):
        private(path)
    with pytest.raises(ModelError, match=r"is not opened by the passphrase of trainer\.passphrase_env") as wrong:
        private(path, Passphrase("trainer.passphrase_env", "open barley"))
    assert "barley" not in repr(wrong.value)
    assert "sesame" not in repr(SECRET)


@pytest.mark.parametrize("text", ["x", "ключ", "\udcff\udc80", "a\x00b", "y" * 1_023], ids=ascii)
def test_whatever_the_passphrase_it_opens_what_it_closed(tmp_path: Path, text: str) -> None:
    given = Passphrase("trainer.passphrase_env", text)
    key_files.create_private(tmp_path / "signing.pem", given)
    assert private(tmp_path / "signing.pem", given)


def test_a_passphrase_that_is_too_long_is_a_sentence() -> None:
    with pytest.raises(ModelError, match=r"of trainer\.passphrase_env is longer than 1,023 bytes: shorten it"):
        Passphrase("trainer.passphrase_env", "y" * 1_024)


def test_a_plain_key_is_read_with_a_passphrase_too(tmp_path: Path) -> None:
    key_files.create_private(tmp_path / "signing.pem", NONE)
    assert private(tmp_path / "signing.pem", SECRET)
    assert not key_files.is_encrypted(tmp_path / "signing.pem")


@pytest.mark.parametrize(
    ("blob", "says"),
    [
        (b"", "not a private key in PEM"),
        (random.Random(1).randbytes(80), "not a private key in PEM"),
        (KEY.private_bytes(PEM, PKCS8, PLAIN)[:60], "not a private key in PEM"),
        (pem(KEY), "not a private key in PEM"),
        (X25519PrivateKey.generate().private_bytes(PEM, PKCS8, PLAIN), "not an Ed25519 private key"),
        (b"#" * 70_000, "larger than 65,536 bytes"),
    ],
    ids=["empty", "garbage", "truncated", "public", "another kind", "huge"],
)
def test_a_file_that_is_no_private_key_is_a_sentence(tmp_path: Path, blob: bytes, says: str) -> None:
    path = tmp_path / "signing.pem"
    path.write_bytes(blob)
    with pytest.raises(ModelError, match=rf"signing\.pem is {says}.*: restore it"):
        private(path)


def test_a_public_file_holds_several_keys_in_order(public: Path) -> None:
    assert list(key_files.read_public(public)) == [name_of(KEY), name_of(OTHER)]
    public.write_bytes(public.read_bytes().replace(b"\n", b"\r\n"))
    assert list(key_files.read_public(public)) == [name_of(KEY), name_of(OTHER)]


def test_a_key_is_put_first_and_taken_out_and_comments_stay(public: Path) -> None:
    before = public.read_bytes()
    key_files.put_first(public, KEY.public_key())
    assert public.read_bytes() == before, "it is the first already"
    key_files.put_first(public, OTHER.public_key())
    assert list(key_files.read_public(public)) == [name_of(OTHER), name_of(KEY)]
    assert key_files.remove(public, name_of(OTHER))
    assert not key_files.remove(public, name_of(OTHER))
    assert list(key_files.read_public(public)) == [name_of(KEY)]
    assert b"# ours" in public.read_bytes()
    assert key_files.remove(public, name_of(KEY))
    assert key_files.read_public(public) == {}, "a file whose keys are all revoked is whole, and holds none"
    key_files.put_first(public, KEY.public_key())
    assert list(key_files.read_public(public)) == [name_of(KEY)]


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\n\n",
        random.Random(1).randbytes(80),
        pem(KEY)[:-10],
        pem(KEY) + pem(OTHER)[:40],
        pem(KEY) + KEY.private_bytes(PEM, PKCS8, PLAIN),
        pem(KEY) + b"note to myself\n",
        pem(KEY).replace(b"MCow", b"!!!!"),
        pem(KEY).replace(b"MCow", b"MCox"),
        pem(X25519PrivateKey.generate()),
        b"#" * 70_000,
    ],
    ids=["empty", "blank", "garbage", "cut", "second cut", "private", "text", "no base64", "flipped", "kind", "huge"],
)
def test_a_file_that_is_no_public_one_is_a_sentence(tmp_path: Path, blob: bytes) -> None:
    path = tmp_path / "signing.pub"
    path.write_bytes(blob)
    with pytest.raises(ModelError, match=r"signing\.pub (is not a public key|holds a public key that|is larger)"):
        key_files.read_public(path)


def test_every_truncation_of_a_file_of_two_keys_is_one_key_or_a_sentence(public: Path) -> None:
    blob = public.read_bytes()
    for size in range(len(blob)):
        public.write_bytes(blob[:size])
        try:
            held = key_files.read_public(public)
        except ModelError:
            continue
        assert list(held) in ([], [name_of(KEY)], [name_of(KEY), name_of(OTHER)])
        assert held or blob[:size].startswith(b"#")


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o622])
def test_a_file_that_others_can_write_is_refused(tmp_path: Path, public: Path, mode: int) -> None:
    path = tmp_path / "signing.pem"
    key_files.create_private(path, NONE)
    key_files.add_revoked(tmp_path, "0" * 16)
    for file in (path, public, tmp_path / key_files.REVOKED):
        file.chmod(mode)
    for read in (
        lambda: private(path),
        lambda: key_files.read_public(public),
        lambda: key_files.read_revoked(tmp_path),
    ):
        with pytest.raises(ModelError, match=r"can be written by others than its owner.*: look .* then chmod go-w /"):
            read()


def test_a_folder_that_everybody_can_write_is_refused_unless_it_is_sticky(public: Path) -> None:
    public.parent.chmod(0o777)
    with pytest.raises(ModelError, match=r"can be written by everybody.* in the place of signing\.pub: .*chmod o-w /"):
        key_files.read_public(public)
    public.parent.chmod(0o1777)
    assert len(key_files.read_public(public)) == 2


def test_the_folder_behind_a_link_counts_too(tmp_path: Path, public: Path) -> None:
    link = tmp_path / "keys" / "signing.pub"
    link.parent.mkdir()
    link.symlink_to(public)
    assert len(key_files.read_public(link)) == 2
    public.parent.chmod(0o777)
    with pytest.raises(ModelError, match="can be written by everybody"):
        key_files.read_public(link)


def test_who_can_read_a_private_key(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    key_files.create_private(path, NONE)
    seen = {}
    for mode in (0o600, 0o400, 0o640, 0o604):
        path.chmod(mode)
        seen[mode] = key_files.read_by_others(path)
    assert seen == {0o600: False, 0o400: False, 0o640: True, 0o604: True}


def test_what_is_no_file_is_a_sentence_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pub")
    (tmp_path / "folder.pub").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelError, match=r"pipe\.pub is no file"):
        key_files.read_public(tmp_path / "pipe.pub")
    with pytest.raises(ModelError, match=r"folder\.pub cannot be read as a key, Is a directory"):
        key_files.read_public(tmp_path / "folder.pub")
    assert not key_files.present(tmp_path / "file" / "signing.pub")
    with pytest.raises(ModelError, match="cannot be looked at, File name too long"):
        key_files.present(tmp_path / ("x" * 300))
    with pytest.raises(DriftflowError, match=r"signing\.pem cannot be written"):
        key_files.create_private(tmp_path / "file" / "signing.pem", NONE)


def test_the_list_of_revoked_keys(tmp_path: Path) -> None:
    assert key_files.read_revoked(tmp_path) == set()
    for name in ("b" * 16, "a" * 16, "b" * 16):
        key_files.add_revoked(tmp_path, name)
    path = tmp_path / key_files.REVOKED
    assert path.read_text() == f"{'a' * 16}\n{'b' * 16}\n"
    path.write_text(f"# lost in May\n{'a' * 16}  # and this one\n\n{'c' * 16}")
    assert key_files.read_revoked(tmp_path) == {"a" * 16, "c" * 16}
    for damaged in ("a" * 15, "A" * 16, "\x00", "\udcff"):
        path.write_bytes(damaged.encode("utf-8", "surrogateescape"))
        with pytest.raises(ModelError, match=r"revoked\.txt is damaged, it holds"):
            key_files.read_revoked(tmp_path)


def test_reading_gives_public_keys(public: Path) -> None:
    assert all(isinstance(key, Ed25519PublicKey) for key in key_files.read_public(public).values())
