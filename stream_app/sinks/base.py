"""What a sink is: points in, written durably or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from stream_app.errors import SinkError
from stream_app.stages.outputs import Point

T = TypeVar("T")


class Rejected(SinkError):
    """The server understood the batch and will never take it as it is: at least one point in it is bad."""


class Unwritable(Rejected):
    """A point of the batch has no form that any store of this kind could take. No server had a say in it."""


def encoded(batch: Sequence[Point], encode: Callable[[Point], T]) -> list[T]:
    """What a sink sends of each point.

    Raises:
        Unwritable: ``encode`` raised OverflowError, TypeError or ValueError.
    """
    made = []
    for point in batch:
        try:
            made.append(encode(point))
        except (OverflowError, TypeError, ValueError) as error:
            raise Unwritable(f"a point of {point.measurement} cannot be written: {error}") from error
    return made


@runtime_checkable
class Sink(Protocol):
    """Where points go. Writing a point twice is harmless: same series and time, the last write wins.

    :func:`stream_app.sinks.checks.check_sink` holds a sink to it.
    """

    def write(self, batch: Sequence[Point]) -> None:
        """Write the batch durably, or raise within ``sink.timeout``, whatever the other side does.

        Raises:
            Rejected: some point of it is bad; the others may or may not have been stored.
            Unwritable: the same, and it needs no asking of the server.
            SinkError, OSError: not now; nothing may be given up.
        """

    def close(self) -> None:
        """Release files and connections. Nothing is written afterwards."""
