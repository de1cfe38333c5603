"""What people say, from the actions topic: the trainer acts on what they say of models (approve, reject, and which is
the anchor), and writes down all of it.

It is read from its beginning at every start, outside any group: what was acted on before is known by what followed from
it. Messages that cannot be used go to the dead letters of the worker that reads the topic too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaConsumer
from kafka import TopicPartition as Partition
from kafka.errors import KafkaError

from schemas.incidents import Action
from schemas.intake import header_map, take_in
from stream_app.config import Config
from stream_app.kafka.actions import PARTITION
from stream_app.kafka.isolation import reading
from stream_app.kafka.stepping import Place, poll_past
from stream_app.kafka.types import ClientSettings, ConsumerRecord
from stream_app.models.keys import Trust
from stream_app.models.signing import signature_fault

_LOOK_S = 30.0


class Saying:
    """Reads the actions topic.

    Args:
        config: the stream.
        client: kafka-python connection settings.
        say: takes a line for the person who watches.
    """

    def __init__(self, config: Config, client: ClientSettings, say: Callable[[str], None]) -> None:
        self._config, self._client, self._say = config, client, say
        self._trust = Trust.of_actions(config)
        self._consumer: Any = None
        self._looked_s = -_LOOK_S

    def poll(self) -> list[Action]:
        """What has come for the trainer since the last time; nothing where there is no such topic yet, or the broker
        does not answer now.
        """
        try:
            consumer = self._consumer or self._open()
            if consumer is None:
                return []
            fetched = poll_past(lambda: consumer.poll(timeout_ms=0), consumer, self._client, self._skip)
        except KafkaError as error:
            if not error.retriable:
                raise
            return []
        actions = (self._action(record) for records in fetched.values() for record in records)
        return [action for action in actions if action is not None]

    def close(self) -> None:
        """Let the connection go."""
        if self._consumer is not None:
            self._consumer.close(timeout_ms=1_000)

    def _open(self) -> Any:
        """A consumer at the beginning of the topic; None where there is no topic, which is not asked all the time."""
        if time.monotonic() - self._looked_s < _LOOK_S:
            return None
        self._looked_s = time.monotonic()
        consumer = KafkaConsumer(
            **self._client, **reading(self._config.kafka), enable_auto_commit=False, auto_offset_reset="earliest"
        )
        place = Partition(self._config.topics.actions, PARTITION)
        try:
            is_there = bool(consumer.partitions_for_topic(place.topic))
        except KafkaError:
            consumer.close(timeout_ms=1_000)
            raise
        if not is_there:
            consumer.close(timeout_ms=1_000)
            return None
        consumer.assign([place])
        consumer.seek(place, 0)
        self._consumer = consumer
        return consumer

    def _action(self, record: ConsumerRecord) -> Action | None:
        action = take_in("actions", self._config.stream, record.value, record.headers)
        if not isinstance(action, Action) or record.value is None:
            return None
        trusted = self._trust.steady_keys(self._say)
        fault = signature_fault(record.value, record.headers, trusted)
        source = header_map(record.headers).get("ce_source", b"").decode("utf-8", "replace")
        operator = f"/driftflow/{self._config.stream}/operator"
        if fault is None and (source == operator or source.startswith(f"{operator}/")):
            return action
        why = fault.detail if fault else f"it says it is from {source[:200] or 'nobody'}, and only {operator} may act"
        self._say(f"{record.topic}/{record.partition}@{record.offset} is passed over: {why}")
        return None

    def _skip(self, place: Place) -> None:
        (topic, number), offset, why = place
        self._say(f"{topic}/{number}@{offset} is passed over: {why}")
