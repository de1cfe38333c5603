"""A header may have any name: the record is read, and so are those before and behind it."""

from __future__ import annotations

from typing import Any

import pytest
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords

from stream_app.kafka import header_names
from tests.kafka.fakes import NoText


def batch(headers: list[list[tuple[str, bytes | None]]], compression: int) -> bytes:
    """A batch of records with these headers."""
    builder = DefaultRecordBatchBuilder(2, compression, False, -1, -1, -1, 1_000_000)
    for number, of_record in enumerate(headers):
        builder.append(number, 1_000, b"k%d" % number, b"value %d" % number, of_record)
    return bytes(builder.build())


def rows(data: bytes) -> list[Any]:
    """What kafka-python reads of it."""
    records = MemoryRecords(data).next_batch()
    assert records.validate_crc()
    return [(row.offset, row.key, row.value, row.headers) for row in records]


@pytest.mark.parametrize("compression", [0, 1], ids=["none", "gzip"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_name_that_is_no_text_is_read_with_replacements(
    compression: int, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DefaultRecordBatch, "_read_msg", header_names._READ_MSG)
    headers: list[list[tuple[str, bytes | None]]] = [[("a", b"1")], [("b", None)], []]
    headers[place] = [("ce_type", b"x"), (NoText(), b"2"), ("last", None)]
    data = batch(headers, compression)
    with pytest.raises(CorruptRecordError, match="UnicodeDecodeError"):
        rows(data)
    header_names.take_any()
    read = rows(data)
    assert [row[:3] for row in read] == [(n, b"k%d" % n, b"value %d" % n) for n in range(3)]
    assert read[place][3] == [("ce_type", b"x"), ("��", b"2"), ("last", None)]
    assert [row[3] for n, row in enumerate(read) if n != place] == [of for n, of in enumerate(headers) if n != place]


def test_damage_is_still_found() -> None:
    header_names.take_any()
    data = bytearray(batch([[(NoText(), b"1")]], 0))
    data[-1] ^= 1
    assert not MemoryRecords(bytes(data)).next_batch().validate_crc()
