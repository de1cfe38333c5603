"""Built from native/records; says what ``stream_app.kafka.plain_batches`` says of the same functions."""

from typing_extensions import Buffer

from flowlib.table import Ints

def scan(data: Buffer, check: bool, /) -> bytes: ...
def unpack(
    data: Buffer, heads: Ints, next: int, offsets: Ints, times: Ints, firsts: Ints, sizes: Ints, /
) -> tuple[int, int]: ...
def crc32c(data: Buffer, portable: bool = False, /) -> int:
    """The checksum of a batch; ``portable``: by tables, though the processor has an instruction."""
