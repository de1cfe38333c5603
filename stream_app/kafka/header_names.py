"""Headers whose names are no UTF-8. A broker takes them from anybody, and both clients raise at such a record whenever
they come to it: one of them would stop every reader of a topic for good. Here the name is read with replacement
characters, and the record is taken in like any other. :mod:`stream_app.worker.header_names` does the same for aiokafka.

A private name of kafka-python is replaced here: ``tests/kafka/test_header_names.py`` fails where that has changed.
"""

from __future__ import annotations

from typing import Any

from kafka.record.default_records import DefaultRecordBatch

_READ_MSG = DefaultRecordBatch._read_msg


def take_any() -> None:
    """Let every consumer of kafka-python in this process take records with any header name."""
    DefaultRecordBatch._read_msg = _read_msg


def _read_msg(batch: Any) -> Any:
    """The next record of a batch. Where it fails the batch has not moved on."""
    try:
        return _READ_MSG(batch)
    except UnicodeDecodeError:
        batch._buffer = Lenient(batch._buffer)
        return _READ_MSG(batch)


class Lenient(bytearray):
    """Bytes whose slices decode whatever they hold."""

    def __getitem__(self, place: Any) -> Any:
        part = super().__getitem__(place)
        return _Slice(part) if isinstance(place, slice) else part


class _Slice(bytes):
    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)
