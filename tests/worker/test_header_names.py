"""A header may have any name: the record is taken in, and so are those before and behind it."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from stream_app.worker import header_names
from stream_app.worker.header_names import Records
from tests.kafka.fakes import NoText

GZIP = 1


def batch(base: int, headers: list[list[tuple[str, bytes | None]]], compression: int = 0) -> bytes:
    """A batch of records with these headers."""
    builder = _DefaultRecordBatchBuilderPy(2, compression, False, -1, -1, -1, 1_000_000)
    for number, of_record in enumerate(headers):
        assert builder.append(number, 1_000, b"k%d" % number, b"value %d" % number, of_record)
    data = bytearray(builder.build())
    data[:8] = base.to_bytes(8, "big")
    return bytes(data)


def fetched(data: bytes, first: int = 0) -> list[Any]:
    """What aiokafka hands out of a fetch."""
    made = fetcher.PartitionRecords(("t", 0), Records(data), [], first, None, None, True, fetcher.READ_UNCOMMITTED)
    return list(made)


@pytest.fixture(autouse=True)
def partition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are made as plain tuples."""
    monkeypatch.setattr(
        fetcher.PartitionRecords,
        "_consumer_record",
        lambda self, tp, record: (record.offset, record.key, record.value, record.headers),
    )


@pytest.mark.parametrize("compression", [0, GZIP])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_name_that_is_no_text_is_read_with_replacements(compression: int, place: int) -> None:
    headers: list[list[tuple[str, bytes | None]]] = [[("a", b"1")], [("b", None)], []]
    headers[place] = [("ce_type", b"x"), (NoText(), b"2"), ("last", None)]
    data = batch(0, headers, compression) + batch(3, [[("c", b"3")]], compression)
    with pytest.raises(UnicodeDecodeError):
        [list(one) for one in iter_batches(data)]
    rows = fetched(data)
    assert [(offset, key, value) for offset, key, value, _ in rows] == [
        *((n, b"k%d" % n, b"value %d" % n) for n in range(3)),
        (3, b"k0", b"value 0"),
    ]
    assert list(rows[place][3]) == [("ce_type", b"x"), ("��", b"2"), ("last", None)]
    assert [list(row[3]) for n, row in enumerate(rows) if n != place] == [
        of for n, of in enumerate([*headers, [("c", b"3")]]) if n != place
    ]


def iter_batches(data: bytes) -> Any:
    """As aiokafka reads them by itself."""
    records = MemoryRecords(data)
    while records.has_next():
        yield records.next_batch()


def test_what_is_good_is_read_as_before() -> None:
    data = batch(5, [[("a", b"1")], []]) + batch(7, [[]])
    records = Records(data)
    assert records.size_in_bytes() == len(data)
    assert [offset for offset, *_ in fetched(data, first=6)] == [6, 7]
    assert not Records(data[:40]).has_next(), "half a batch is none"


def test_damage_is_still_found() -> None:
    data = bytearray(batch(0, [[(NoText(), b"1")]]))
    data[-1] ^= 1
    with pytest.raises(fetcher.Errors.CorruptRecordException):
        fetched(bytes(data))


def test_every_consumer_of_the_process_reads_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    header_names.take_any()
    assert fetcher.MemoryRecords is Records


def test_a_marker_of_a_transaction_is_looked_at() -> None:
    """With ``read_committed`` the fetcher takes the record of a control batch by itself."""
    marker = Records(batch(0, [[]])).next_batch()
    assert next(marker).value == b"value 0"
    with pytest.raises(StopIteration):
        next(marker)
