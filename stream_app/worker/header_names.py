"""Headers whose names are no UTF-8, as aiokafka reads them: see :mod:`stream_app.kafka.header_names`.

Private names of aiokafka are used here: ``tests/worker/test_header_names.py`` fails where these have changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from stream_app.kafka.header_names import Lenient

_LENGTH_AT, _LENGTH_END = 8, 12


def take_any() -> None:
    """Let every consumer of aiokafka in this process take records with any header name."""
    fetcher.MemoryRecords = Records


class Records:
    """The batches of a fetch, as aiokafka's ``MemoryRecords``.

    Attributes:
        data: its bytes.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._records, self._data, self._at = MemoryRecords(data), memoryview(data), 0

    def size_in_bytes(self) -> int:
        """All of them."""
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        """Whether there is another whole batch."""
        return bool(self._records.has_next())

    def next_batch(self) -> Batch:
        """The next batch."""
        start = self._at
        length = int.from_bytes(self._data[start + _LENGTH_AT : start + _LENGTH_END], "big")
        self._at = start + _LENGTH_END + length
        return Batch(self._records.next_batch(), self._data[start : self._at])


class Batch:
    """A batch, as aiokafka has it, and its bytes."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch, self._data = batch, data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except UnicodeDecodeError:
            yield from self._read_again()  # from its beginning: the fetcher passes over the offsets that it has had

    def __next__(self) -> Any:
        """The next record: the fetcher looks so at the only one of a control batch."""
        return next(self._batch)

    def _read_again(self) -> Iterator[Any]:
        batch = _DefaultRecordBatchPy(self._data)
        batch._maybe_uncompress()
        batch._buffer = Lenient(batch._buffer)
        return iter(batch)
