"""The trainer's loop over the signals topic: believes, answers, and commits request by request."""

from __future__ import annotations

import contextlib
import heapq
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from kafka import KafkaConsumer
from kafka import TopicPartition as Partition
from kafka.errors import AuthorizationError, KafkaError
from kafka.structs import OffsetAndMetadata

from schemas.intake import Refusal
from schemas.records import ModelNotice, RetrainRequest, ServiceChange, record_id
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.isolation import reading
from stream_app.kafka.stepping import Place, poll_past
from stream_app.kafka.types import ClientSettings, ConsumerRecord
from stream_app.models.keys import Trust, signing_key
from stream_app.models.registry import Registry
from stream_app.monitor.meter import Meter
from stream_app.terminal import Seldom
from stream_app.trainer.answering import Answering
from stream_app.trainer.canaries.gathering import Gathering
from stream_app.trainer.data.spans import fold_secret
from stream_app.trainer.delivery import Delivery
from stream_app.trainer.requests.believing import Asked, believed
from stream_app.trainer.requests.saying import Saying
from stream_app.trainer.stopping import Stopped, Stopping, persistently

STRANGERS_MAX = 100
"""Requests of keys that are not trusted are kept, the latest of them, in case their keys are trusted later."""

WAITING_MAX = 1_000
"""Requests that wait while a candidate is in the shadow; of more the partition is not read on meanwhile."""

_POLL_MS = 300
_SHADOW_MS, _BUSY_MS = 200, 20
_COMMIT_MS = 10_000
_CLOSE_MS = 2_000

Taken = tuple[ConsumerRecord, Asked | ServiceChange | Refusal | None]
"""A record and what it is to the trainer."""


