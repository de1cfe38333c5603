"""Hands a batch to a sink, and settles which of its points the sink will never take."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stream_app.errors import SinkError
from stream_app.sinks.base import Batch, Rejected, Sink, Unwritable
from stream_app.sinks.spool import Spool
from stream_app.stages.outputs import Block, Point, Points

_REFUSALS = (Rejected, OverflowError, TypeError, ValueError)
"""What a sink raises because of a point. Anything else is about the sink."""

Rows = list[tuple[range, Point | Block]]
"""Points of a spool and blocks of them with their ids, as :meth:`Spool.rows` gives them."""


class Delivery:
    """Bisects a batch that is refused, and sets a point aside only beside proof.

    A block is written whole, and bisected by its points where it is refused.

    The rule: a point that is refused alone is set aside where the sink takes another point *right after*, and then
    refuses this one once more. The other point is the one that was taken last (writing it again is harmless); where
    none has been, or it is refused now, points behind in the spool are tried: the next one, and one in each of the
    spans 2 to 3, 4 to 7, 8 to 15 … behind, at every try another one. Where the sink takes none of them it refuses
    everything, as a proxy or a server that is set up wrongly does: nothing is given up, and the batch is tried again
    later. A point that is :class:`~stream_app.sinks.base.Unwritable` is set aside at once: no server has a say in it.

    Args:
        spool: where the points are; those that were taken leave it.
        sink: where they go.
        set_aside: told the reason for each point that is set aside.
        stopping: where it is true no other write is begun; the rest stays in the spool.
    """

    def __init__(
        self, spool: Spool, sink: Sink, set_aside: Callable[[str], None], stopping: Callable[[], bool]
    ) -> None:
        self._spool, self._sink, self._said, self._stopping = spool, sink, set_aside, stopping
        self._taken: Point | Block | None = None
        self._fruitless = 0

    def deliver(self, rows: Rows) -> None:
        """Write a batch, in order; what was taken or set aside has left the spool.

        Raises:
            SinkError: the sink refuses everything.
            Exception: any other that the sink or the spool raised; what is left of the batch stays in the spool.
        """
        if not rows or self._stopping():
            return
        refusal = self._refusal([part for _, part in rows])
        if refusal is None:
            self._spool.drop([number for ids, _ in rows for number in ids])
            return
        (ids, part), *others = rows
        if isinstance(part, Point) and not others:
            self._judge(ids[0], part, refusal)
            return
        rows = rows if others else _unfolded(ids, part)
        half = len(rows) // 2
        self.deliver(rows[:half])
        self.deliver(rows[half:])

    def _refusal(self, parts: list[Point | Block]) -> Exception | None:
        """Why the sink refuses points, None where it takes them."""
        try:
            self._sink.write(Batch(parts))
        except _REFUSALS as error:
            return error
        self._taken = parts[-1]
        return None

    def _judge(self, number: int, point: Point, refusal: Exception) -> None:
        """Settle a point that was refused alone."""
        if not isinstance(refusal, Unwritable):
            if not self._takes_others(number):
                self._fruitless += 1
                raise SinkError(f"the sink refuses every single point, so none is given up: {refusal}")
            again = self._refusal([point])
            if again is None:
                self._spool.drop([number])
                return
            refusal = again
        reason = str(refusal) if isinstance(refusal, SinkError) else f"{type(refusal).__name__}: {refusal}"
        self._spool.set_aside(number, reason)
        self._said(reason)

    def _takes_others(self, number: int) -> bool:
        if self._taken is not None and self._refusal([*Points([self._taken])][-1:]) is None:
            return True
        self._taken = None
        return any(self._refusal([point]) is None for point in self._behind(number))

    def _behind(self, number: int) -> Iterator[Point]:
        """A point of each span behind one in the spool."""
        span = 1
        while found := self._spool.read(1, after=number + span - 1 + self._fruitless % span):
            yield found[0][1]
            span *= 2


def _unfolded(ids: range, part: Point | Block) -> Rows:
    return [(range(number, number + 1), point) for number, point in zip(ids, Points([part]), strict=True)]
