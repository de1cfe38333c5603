"""Bodies that are not plain JSON: the headers of schema registries, and other encodings."""

from __future__ import annotations

import uuid

_CONFLUENT, _APICURIO, _GLUE = 5, 9, 18
"""Bytes of the headers: a zero byte and a schema id of four bytes, or of eight; AWS Glue's, with a UUID. No id is 0, so
that the first half of a long one, which is, tells them apart.
"""

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    (b"{\0", "UTF-16"),
    (b"\0{\0", "UTF-16"),
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"Obj\x01", "an Avro file"),
    (b"PAR1", "a Parquet file"),
    (b"<", "XML"),
    (b'"{', "JSON within a JSON text"),
    (b"\xde", "MessagePack"),
    (b"\xdf", "MessagePack"),
    *((bytes([0x80 + n]), "MessagePack") for n in range(16)),
)


def unframed(raw: bytes) -> tuple[bytes, str]:
    """A body without the header of a schema registry, and what that header says in words; "" where there is none.

    >>> unframed(b'\\0\\0\\0\\0\\x07{}')
    (b'{}', "Confluent's header, schema id 7")
    """
    if raw[:1] == b"\0" and not raw.startswith(b"\0{\0"):
        confluent, apicurio = (int.from_bytes(raw[1:size], "big") for size in (_CONFLUENT, _APICURIO))
        if confluent and len(raw) > _CONFLUENT:
            return raw[_CONFLUENT:], f"Confluent's header, schema id {confluent}"
        if apicurio and len(raw) > _APICURIO:
            return raw[_APICURIO:], f"Apicurio's header, schema id {apicurio}"
    if raw[:2] in (b"\x03\0", b"\x03\x05") and len(raw) > _GLUE:
        return raw[_GLUE:], f"AWS Glue's header, schema {uuid.UUID(bytes=raw[2:_GLUE])}"
    return raw, ""


def is_json(body: bytes) -> bool:
    """Whether a body begins like an object in JSON."""
    return body.lstrip()[:1] == b"{"


def looks_like(raw: bytes) -> str:
    """What the body may be instead of JSON, as the end of a sentence; "" where nothing is known.

    >>> looks_like(b"\\x1f\\x8b..."), looks_like(b"nope")
    ('; it begins like gzip', '')
    """
    return next((f"; it begins like {what}" for beginning, what in _BEGINNINGS if raw.startswith(beginning)), "")
