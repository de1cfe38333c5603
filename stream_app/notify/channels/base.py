"""What a channel is: notices in, each delivered or refused with a reason."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from stream_app.errors import SinkError
from stream_app.notify.notices import Notice


class Busy(SinkError):
    """A receiver asks for patience.

    Attributes:
        after_s: seconds until it may be asked again, as it says; 0 where it does not say.
    """

    def __init__(self, sentence: str, after_s: float) -> None:
        super().__init__(sentence)
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of a delivery.

    Attributes:
        says: what the receiver answered, in a few words.
        ref: what the channel has to remember of the thread, "" for nothing.
    """

    says: str
    ref: str = ""


class Channel(Protocol):
    """Where notices go. Delivering one twice is as harmless as the receiver lets it be: it has the same key."""

    @property
    def resend_s(self) -> float | None:
        """So often :meth:`resend` is to be called; None for never."""

    def send(self, notice: Notice, ref: str) -> Receipt:
        """Deliver a notice, or raise within ``notify.timeout``, whatever the other side does.

        Args:
            notice: what there is to tell; of a thread in order.
            ref: what :class:`Receipt` said of the thread last, "" at first.

        Raises:
            Rejected: it will never take this notice.
            Busy: it asks for patience.
            SinkError, OSError: not now.
        """

    def resend(self, refs: Collection[str]) -> None:
        """Say again what lasts; raises as :meth:`send` does."""

    def close(self) -> None:
        """Release connections; a delivery that is under way ends."""
