"""A thread with an event loop of its own, for clients of aiokafka that others wait for.

kafka-python has an API that waits, but its checksums take a second for each two megabytes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import TypeVar

from aiokafka.errors import KafkaError

from stream_app.errors import DriftflowError
from stream_app.kafka.retrying import told

T = TypeVar("T")


class Bridge:
    """Runs coroutines in its thread, and waits for their results.

    Args:
        what: what they are about, for messages.
        patience_s: how long one may take.
    """

    def __init__(self, what: str, patience_s: float) -> None:
        self._what, self._patience_s = what, patience_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="driftflow-state", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Its result.

        Raises:
            DriftflowError: in place of any error of the client; or it takes too long.
        """
        return self.wait(self.begin(work))

    def wait(self, running: Future[T]) -> T:
        """The result of what was begun; raises as :meth:`run` does."""
        try:
            return running.result(self._patience_s)
        except TimeoutError:
            running.cancel()
            raise DriftflowError(
                f"{self._what}: the broker has not answered for {self._patience_s:.0f} s: look at its log"
            ) from None
        except KafkaError as error:
            raise DriftflowError(f"{self._what}: {told(error)}; check the broker, and start again") from error

    def begin(self, work: Coroutine[object, object, T]) -> Future[T]:
        """Let it run, and wait for nothing."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """End the thread; nothing may run any more."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        if not self._thread.is_alive():
            self._loop.close()
