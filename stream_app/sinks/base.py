"""What a sink is: points in, written durably or refused with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from stream_app.core.point import Field, Point

__all__ = ["Field", "Point", "Sink"]

@runtime_checkable
class Sink(Protocol):
    """Where points go. Writing a point twice is harmless."""

    def write(self, batch: Sequence[Point]) -> None:
        """Write the batch, or raise SinkError (final) or OSError (try again)."""

    def flush(self) -> None:
        """Return once everything written is durable."""

    def close(self) -> None:
        """Flush and release."""
