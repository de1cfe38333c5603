"""Signs messages, and checks who has signed one: notices and requests are believed with a signature only."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature

from flowlib import artifact
from flowlib.artifact import Ed25519PrivateKey, Ed25519PublicKey
from schemas.codecs import WireMessage
from schemas.intake import RawHeaders, Refusal, header_map
from schemas.signing import KEY_ID, SIGNATURE, digest

_HEX_MAX = 128


def sign(message: WireMessage, key: Ed25519PrivateKey) -> WireMessage:
    """The message with its signature in two more headers; the same message and key give the same bytes."""
    signature = key.sign(digest(message.value, header_map(message.headers)))
    key_id = artifact.key_id(key.public_key())
    return WireMessage(
        message.value, (*message.headers, (KEY_ID, key_id.encode()), (SIGNATURE, signature.hex().encode()))
    )


def signature_fault(value: bytes, headers: RawHeaders, trusted: Mapping[str, Ed25519PublicKey]) -> Refusal | None:
    """Why a message is not believed; None where a trusted key has signed it whole.

    Args:
        value, headers: of the message.
        trusted: public keys by their id.
    """
    named = header_map(headers)
    key_id, signature = named.get(KEY_ID, b"").decode("ascii", "replace"), named.get(SIGNATURE, b"")
    if not signature:
        return Refusal("unsigned", SIGNATURE, "it is not signed")
    public = trusted.get(key_id)
    if public is None:
        known = ", ".join(sorted(trusted)) or "none"
        detail = f"it is signed by key {key_id[:_HEX_MAX]!r}, which is not trusted here (trusted: {known})"
        return Refusal("untrusted_key", KEY_ID, f"{detail}; if it is one of ours, copy its .pub here")
    try:
        public.verify(bytes.fromhex(signature[: 2 * _HEX_MAX].decode("ascii")), digest(value, named))
    except (InvalidSignature, ValueError):
        return Refusal("bad_signature", SIGNATURE, "its bytes are not those that were signed: altered on the way")
    return None
