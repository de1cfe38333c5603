"""Waiting for one thing after the other, for as long as anything moves."""

from __future__ import annotations

import time
from collections.abc import Callable

from stream_app.errors import DriftflowError

STALL_S = 300.0
"""Nothing has moved for so long: what is waited for will not come."""

_POLL_S = 0.1


class Waiting:
    """Blocks until something has happened.

    Args:
        moving: its answer changes whenever there is progress of any kind.
        logs: the last lines of the child processes, for the error.

    Attributes:
        what: what is waited for now; empty while nothing is.
    """

    def __init__(self, moving: Callable[[], object], logs: Callable[[], str]) -> None:
        self._moving, self._logs = moving, logs
        self.what = ""

    def wait(self, what: str, done: Callable[[], bool]) -> None:
        """Return once ``done()``.

        Raises:
            DriftflowError: nothing has moved for :data:`STALL_S`.
        """
        self.what = what
        seen, since = self._moving(), time.monotonic()
        while not done():
            now = self._moving()
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > STALL_S:
                raise DriftflowError(
                    f"the demo waits for {what}, and nothing has moved for {STALL_S / 60:.0f} minutes. "
                    f"What its processes said last:\n{self._logs()}"
                )
            time.sleep(_POLL_S)
        self.what = ""
