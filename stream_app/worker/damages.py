"""Batches of records that cannot be taken apart: they are fetched again, a little later each time, and passed over
where that does not help.

What is damaged on its way comes whole the next time. What is still damaged after some seconds is so in the broker's
log, and would be at each start of a worker, whichever of a group: reading goes on behind it, and people are told what
is gone (:mod:`stream_app.worker.losses`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import NamedTuple

from aiokafka.errors import CorruptRecordException, KafkaError, UnsupportedCodecError

from stream_app.errors import DriftflowError
from stream_app.kafka.types import AsyncConsumer, Fetched, TopicPartition
from stream_app.terminal import Seldom

PAUSES_S = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Before each of the fetches that are tried again."""

_damaged = Seldom(logging.getLogger(__name__).warning)


class Damage(NamedTuple):
    """A damaged batch, each time that it is met.

    Attributes:
        tp: where.
        start, end: the offset that was to be read, and the one that reading goes on from.
        why: what is wrong with it.
    """

    tp: TopicPartition
    start: int
    end: int
    why: str

    @property
    def passed_over(self) -> bool:
        """Whether it was given up; else it is fetched again."""
        return self.end > self.start


class Damages:
    """Counts the tries of one consumer. May be used from any thread.

    Args:
        note: is told of each damage, in the thread that has met it, and before anything behind it is handed out.
    """

    def __init__(self, note: Callable[[Damage], None] = lambda damage: None) -> None:
        self._note, self._lock = note, threading.Lock()
        self._tries: dict[TopicPartition, tuple[int, int]] = {}
        self._behind: dict[TopicPartition, int] = {}

    def wait_s(self, tp: TopicPartition, start: int, why: str) -> float | None:
        """How long to wait until it is fetched again; None where that does not help: it is right behind one that was
        passed over, or has been tried so often.

        Args:
            tp: the partition.
            start: the offset that was to be read.
            why: what is wrong with what came.
        """
        with self._lock:
            at, tries = self._tries.get(tp, (start, 0))
            tries = tries if at == start else 0
            if tries == len(PAUSES_S) or self._behind.get(tp) == start:
                return None
            self._tries[tp] = start, tries + 1
        _damaged(f"{tp.topic}/{tp.partition}@{start}: {why}; it is fetched again in {PAUSES_S[tries]:g} s")
        self._note(Damage(tp, start, start, why))
        return PAUSES_S[tries]

    def pass_over(self, tp: TopicPartition, start: int, end: int, why: str) -> None:
        """Reading goes on at an offset."""
        with self._lock:
            self._behind[tp] = end
        self._note(Damage(tp, start, end, why))


async def all_of(consumer: AsyncConsumer, tp: TopicPartition, timeout_ms: int) -> Fetched:
    """The next records of a partition of which none may be passed over, as aiokafka has them.

    Args:
        consumer: reads that partition alone.
        tp: the partition.
        timeout_ms: how long to wait for the first of them.

    Raises:
        DriftflowError: one cannot be taken apart, at the last try either.
        KafkaError: anything else.
    """
    try:
        return await consumer.getmany(timeout_ms=timeout_ms)
    except Exception as error:
        damage = _checked(error)
    for pause_s in PAUSES_S:
        try:  # one by one, so that those before it are had, and the error is about the next one
            if fetched := await consumer.getmany(timeout_ms=timeout_ms, max_records=1):
                return fetched
        except Exception as error:
            damage = _checked(error)
        await asyncio.sleep(pause_s)
    raise DriftflowError(
        f"the record at {tp.topic}/{tp.partition}@{await consumer.position(tp)} cannot be taken apart, at "
        f"{len(PAUSES_S) + 1} tries ({damage}), and none of that topic may be passed over: let a replica of the broker "
        "lead that has it whole, or restore the topic from a backup"
    ) from None


def _checked(error: Exception) -> str:
    """What is wrong with a record, in words; raises the error where it is about something else."""
    if isinstance(error, KafkaError) and not isinstance(error, CorruptRecordException | UnsupportedCodecError):
        raise error
    return in_words(error)


def in_words(error: Exception) -> str:
    """An error of a codec's library, or of a client, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
