"""Compressed record batches, unpacked to a size that is bounded: whoever may write to a topic may send a megabyte that
holds ten gigabytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

import cramjam
import numpy as np

UNPACKED_MAX = 64 * 1024 * 1024
"""Most bytes of one batch: a broker takes 1 MiB of it, compressed, where nobody has set more."""

_TRIES = (1024 * 1024, UNPACKED_MAX)
_XERIAL = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)

Into = Callable[[memoryview, memoryview], int]
"""Unpacks into a place that has to be large enough; how many bytes there are."""


def unpacked(codec: int, packed: memoryview) -> bytes:
    """The records of a batch.

    Args:
        codec: by Kafka's number, 1 to 4.
        packed: what stands in the batch behind its header.

    Raises:
        ValueError: these are not what the codec writes, or hold more than :data:`UNPACKED_MAX`, or the codec is none.
    """
    if codec not in _CODECS:
        raise ValueError(f"its codec, {codec}, is none of Kafka's")
    name, into = _CODECS[codec]
    for room in _TRIES:
        place = np.empty(room, dtype=np.uint8).data
        try:
            return place[: into(packed, place)].tobytes()
        except (cramjam.DecompressionError, ValueError) as error:
            reason = error
    raise ValueError(f"as {name} it cannot be unpacked to {UNPACKED_MAX >> 20} MiB or less: {reason}") from None


def _snappy(packed: memoryview, place: memoryview) -> int:
    """One block, or blocks as the Java clients frame them (xerial)."""
    if bytes(packed[: len(_XERIAL)]) != _XERIAL:
        return int(cramjam.snappy.decompress_raw_into(packed, place))
    packed, end = packed[len(_XERIAL) :], 0
    while len(packed):
        size = int.from_bytes(packed[:4], "big")
        if not 0 < size <= len(packed) - 4:
            raise ValueError("a block does not fit its length")
        end += int(cramjam.snappy.decompress_raw_into(packed[4 : 4 + size], place[end:]))
        packed = packed[4 + size :]
    return end


_CODECS: Mapping[int, tuple[str, Into]] = {
    1: ("gzip", cramjam.gzip.decompress_into),
    2: ("snappy", _snappy),
    3: ("lz4", cramjam.lz4.decompress_into),
    4: ("zstd", cramjam.zstd.decompress_into),
}
