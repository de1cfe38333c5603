"""Rows of a file in the order of their times, where the file has another: one series after the other, say.

A stream's panes close as time goes by, so that rows of earlier times than most before them come too late to count. On a
topic they would be late as well: a file that is brought into order says what a producer that keeps it would be told.
Memory is bounded: parts are sorted one by one, kept in temporary files, and merged.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from rich.console import Console

from flowlib.table import Ints
from stream_app.config import Config
from stream_app.event_files import Report, read_timed_rows

if TYPE_CHECKING:  # a client of a broker comes with it
    from stream_app.kafka.history import Past

LOOKED_AT = 300_000
"""Rows at the beginning of a file that say whether it is in order."""
ROWS_MAX, BYTES_MAX = 400_000, 128 * 1024 * 1024
"""Most rows of a part, and most bytes in them."""
_STRAY = 0.001
"""Share of the rows at either end whose times may be wrong by years: they say nothing about the order."""
_LENGTH = 4


class Placed(NamedTuple):
    """A row: its time in ms, its number in the file, key and value."""

    time_ms: int
    number: int
    key: bytes | None
    value: bytes


def is_to_be_sorted(config: Config, source: Path | Past, asked: bool | None, max_dropped: float, err: Console) -> bool:
    """Whether the rows of a source are to be brought into order; where nobody has asked for it, ``err`` is told.

    Args:
        config: the stream.
        source: a file, or a topic, which has its order.
        asked: what somebody wants, None where they have not said.
        max_dropped: share of the rows that may come too late.
        err: where to say so.

    Raises:
        DriftflowError: the file cannot be read.
    """
    if asked is not None or not isinstance(source, Path):
        return bool(asked) and isinstance(source, Path)
    late = late_share(config, source)
    if late <= max_dropped:
        return False
    err.print(
        f"{late:.0%} of the rows would come too late to count, since the file is not in order of "
        f"{config.event.time_field}: it is brought into that order first; --no-sort takes it as it is",
        markup=False,
        soft_wrap=True,
    )
    return True


def late_share(config: Config, path: Path) -> float:
    """Share of a file's first rows whose pane has closed when they come; raises DriftflowError."""
    rows = islice(read_timed_rows(path, config, Report()), LOOKED_AT)
    times = np.array([time_ms for _, _, time_ms in rows if time_ms is not None], dtype=np.int64)
    return _late(times, int(config.windows.pane), int(config.windows.lateness)) if len(times) else 0.0


def _late(times: Ints, pane_ms: int, lateness_ms: int) -> float:
    stray = min(max(int(len(times) * _STRAY), 1), (len(times) - 1) // 2)
    ordered = np.sort(times)
    times = times[(times >= ordered[stray]) & (times <= ordered[-1 - stray])]
    closes = (times // pane_ms + 1) * pane_ms + lateness_ms
    return float(np.mean(closes <= np.maximum.accumulate(times)))


def placed(path: Path, config: Config, report: Report) -> Iterator[Placed]:
    """A file's rows; one whose time cannot be read keeps its place behind the row before it."""
    last_ms = 0
    for key, value, time_ms in read_timed_rows(path, config, report):
        last_ms = last_ms if time_ms is None else time_ms
        yield Placed(last_ms, report.number, key, value)


def in_order(rows: Iterable[Placed]) -> Iterator[Placed]:
    """The rows by time; those of one time in their order."""
    with ExitStack() as files:
        parts = list[Iterator[Placed]]()
        for part in _parts(rows):
            part.sort(key=_time)
            if len(part) < ROWS_MAX and not parts and _size(part) < BYTES_MAX:
                parts.append(iter(part))  # it is all that there is
            else:
                parts.append(_kept(files.enter_context(tempfile.TemporaryFile()), part))
        yield from heapq.merge(*parts, key=_time)


def _time(row: Placed) -> int:
    return row.time_ms


def _size(part: list[Placed]) -> int:
    return sum(len(row.value) for row in part)


def _parts(rows: Iterable[Placed]) -> Iterator[list[Placed]]:
    part, held = list[Placed](), 0
    for row in rows:
        part.append(row)
        held += len(row.value)
        if len(part) >= ROWS_MAX or held >= BYTES_MAX:
            yield part
            part, held = [], 0
    if part:
        yield part


def _kept(file: IO[bytes], part: list[Placed]) -> Iterator[Placed]:
    """A part that waits in a file."""
    encode = msgspec.msgpack.Encoder().encode
    for row in part:
        packed = encode(row)
        file.write(len(packed).to_bytes(_LENGTH))
        file.write(packed)
    file.seek(0)
    return _read(file)


def _read(file: IO[bytes]) -> Iterator[Placed]:
    decode = msgspec.msgpack.Decoder(Placed).decode
    while head := file.read(_LENGTH):
        yield decode(file.read(int.from_bytes(head)))
