"""What a signature of a message covers, and where it stands: in two headers, outside the bytes that a replay compares.

A signed message is signed whole: its value and every header of ours. The keys are somebody else's business
(:mod:`stream_app.models.signing`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from schemas.framing import unframed

SIGNATURE, KEY_ID = "df-signature", "df-key"
"""Headers of the signature (Ed25519, in hex) and of the id of the key."""

_CONTEXT = b"driftflow-message-1"
_COVERED = ("ce_", "content-type")


def digest(value: bytes, headers: Mapping[str, bytes]) -> bytes:
    """SHA-256 of a message: its value, and its headers of CloudEvents, each with its length before it. Headers that
    others add on the way (tracing, say) do not count, nor does the header of a schema registry before the value.

    Args:
        value: of the message, which is JSON.
        headers: by name, without null ones.
    """
    hashed = hashlib.sha256(_CONTEXT)
    for name in sorted(name for name in headers if name.startswith(_COVERED)):
        for part in (name.encode(), headers[name]):
            hashed.update(len(part).to_bytes(8, "little") + part)
    hashed.update(hashlib.sha256(unframed(value)).digest())
    return hashed.digest()


def is_signature(name: str) -> bool:
    """Whether a header belongs to the signature: replays are compared without these."""
    return name in (SIGNATURE, KEY_ID)
