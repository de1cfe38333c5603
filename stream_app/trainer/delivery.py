"""Puts answers on their topics, each once, and dead letters on theirs, however long the broker is away."""

from __future__ import annotations

from collections.abc import Callable

from kafka.errors import KafkaTimeoutError

from flowlib import artifact
from flowlib.artifact import Ed25519PrivateKey
from schemas.intake import Refusal, Topic, take_in
from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.isolation import reading
from stream_app.kafka.reading import read_to_end, reader
from stream_app.kafka.signal_schemas import signal_frames
from stream_app.kafka.stepping import Place, poll_past
from stream_app.kafka.types import ClientSettings, Consumer, ConsumerRecord, Fetched
from stream_app.models.keys import Trust
from stream_app.models.registry import FINAL
from stream_app.models.signing import signature_fault
from stream_app.stages.dead_letters import dead_letter
from stream_app.stages.partitioning import trainer_signals
from stream_app.trainer.publishing import SENT_S, make_producer, publish, tell
from stream_app.trainer.stopping import Stopped, Stopping, persistently

_POLL_MS = 300


class Delivery:
    """What stands on the topics that the trainer writes to, and the producer that adds to them.

    Args:
        config: the stream, with the number of partials partitions that it really has.
        client: kafka-python connection settings.
        key: the trainer's, which signs; notices signed with it, or with another key that agents trust, count as sent.
        stopping: ends the waiting for the broker.
        say: takes a line for the person who watches.

    Attributes:
        highest: largest number of a notice that was found.
    """

    def __init__(
        self,
        config: Config,
        client: ClientSettings,
        key: Ed25519PrivateKey,
        stopping: Stopping,
        say: Callable[[str], None],
    ) -> None:
        self._config, self._client, self._key = config, client, key
        self._stopping, self._say = stopping, say
        public = key.public_key()
        self._genuine = {**Trust.of_models(config).keys(), artifact.key_id(public): public}
        self._frames = signal_frames(config)
        self._producer = make_producer(client)
        self._next: dict[str, int] = {}
        self._published: set[int] = set()
        self._told: set[str] = set()
        self._told_numbers: set[int] = set()
        self.highest = 0

    def catch_up(self) -> None:
        """Take in what has come since the last time; what is not signed, whoever wrote it, is passed over.

        Raises:
            DriftflowError: the broker does not answer.
        """
        topics = self._config.topics
        self._read("models", topics.models, 0, lambda notice: self._published.add(notice.sequence))
        own = trainer_signals(topics.partitions)
        self._read("signals", topics.signals, own, self._tells)

    def is_told(self, request_id: str) -> bool:
        """Whether a request has its answer on the signals topic."""
        return request_id in self._told

    def deliver(self, notice: ModelNotice) -> None:
        """Put a notice on its topics where it is not there yet. That an earlier model covers a request is news for the
        signals topic only.

        Args:
            notice: with its number, and with the bytes of a promoted model.

        Raises:
            KafkaError: the broker will never take it.
            Stopped: told to.
        """
        if notice.status != "covered":
            self._once(
                lambda: publish(self._producer, self._config, notice, self._key),
                lambda: notice.sequence in self._published,
            )
            self._published.add(notice.sequence)
        said = (self._producer, self._config, notice, self._key, self._frames)
        self._once(lambda: tell(*said), lambda: self._is_there(notice))
        self._tells(notice)

    def bury(self, topic: str, partition: int, offset: int, refusal: Refusal, value: bytes | None) -> None:
        """Put a message that cannot be used on the dead-letter topic; raises what :meth:`deliver` raises."""
        letter = dead_letter(self._config, topic, partition, offset, refusal, value)

        def send() -> None:
            self._producer.send(
                self._config.topics.dead_letters, value=letter.value, headers=list(letter.headers), partition=0
            ).get(timeout=SENT_S)

        persistently(send, "a dead letter", self._stopping, self._say)

    def close(self) -> None:
        """Let the connection go."""
        self._producer.close(timeout=1)

    def _tells(self, notice: ModelNotice) -> None:
        self._told_numbers.add(notice.sequence)
        if notice.status in FINAL:
            self._told.add(notice.request_id)

    def _is_there(self, notice: ModelNotice) -> bool:
        """Whether the signals topic has a notice, or the answer to its request, where it is one."""
        return self.is_told(notice.request_id) if notice.status in FINAL else notice.sequence in self._told_numbers

    def _once(self, send: Callable[[], None], is_there: Callable[[], bool]) -> None:
        """Send; where the acknowledgement did not come, look whether it is there before sending it again."""
        sent = False

        def attempt() -> None:
            nonlocal sent
            if sent:
                self._renew()
            if not is_there():
                sent = True
                send()

        persistently(attempt, "an answer", self._stopping, self._say)

    def _renew(self) -> None:
        """A producer that holds nothing back, and what has reached the topics."""
        self._producer.close(timeout=1)
        self._producer = make_producer(self._client)
        try:
            self.catch_up()
        except Stopped:
            raise
        except DriftflowError as error:
            raise KafkaTimeoutError(str(error)) from error

    def _read(self, kind: Topic, topic: str, number: int, take: Callable[[ModelNotice], None]) -> None:
        with reader(self._client | reading(self._config.kafka), topic) as (consumer, partitions):
            places = [place for place in partitions if place.partition == number]
            consumer.assign(places)
            for place in places:
                consumer.seek(place, self._next.get(topic, 0))
            for record in read_to_end(consumer, self._ask) if places else ():
                self._next[topic] = record.offset + 1
                notice = self._genuine_notice(kind, record)
                if notice is not None:
                    self.highest = max(self.highest, notice.sequence)
                    take(notice)

    def _ask(self, consumer: Consumer) -> Fetched:
        """The next records; what cannot be taken apart is no notice of ours."""

        def skip(place: Place) -> None:
            (topic, number), offset, why = place
            self._say(f"{topic}/{number}@{offset} is passed over: {why}")

        self._stopping.check()
        return poll_past(lambda: consumer.poll(timeout_ms=_POLL_MS), consumer, self._client, skip)

    def _genuine_notice(self, kind: Topic, record: ConsumerRecord) -> ModelNotice | None:
        notice = take_in(kind, self._config.stream, record.value, record.headers)
        if not isinstance(notice, ModelNotice) or record.value is None:
            return None
        return None if signature_fault(record.value, record.headers, self._genuine) else notice
