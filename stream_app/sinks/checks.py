"""Checks that every sink must pass; run them on your own: ``check_sink(sink, read)``.

They raise AssertionError with a sentence, and need no test framework. The store must be empty, and is not afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from stream_app.sinks.base import Batch, Sink
from stream_app.stages.outputs import Point

Row = tuple[str, int, float]
"""Slice, time in ms, and the field ``x``."""

Read = Callable[[], Iterable[Row]]
"""Reads back every point of the measurement ``windows``, in any order, past every cache of the sink's own."""

_START_MS = 1_700_000_000_000
_SLICES = {"a": 300, "b,c =ä": 3}
"""Slice to its number of points; one has what line protocols must escape."""
_ALIKE = ("a", "a\\", "a\\ ", "a\nb", "a\\nb", "a%0Ab", "a,slicing=b", "a\\,slicing=b", "ä", "a\u0308")
"""Slices that a careless encoding takes for each other."""


def check_sink(sink: Sink, read: Read) -> None:
    """Write points, read them back, write them again, close.

    Args:
        sink: the sink; closed at the end.
        read: reads back what it has stored.

    Raises:
        AssertionError: one sentence on what does not hold.
    """
    _check_stored("the store was not empty at the start", set(), read())
    batches = [[_point(slice_, i) for i in range(n)] for slice_, n in _SLICES.items()]
    expected = {(slice_, _START_MS + i, float(i)) for slice_, n in _SLICES.items() for i in range(n)}
    for batch in batches:
        sink.write(batch)
    _check_stored("what was written is not what is stored", expected, read())
    for batch in batches:
        sink.write(batch)
    _check_stored("writing points a second time has changed what is stored", expected, read())
    sink.write([_point(slice_, i, "alerts", -1.0) for slice_, n in _SLICES.items() for i in range(n)])
    _check_stored("points of another measurement have changed what is stored", expected, read())
    sink.write([])
    _check_stored("writing no points has changed what is stored", expected, read())
    sink.write(Batch([_point("a", 1_000), _Several(range(1_001, 1_004))]))
    expected |= {("a", _START_MS + i, float(i)) for i in range(1_000, 1_004)}
    _check_stored("a block of points between points is not what is stored", expected, read())
    _check_apart(sink, read)
    sink.close()


def _check_apart(sink: Sink, read: Read) -> None:
    """Each name is a slice of its own, whatever the store makes of the name itself."""
    sink.write([_point(slice_, -1, x=float(i)) for i, slice_ in enumerate(_ALIKE)])
    stored = sorted((x, slice_) for slice_, time_ms, x in read() if time_ms < _START_MS)
    if [x for x, _ in stored] != list(map(float, range(len(_ALIKE)))) or len({name for _, name in stored}) < len(
        stored
    ):
        raise AssertionError(f"of {len(_ALIKE)} slices whose names look alike these are stored: {stored}")


class _Several:
    """A block of points of a kind that no sink knows."""

    def __init__(self, places: range) -> None:
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def points(self) -> list[Point]:
        return [_point("a", i) for i in self._places]

    def packed(self) -> bytes:
        raise NotImplementedError


def _point(slice_: str, i: int, measurement: str = "windows", x: float | None = None) -> Point:
    tags = (("slice", slice_), ("stream", "s"))
    return Point(measurement, tags, _START_MS + i, (("x", i if x is None else x),))


def _check_stored(sentence: str, expected: set[Row], rows: Iterable[Row]) -> None:
    stored = Counter(rows)
    faults = {
        "missing": expected - stored.keys(),
        "unexpected": stored.keys() - expected,
        "stored more than once": {row for row, n in stored.items() if n > 1},
    }
    for fault, wrong in faults.items():
        if wrong:
            raise AssertionError(f"{sentence}: {len(wrong)} {fault}, such as (slice, time_ms, x) = {min(wrong)}")
