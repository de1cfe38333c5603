"""A model as bytes: safetensors + JSON, hashed and signed with Ed25519; and these bytes as a file.

Nothing is unpickled and no TorchScript archive is loaded: verified numbers go into classes that were reviewed. The
signature is checked before anything else is looked at. Of flowlib only this module reads and writes files that stay;
:mod:`flowlib.engines.onnx` has a temporary folder.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from safetensors.numpy import save as save_tensors

from flowlib.errors import ArtifactError, EngineError

if TYPE_CHECKING:
    from flowlib.density import Density

FORMAT = "driftflow-model-6"
BYTES_MAX = 64 * 1024 * 1024
COLUMNS_MAX = 4_096
_MAGIC = b"DFM1"
_BOUNDS = {
    "d": COLUMNS_MAX,
    "context": 65_536,
    "blocks": 64,
    "hidden": 8_192,
    "layers": 16,
    "bins": 64,
    "components": 1_024,
    "rank": 64,
    "members": 255,
}

__all__ = [
    "Artifact",
    "ArtifactError",
    "Ed25519PrivateKey",
    "Ed25519PublicKey",
    "key_id",
    "load",
    "pack",
    "read",
    "save",
    "verify",
]


@dataclass(frozen=True)
class Artifact:
    """Bytes of a model; not to be believed before :func:`verify`.

    ``save(pack(density, key), path)`` writes a model, ``load(read(path), {key_id(public): public})`` rebuilds it.
    """

    model_id: str
    manifest: bytes
    tensors: bytes
    signature: bytes
    key_id: str


def _digest(manifest: bytes, tensors: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(manifest).digest() + hashlib.sha256(tensors).digest()).digest()


def pack(density: Density, key: Ed25519PrivateKey, bytes_max: int | None = BYTES_MAX) -> Artifact:
    """Encode and sign; the same density gives the same bytes.

    Args:
        density: the model.
        key: signs it.
        bytes_max: what whoever loads it accepts; None for a model of any size, to be loaded with None too.

    Raises:
        ArtifactError: :func:`load` would refuse a model of this size.
    """
    encoder_meta, encoder_arrays = density.encoder.to_state()
    calibration_meta, calibration_arrays = density.calibration.to_state()
    arrays = {f"encoder.{name}": array for name, array in encoder_arrays.items()}
    arrays |= {f"calibration.{name}": array for name, array in calibration_arrays.items()}
    references = [reference.to_state() for reference in density.references]
    for i, (_, reference_arrays) in enumerate(references):
        arrays |= {f"reference{i}.{name}": array for name, array in reference_arrays.items()}
    if density.channels is not None:
        arrays |= {f"channels.{name}": array for name, array in density.channels.to_state().items()}
    arrays |= {f"flow.{name}": array for name, array in density.weights.arrays.items()}
    tensors = save_tensors({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)})
    manifest = {
        "format": FORMAT,
        "flow": density.flow_name,
        "hyperparameters": dict(density.weights.sizes),
        "encoder": encoder_meta,
        "calibration": calibration_meta,
        "references": [meta for meta, _ in references],
        "about": density.manifest,
    }
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    if bytes_max is not None:
        _check_size(density, len(text) + len(tensors), bytes_max)
    digest = _digest(text, tensors)
    return Artifact(digest.hex()[:16], text, tensors, key.sign(digest), key_id(key.public_key()))


def _check_size(density: Density, size: int, bytes_max: int) -> None:
    remedy = "leave out columns, or categorical ones with many levels, or take a smaller flow, such as maf"
    try:
        _check_hyperparameters(dict(density.weights.sizes))
    except ValueError as error:
        raise ArtifactError(f"the model is too large to be loaded again: {error}; {remedy}") from None
    if size > bytes_max:
        raise ArtifactError(f"the model has {size:,} bytes, and no more than {bytes_max:,} are accepted: {remedy}")


def verify(artifact: Artifact, trusted: Mapping[str, Ed25519PublicKey], bytes_max: int | None = BYTES_MAX) -> None:
    """Check size (None for any), key, signature and id; raises ArtifactError."""
    if bytes_max is not None and len(artifact.manifest) + len(artifact.tensors) > bytes_max:
        raise ArtifactError(f"the model is larger than {bytes_max:,} bytes")
    if not artifact.signature:
        raise ArtifactError("the model is not signed: publish it through the trainer")
    public = trusted.get(artifact.key_id)
    if public is None:
        ids = ", ".join(sorted(trusted)) or "none"
        raise ArtifactError(
            f"the model is signed by key {artifact.key_id or '(none)'}, which is not trusted here (trusted: {ids}); "
            "add its public key to state.trusted_keys if it is yours"
        )
    digest = _digest(artifact.manifest, artifact.tensors)
    try:
        public.verify(artifact.signature, digest)
    except InvalidSignature:
        raise ArtifactError(
            "the model's bytes do not match their signature: truncated or altered; fetch it again"
        ) from None
    if artifact.model_id != digest.hex()[:16]:
        raise ArtifactError(f"the model calls itself {artifact.model_id}, but its bytes are {digest.hex()[:16]}")


def load(artifact: Artifact, trusted: Mapping[str, Ed25519PublicKey], bytes_max: int | None = BYTES_MAX) -> Density:
    """Verify, then rebuild and make ready for scoring; raises ArtifactError.

    Args:
        artifact: bytes of a model.
        trusted: keys by their id.
        bytes_max: larger models are refused, and hyperparameters out of bounds; None only for bytes of one's own.
    """
    verify(artifact, trusted, bytes_max)
    from flowlib.rebuilding import rebuild  # takes a while: who looks at keys and signatures has no use for it

    try:
        return rebuild(_opened(artifact, bounded=bytes_max is not None), artifact.tensors, artifact.model_id)
    except (KeyError, TypeError, ValueError, RuntimeError, EngineError) as error:
        raise ArtifactError(f"the model is signed but cannot be rebuilt by this version: {error}") from error


def _opened(artifact: Artifact, bounded: bool) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(artifact.manifest)
    if manifest["format"] != FORMAT:
        raise ValueError(f"format {manifest['format']!r}, this version reads {FORMAT!r}; train a model anew with it")
    if bounded:
        _check_hyperparameters(manifest["hyperparameters"])
    return manifest


def _check_hyperparameters(sizes: dict[str, Any]) -> None:
    for name, value in sizes.items():
        if name not in _BOUNDS:
            raise ValueError(f"hyperparameter {name} is not known here")
        if not isinstance(value, int) or not 0 <= value <= _BOUNDS[name]:
            raise ValueError(f"hyperparameter {name} is {value!r}, expected 0 to {_BOUNDS[name]}")


def key_id(public: Ed25519PublicKey) -> str:
    """Short name of a key: the first 16 hex digits of the SHA-256 of its raw bytes."""
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


# Files ----------------------------------------------------------------------------------------------------------------


def save(artifact: Artifact, path: str | Path) -> None:
    """Write a model to one file. When this returns it is on disk; a crash leaves the old file or the new one."""
    head = {
        "model_id": artifact.model_id,
        "key_id": artifact.key_id,
        "manifest": len(artifact.manifest),
        "tensors": len(artifact.tensors),
        "signature": base64.b64encode(artifact.signature).decode(),
    }
    text = json.dumps(head, sort_keys=True).encode()
    path = Path(path)
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        with open(beside, "wb") as file:
            _write_synced(file, _MAGIC + len(text).to_bytes(4, "little") + text + artifact.manifest + artifact.tensors)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_folder(path)


def _write_synced(file: BinaryIO, blob: bytes) -> None:
    file.write(blob)
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """A new name is on disk once its folder is."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: str | Path) -> Artifact:
    """Read a file of :func:`save`, unverified; raises ArtifactError when it is not one or is truncated."""
    blob = Path(path).read_bytes()
    try:
        size = int.from_bytes(blob[4:8], "little")
        head = json.loads(blob[8 : 8 + size])
        manifest = blob[8 + size : 8 + size + head["manifest"]]
        tensors = blob[8 + size + head["manifest"] :]
        if blob[:4] != _MAGIC or len(tensors) != head["tensors"]:
            raise ValueError("wrong length")
        model_id, key_id = head["model_id"], head["key_id"]
        if not (isinstance(model_id, str) and isinstance(key_id, str)):
            raise TypeError("an id is no text")
        return Artifact(model_id, manifest, tensors, base64.b64decode(head["signature"]), key_id)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{path} is not a model file, or is truncated: {error}") from None