class Trainer:
    """One trainer for a stream.

    Args:
        config: the stream, with the number of partials partitions that it really has.
        client: kafka-python connection settings.
        tell: takes a line for the person who watches.

    Attributes:
        refused: messages that went to the dead letters, by reason.
        meter: counts what was decided, and measures trainings.
        listening: whether it reads requests, or answers one.

    Raises:
        DriftflowError: a key or the registry is damaged, or the broker does not answer.
    """

    def __init__(self, config: Config, client: ClientSettings, tell: Callable[[str], None]) -> None:
        self._config, self._client, self._tell = config, client, tell
        self.meter, self.listening = Meter(), False
        self._stopping, self._trust = Stopping(), Trust.of_requests(config)
        key = signing_key(config)
        fold_secret(config, key)  # a file that cannot be read is told now, not after minutes of work
        self._delivery = Delivery(config, client, key, self._stopping, tell)
        self._answering = Answering(config, client, key, self._delivery, self._stopping, tell, self.meter)
        self._saying, self._canaries = Saying(config, client, tell), Gathering(config, client, self._stopping, tell)
        self._waiting: dict[tuple[str, int, int], Asked] = {}
        """Requests that came while a candidate was in the shadow, by topic, partition and offset, oldest first."""
        self._held: set[Any] = set()
        """Partitions that are not read on."""
        self._seen: dict[tuple[str, int], int] = {}
        """Up to which offset each partition was taken."""
        self.refused: Counter[str] = Counter()
        self._say_refused = Seldom(tell)
        self._trusted = self._trust.keys()
        self._strangers: deque[ConsumerRecord] = deque(maxlen=STRANGERS_MAX)
        """What no trusted key had signed when it came."""
        self._delivery.catch_up()

    def stop(self) -> None:
        """Give up what is in hand, as soon as it can be, and return from :meth:`run`. May be called from any thread."""
        self._stopping.set()
        with contextlib.suppress(DriftflowError):  # the attempt counts then: better than a stop that fails
            self._answering.release()

    def silent_s(self) -> float:
        """Seconds since its loop, or the training in hand, has come round. May be called from any thread."""
        return time.monotonic() - self._stopping.asked_s

    def close(self) -> None:
        """Let the connections go."""
        self._answering.candidates.close()
        self._saying.close()
        self._delivery.close()

    def handle(self, asked: Asked) -> ModelNotice | None:
        """Answer a request, or make a candidate for it; what was decided, None where it is not kept here."""
        return self._answering.answer(asked)

    def change(self, change: ServiceChange) -> None:
        """Take in that another model is in service by now; what comes twice counts once."""
        self._answering.change(change)

    def go_on(self, timeout_ms: int = _SHADOW_MS) -> bool:
        """Take in what people say, and compare the candidate on live events for a moment; whether it is in the shadow
        still.
        """
        self._listen()
        return self._answering.candidates.go_on(timeout_ms)

    def _listen(self) -> None:
        for action in self._saying.poll():
            self._answering.act(action)
            self._canaries.hear(action)
        self._canaries.gather()

    def has_compared(self, ends: Mapping[int, int]) -> bool:
        """Whether the candidate was compared on every event below an offset of each source partition."""
        candidate = self._answering.candidates.current
        return candidate is None or all(candidate.offsets.get(p, 0) >= end for p, end in ends.items())

    def candidates(self) -> dict[str, float]:
        """How many models are in the shadow, and how many wait for a person. May be called from any thread."""
        candidate = self._answering.candidates.current
        waits = candidate is not None and candidate.phase == "waiting"
        return {"shadow": float(candidate is not None and not waits), "waiting": float(waits)}

    @property
    def is_busy(self) -> bool:
        """Whether a candidate is in the shadow: requests wait for its end."""
        return self._answering.candidates.is_busy

    def bootstrap(self, request: RetrainRequest) -> ModelNotice | None:
        """Answer a request that was made on this machine; where the same one was refused before, or its model cannot be
        used any more or is lost, it is asked anew.
        """
        self._answering.finish_earlier()  # an older model must not be promoted after this one
        registry = Registry(self._config)
        while self._is_in_vain(registry, request.id):
            request = msgspec.structs.replace(request, id=record_id("again", request.id))
        return self._answering.answer(Asked(request, f"/driftflow/{self._config.stream}/trainer"), local=True)

    def _is_in_vain(self, registry: Registry, request_id: str) -> bool:
        """Whether a bootstrap has been answered, and by no model that can be loaded here."""
        earlier = registry.answer_to(request_id)
        if earlier is None:
            return self._delivery.is_told(request_id)
        model_id = registry.in_service() if earlier.status == "covered" else earlier.model_id
        return not registry.is_usable(model_id)

    def run(self) -> None:
        """Answer requests until stopped.

        Raises:
            DriftflowError: something here needs mending; nothing is committed of the request in hand.
            KafkaError: the broker refuses.
        """
        consumer = KafkaConsumer(
            self._config.topics.signals,
            **self._client,
            **reading(self._config.kafka),
            group_id=f"{self._config.kafka.group}-trainer",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_poll_records=50,
            session_timeout_ms=max(int(self._config.kafka.session_timeout), 6_000),
            max_poll_interval_ms=3_600_000,
        )
        try:
            self._answering.finish_earlier()
            self.listening = True
            while True:
                self._stopping.check()
                self._round(consumer)
        except Stopped:
            pass
        finally:
            consumer.close(timeout_ms=_CLOSE_MS)

    def _round(self, consumer: Any) -> None:
        done: dict[Any, int] = {}
        fetched = persistently(lambda: self._poll(consumer, done), "fetching", self._stopping, self._tell)
        self._listen()  # what was said by now counts for what is trained now
        self._answer_strangers()
        for record, taken in self.in_turn(fetched):
            if isinstance(taken, Asked):
                self._commit(consumer, done)  # what came before it is not taken again, however this one ends
                self._answer_in_turn(record, taken)
            elif isinstance(taken, ServiceChange):
                self.change(taken)
            elif taken is not None:
                self._refuse(record.topic, record.partition, record.offset, taken, record.value)
                self._strangers += [record] if taken.reason == "untrusted_key" else []
            done[Partition(record.topic, record.partition)] = record.offset + 1
            if isinstance(taken, Asked):
                self._commit(consumer, done)
        self._commit(consumer, done)
        if not self.go_on():
            self._answer_waiting(consumer)
        self._hold(consumer)

    def _answer_in_turn(self, record: ConsumerRecord, asked: Asked) -> None:
        """Answer a request, or let it wait for the end of the shadow; what nobody has judged is known at once."""
        if self.is_busy:
            self._answering.candidates.remember(asked.request.unjudged)
            self._waiting[record.topic, record.partition, record.offset] = asked
        else:
            self._answering.answer(asked)

    def _answer_waiting(self, consumer: Any) -> None:
        """Answer what has waited, oldest first, until one of them has a candidate that is compared."""
        while self._waiting and not self.is_busy:
            place, asked = next(iter(self._waiting.items()))
            self._answering.answer(asked)
            del self._waiting[place]
            topic, partition, offset = place
            self._commit(consumer, {Partition(topic, partition): offset + 1})

    def _hold(self, consumer: Any) -> None:
        """Read no more of the partitions of requests that wait where those are many."""
        full = {Partition(*place[:2]) for place in self._waiting} if len(self._waiting) >= WAITING_MAX else set()
        if full != self._held:
            consumer.resume(*(self._held - full))
            consumer.pause(*full)
            self._held = full

    def _answer_strangers(self) -> None:
        """Where the trusted keys have changed, answer what was refused for want of the key that had signed it."""
        trusted, before = self._trust.keys(), self._trusted
        if trusted is before or not self._strangers:
            self._trusted = trusted
            return
        again = {str(i): [record] for i, record in enumerate(self._strangers)}
        for record, taken in list(self.in_turn(again)):
            if isinstance(taken, ServiceChange):
                self._answering.change(taken)
            elif isinstance(taken, Asked):
                self._tell(f"request {taken.request.id[:8]} is trusted now")
                self._answer_in_turn(record, taken)
            else:
                continue
            self._strangers.remove(record)
        self._trusted = trusted

    def _poll(self, consumer: Any, done: dict[Any, int]) -> dict[Any, list[ConsumerRecord]]:
        def skip(place: Place) -> None:
            tp, offset, why = place
            self._refuse(tp.topic, tp.partition, offset, Refusal("undecodable", "", why), None)
            done[tp] = offset + 1

        fetched: dict[Any, list[ConsumerRecord]] = poll_past(
            lambda: consumer.poll(timeout_ms=self._pause_ms), consumer, self._client, skip
        )
        return fetched

    @property
    def _pause_ms(self) -> int:
        """How long to wait for requests: a shadow has events to read meanwhile."""
        return _BUSY_MS if self.is_busy else _POLL_MS

    def in_turn(self, fetched: Mapping[Any, list[ConsumerRecord]]) -> Iterator[Taken]:
        """Records in the order of each partition; of the next ones of all partitions, the request of the earliest pane
        comes last but those of later panes.
        """
        trusted = self._trust.keys()
        taken = [
            [(record, believed(self._config, trusted, record)) for record in records]
            for _, records in sorted(fetched.items())
        ]
        return heapq.merge(*taken, key=_when)

    def _refuse(self, topic: str, partition: int, offset: int, refusal: Refusal, value: bytes | None) -> None:
        self.refused[refusal.reason] += 1
        where = f"{topic}/{partition}@{offset}"
        self._say_refused(f"{where} is no request and goes to the dead letters ({refusal.reason}): {refusal.detail}")
        self._delivery.bury(topic, partition, offset, refusal, value)

    def _before_waiting(self, tp: Any, offset: int) -> int:
        """How far a partition is done with: up to the first request that waits."""
        self._seen[tp[:2]] = max(self._seen.get(tp[:2], 0), offset)
        return min([self._seen[tp[:2]], *(place[2] for place in self._waiting if place[:2] == tp[:2])])

    def _commit(self, consumer: Any, done: dict[Any, int]) -> None:
        """Commit and forget; a commit that comes too late for the group is none: what it was of is read again, and is
        answered already.
        """
        offsets = {tp: OffsetAndMetadata(self._before_waiting(tp, offset)) for tp, offset in done.items()}
        done.clear()
        if not offsets:
            return
        try:
            persistently(
                lambda: consumer.commit(offsets, timeout_ms=_COMMIT_MS), "committing", self._stopping, self._tell
            )
        except AuthorizationError:
            raise
        except KafkaError as error:
            self._tell(f"the broker has given the partitions anew, they are read again: {error}")


def _when(taken: Taken) -> tuple[int, str]:
    asked = taken[1]
    return (asked.request.requested_pane_ms, asked.request.id) if isinstance(asked, Asked) else (-1, "")
