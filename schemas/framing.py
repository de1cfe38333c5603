"""The header of a schema registry before a signal, as Confluent has it: a zero byte, and the schema's id in four.

It is put on where a signal is sent (:mod:`stream_app.kafka.signal_schemas`) and taken off where one is read
(:mod:`schemas.intake`, :mod:`schemas.signing`), so that it changes no id, no signature and no comparison: nothing that
driftflow sends in JSON begins with a zero byte.

    >>> framed(7, b"{}")
    b'\\x00\\x00\\x00\\x00\\x07{}'
    >>> unframed(framed(7, b"{}")) == unframed(b"{}") == b"{}"
    True
"""

from __future__ import annotations

_HEADER = 5


def framed(schema_id: int, value: bytes) -> bytes:
    """A value after its header; the id is one of 32 bits."""
    return b"\0" + schema_id.to_bytes(4, "big") + value


def unframed(value: bytes) -> bytes:
    """A value without its header, where it has one."""
    return value[_HEADER:] if value[:1] == b"\0" else value
