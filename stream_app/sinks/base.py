"""What a sink is: points in, written durably or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Protocol, TypeVar, overload, runtime_checkable

from stream_app.errors import SinkError
from stream_app.stages.outputs import Block, Point, Points

P = TypeVar("P", bound=Point | Block)
T = TypeVar("T")


class Batch(Sequence[Point]):
    """Points as a spool holds them: some one by one, many in blocks, which are unfolded when a point is asked for.

    Attributes:
        parts: the points and blocks, in order, for a sink that can write a block as it is.
    """

    def __init__(self, parts: Sequence[Point | Block]) -> None:
        self.parts = parts

    @cached_property
    def _points(self) -> list[Point]:
        return list(Points(self.parts))

    def __len__(self) -> int:
        return len(Points(self.parts))

    def __iter__(self) -> Iterator[Point]:
        return iter(self._points)

    @overload
    def __getitem__(self, place: int) -> Point: ...
    @overload
    def __getitem__(self, place: slice) -> list[Point]: ...
    def __getitem__(self, place: int | slice) -> Point | list[Point]:
        return self._points[place]


def parts_of(batch: Sequence[Point]) -> Sequence[Point | Block]:
    """What a sink is to write, blocks whole."""
    return batch.parts if isinstance(batch, Batch) else batch


class Rejected(SinkError):
    """The server understood the batch and will never take it as it is: at least one point in it is bad."""


class Unwritable(Rejected):
    """A point of the batch has no form that any store of this kind could take. No server had a say in it."""


def encoded(parts: Iterable[P], encode: Callable[[P], T]) -> list[T]:
    """What a sink sends of each point, or of each block.

    Raises:
        Unwritable: ``encode`` raised OverflowError, TypeError or ValueError.
    """
    made = []
    for part in parts:
        try:
            made.append(encode(part))
        except (OverflowError, TypeError, ValueError) as error:
            named = f"point of {part.measurement}" if isinstance(part, Point) else "block of points"
            raise Unwritable(f"a {named} cannot be written: {error}") from error
    return made


@runtime_checkable
class Sink(Protocol):
    """Where points go. Writing a point twice is harmless: same series and time, the last write wins.

    :func:`stream_app.sinks.checks.check_sink` holds a sink to it.
    """

    def write(self, batch: Sequence[Point]) -> None:
        """Write the batch durably, or raise within ``sink.timeout``, whatever the other side does.

        Args:
            batch: points in order. A worker hands in a :class:`Batch`: one who reads it point by point sees no blocks,
                and one who writes blocks faster than their points finds them in its ``parts``.

        Raises:
            Rejected: some point of it is bad; the others may or may not have been stored.
            Unwritable: the same, and it needs no asking of the server.
            SinkError, OSError: not now; nothing may be given up.
        """

    def close(self) -> None:
        """Release files and connections. Nothing is written afterwards."""
