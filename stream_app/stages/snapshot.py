"""State to bytes and back: plain values and NumPy arrays in MessagePack, compressed (zstd), with a checksum. Nothing is
unpickled.
"""

from __future__ import annotations

import hashlib
from typing import Any

import cramjam
import msgspec
import numpy as np

from stream_app.errors import SnapshotError

_ARRAY = 1
_LEVEL = 1
"""Sums are small whole numbers in eight bytes: what costs least makes a quarter to a ninth of them."""
_FORMAT = b"DFS7"

REMEDY = (
    "restore it from a backup, or remove it to go on from the committed offsets with this partition's windows empty"
)
"""What to do about a snapshot that cannot be used."""


def _enc_hook(value: Any) -> Any:
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        head = msgspec.msgpack.encode((value.dtype.str, list(value.shape)))
        return msgspec.msgpack.Ext(
            _ARRAY, len(head).to_bytes(4, "little") + head + np.ascontiguousarray(value).tobytes()
        )
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a snapshot cannot hold {type(value).__name__}")


def _ext_hook(code: int, body: memoryview) -> Any:
    if code != _ARRAY:
        raise SnapshotError(f"unknown extension {code} in a snapshot")
    size = int.from_bytes(body[:4], "little")
    dtype, shape = msgspec.msgpack.decode(body[4 : 4 + size])
    if np.dtype(dtype).hasobject:
        raise SnapshotError("object arrays are not allowed in a snapshot")
    return np.frombuffer(bytes(body[4 + size :]), dtype=dtype).reshape(shape).copy()


def pack(state: Any) -> bytes:
    """Encode a state tree; the same state gives the same bytes."""
    body = bytes(cramjam.zstd.compress(msgspec.msgpack.Encoder(enc_hook=_enc_hook).encode(state), _LEVEL))
    return _FORMAT + hashlib.sha256(body).digest() + body


def unpack(blob: bytes) -> Any:
    """Decode; raises SnapshotError when the bytes are none, truncated, altered or of another format."""
    head = len(_FORMAT)
    if blob[:3] == _FORMAT[:3] and blob[3:head].isdigit() and blob[:head] != _FORMAT:
        raise SnapshotError(f"it is of another version of driftflow ({blob[:head].decode()}); {REMEDY}")
    if blob[:head] != _FORMAT or hashlib.sha256(blob[head + 32 :]).digest() != blob[head : head + 32]:
        raise SnapshotError(f"it is {'truncated or altered' if blob else 'empty'}; {REMEDY}")
    try:
        body = cramjam.zstd.decompress(memoryview(blob)[head + 32 :])
        return msgspec.msgpack.Decoder(ext_hook=_ext_hook).decode(bytes(body))
    except (ValueError, TypeError, cramjam.DecompressionError) as error:
        raise SnapshotError(f"it makes no sense ({error}); {REMEDY}") from None
