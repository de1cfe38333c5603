"""Empties a spool into a sink, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time

from stream_app.errors import SinkError
from stream_app.sinks.base import Rejected, Sink
from stream_app.sinks.spool import Spool
from stream_app.stages.outputs import Point

log = logging.getLogger(__name__)

BATCH_POINTS = 2_000
"""Most points of one write."""

_BACKOFF_S, _BACKOFF_S_MAX, _DOUBLINGS_MAX = 0.25, 30.0, 10
_IDLE_S = 0.1
_POLL_S = 0.02
_STOP_S = 30.0


class Drainer:
    """A thread that empties a spool: synchronous writes, its own backoff, bad points set aside by bisection.

    Args:
        spool: where points come from.
        sink: where they go. :class:`~stream_app.sinks.base.Rejected` makes the drainer bisect; OSError and SinkError
            make it wait and try again with everything kept.
    """

    def __init__(self, spool: Spool, sink: Sink) -> None:
        self._spool, self._sink = spool, sink
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drainer", daemon=True)
        self._failures = 0

    def start(self) -> None:
        """Start draining."""
        self._thread.start()

    def drain(self, timeout_s: float) -> bool:
        """Wait until the spool is empty; False when it is not after the timeout (the rest stays for next time)."""
        until = time.monotonic() + timeout_s
        while len(self._spool) and time.monotonic() < until and self._thread.is_alive():
            time.sleep(_POLL_S)
        return not len(self._spool)

    def stop(self) -> None:
        """Stop after the write in hand, and close the sink."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        self._sink.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            batch = self._spool.read(BATCH_POINTS)
            try:
                self._write(batch)
            except (OSError, SinkError) as error:
                self._back_off(error)
            else:
                self._failures = 0
                if not batch:
                    self._stopping.wait(_IDLE_S)

    def _back_off(self, error: Exception) -> None:
        """Wait after a write that failed, twice as long after each in a row."""
        wait_s = min(_BACKOFF_S * 2.0 ** min(self._failures, _DOUBLINGS_MAX), _BACKOFF_S_MAX)
        self._failures += 1
        if self._failures in (1, 10) or self._failures % 100 == 0:
            log.warning("%s; %d points are kept, next try in %.1f s", error, len(self._spool), wait_s)
        self._stopping.wait(wait_s)

    def _write(self, batch: list[tuple[int, Point]]) -> None:
        """Write and drop a batch; of a rejected one the good points are written and the bad ones set aside."""
        if not batch:
            return
        try:
            self._sink.write([point for _, point in batch])
        except Rejected as error:
            self._bisect(batch, error)
        else:
            self._spool.drop([number for number, _ in batch])

    def _bisect(self, batch: list[tuple[int, Point]], error: Rejected) -> None:
        if len(batch) == 1:
            log.error("A point was refused and set aside: %s", error)
            self._spool.set_aside(batch[0][0], str(error))
            return
        half = len(batch) // 2
        self._write(batch[:half])
        self._write(batch[half:])
