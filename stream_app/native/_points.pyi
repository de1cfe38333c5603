"""Points as texts; see ``points/module.cpp``."""

from collections.abc import Sequence

from flowlib.table import Ints

def rows(n: int, befores: list[bytes], columns: Sequence[Ints | bytes | tuple[Ints, list[bytes]]], /) -> list[str]: ...
