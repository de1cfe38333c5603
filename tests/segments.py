"""What stands on the disk of a broker, to be damaged there under its feet."""

from __future__ import annotations

import struct

from aiokafka.record.util import calc_crc32c

from tests.brokers import ApacheKafka

_LENGTH_AT, _CRC_AT, _ATTRIBUTES_AT, _PRODUCER_AT, _HEADER = 8, 17, 21, 43, 61


class Segment:
    """The log of a partition on the disk of Apache Kafka, while it is one file: small and new."""

    def __init__(self, node: ApacheKafka, topic: str, partition: int = 0) -> None:
        (self._path,) = (node.folder / "log" / f"{topic}-{partition}").glob("*.log")

    def flip(self, mark: bytes) -> None:
        """Change a byte of the first record that has a mark, so that the checksum of its batch is wrong; what was
        changed so is found by its mark no more, and by the mark that it has become.
        """
        data = self._path.read_bytes()
        at = data.index(mark) + len(mark) - 1
        self._write(at, bytes([data[at] ^ 1]))

    def set_attributes(self, offset: int, attributes: int, producer: int) -> None:
        """Give the batch at an offset other attributes and another producer, and a checksum that is right."""
        data, at = bytearray(self._path.read_bytes()), 0
        while struct.unpack_from(">q", data, at)[0] != offset:
            at = self._end(data, at)
        end = self._end(data, at)
        struct.pack_into(">H", data, at + _ATTRIBUTES_AT, attributes)
        struct.pack_into(">q", data, at + _PRODUCER_AT, producer)
        struct.pack_into(">I", data, at + _CRC_AT, calc_crc32c(bytes(data[at + _ATTRIBUTES_AT : end])))
        self._write(at, bytes(data[at : at + _HEADER]))

    def _end(self, data: bytearray, at: int) -> int:
        return at + 12 + int(struct.unpack_from(">i", data, at + _LENGTH_AT)[0])

    def _write(self, at: int, part: bytes) -> None:
        with self._path.open("r+b") as file:
            file.seek(at)
            file.write(part)
