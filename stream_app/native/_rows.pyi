"""Bodies as columns; see ``rows/module.cpp``."""

from collections.abc import Sequence

from flowlib.table import Bools, Floats, Ints

class Reader:
    def __new__(
        cls,
        fields: Sequence[tuple[str, int, bytes, Sequence[bytes]]],
        numbers: int,
        texts: int,
        time: str,
        utc: bool,
        max_bytes: int,
        seed: int,
    ) -> Reader: ...
    def read(
        self,
        known: int,
        buffer: bytes,
        first: Ints,
        size: Ints,
        read: Bools,
        local: Bools,
        time_ms: Ints,
        numeric: Floats,
        codes: Ints,
        id_first: Ints,
        id_size: Ints,
        /,
    ) -> tuple[int, list[bytes], list[bytes]]: ...

def plain_texts(buffer: bytes, first: Ints, size: Ints, /) -> tuple[list[str | None], list[tuple[int, bytes]]]: ...
def read_fixed(
    buffer: bytes,
    first: Ints,
    size: Ints,
    body: int,
    numbers: Ints,
    texts: Ints,
    end_ms: int,
    seed: int,
    read: Bools,
    time_ms: Ints,
    numeric: Floats,
    codes: Ints,
    /,
) -> list[bytes]: ...
