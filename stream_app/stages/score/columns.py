"""What a column reader has of bodies: columns at once, without an object for each event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from flowlib.table import Bools, Coded, Floats, Ints
from stream_app.stages.batches import Bodies


class Columns(NamedTuple):
    """What there is of n bodies, to be written into; in a row that is not read, columns hold anything.

    Attributes:
        read: ``(n,)`` bool, the rows that are read: all of their fields, each written as it should be. The others are
            the row decoder's, whether they are events or not.
        time_ms: ``(n,)`` int64, event time since the epoch, from 1970 to 2999.
        numeric: ``(n, d)`` float64, NaN for missing.
        texts: for each text field the n texts as :func:`~stream_app.stages.score.coercion.text_of` has them, None for
            missing; one may be there twice.
        ids: n texts likewise where the id is a field by itself, else None.
    """

    read: Bools
    time_ms: Ints
    numeric: Floats
    texts: Sequence[Coded]
    ids: list[str | None] | None


class ColumnReader(Protocol):
    """Reads the rows that are plainly as they should be.

    It may take a row only if the row decoder of the format makes the same of it, with nothing read leniently; nor may
    it take a time that has two readings, or a body beyond ``event.max_bytes``. It never raises for what bodies hold.
    """

    def read(self, bodies: Bodies) -> Columns:
        """Read a batch."""
        ...


class NothingRead:
    """The column reader of a format that has none: all is the row decoder's."""

    def __init__(self, numbers: int, texts: int, with_id: bool) -> None:
        self._d, self._k, self._with_id = numbers, texts, with_id

    def read(self, bodies: Sequence[bytes | None]) -> Columns:
        """Columns of no row."""
        n = len(bodies)
        texts = [Coded(np.zeros(n, np.int64), []) for _ in range(self._k)]
        ids: list[str | None] | None = [None] * n if self._with_id else None
        return Columns(np.zeros(n, bool), np.zeros(n, np.int64), np.empty((n, self._d)), texts, ids)
