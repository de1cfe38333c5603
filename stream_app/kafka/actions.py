"""What people have said: the actions topic, to which each command adds one message, and what stands on it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError

from schemas.codecs import Envelope, WireMessage, encode_event
from schemas.incidents import Action
from schemas.intake import RawHeaders, Refusal, take_in
from schemas.records import record_id
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import reading
from stream_app.kafka.probes import require_reachable
from stream_app.kafka.reading import read_to_end, reader
from stream_app.kafka.retrying import told

log = logging.getLogger(__name__)

SENT_S = 30.0
"""How long a broker may take to acknowledge an action."""
PARTITION = 0
"""The topic has one, so that what people say has one order."""

IsTrusted = Callable[[Action, bytes, RawHeaders], bool]
"""Whether an action is signed by a key that is trusted here."""


def new_action(stream: str, verb: str, by: str, at_ms: int | None = None, **fields: Any) -> Action:
    """What a person says, with an id of its own.

    Args:
        stream, verb, by: as in :class:`schemas.incidents.Action`.
        at_ms: when; None is now.
        fields: the others that the verb has.
    """
    at_ms = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    unnamed = Action(id="", stream=stream, verb=verb, by=by, at_ms=at_ms, **fields)
    return msgspec.structs.replace(unnamed, id=record_id("action", unnamed))


def action_message(action: Action) -> WireMessage:
    """An action as a CloudEvent, not signed yet.

    Raises:
        DriftflowError: a field is out of its bounds, so that nobody would take it in.
    """
    source = f"/driftflow/{action.stream}/operator"
    message = encode_event(Envelope(action, action.id, source, action.at_ms, action.incident_id))
    fault = take_in("actions", action.stream, message.value, message.headers)
    if isinstance(fault, Refusal):
        raise DriftflowError(f"this cannot be sent, {fault.detail}: say it shorter")
    return message


def send_action(config: Config, message: WireMessage) -> None:
    """Put a signed action on its topic; the broker has it when this returns.

    Raises:
        DriftflowError: there is no such topic, or the broker does not take it.
    """
    topic, client = config.topics.actions, client_settings(config.kafka, config.root)
    require_reachable(config.kafka)
    with reader(client, topic) as (_, partitions):  # a producer would wait for a topic that is not there
        if not partitions:
            raise _no_topic(topic)
    try:
        producer = KafkaProducer(**client, acks="all", max_block_ms=int(SENT_S * 1_000))
        try:
            pending = producer.send(topic, value=message.value, headers=list(message.headers), partition=PARTITION)
            pending.get(timeout=SENT_S)
        finally:
            producer.close(timeout=1)
    except KafkaError as error:
        raise DriftflowError(
            f"topic {topic} cannot be written: {told(error)}; check kafka.bootstrap and the broker"
        ) from error


def read_actions(config: Config, is_trusted: IsTrusted) -> list[Action]:
    """Every action on the topic, in order, that a trusted key has signed; the others are noted in the log.

    Raises:
        DriftflowError: there is no such topic, the broker does not answer, or a record cannot be read.
    """
    topic = config.topics.actions
    client = client_settings(config.kafka, config.root) | reading(config.kafka)
    actions: dict[str, Action] = {}
    with reader(client, topic) as (consumer, partitions):
        if not partitions:
            raise _no_topic(topic)
        consumer.assign(partitions)
        for message in read_to_end(consumer):
            action = take_in("actions", config.stream, message.value, message.headers)
            if isinstance(action, Action) and is_trusted(action, message.value or b"", message.headers):
                actions.setdefault(action.id, action)
            else:
                why = action.detail if isinstance(action, Refusal) else "it is not signed by a key trusted here"
                log.warning("%s/%s@%s is passed over: %s", topic, message.partition, message.offset, why)
    return list(actions.values())


def silences(actions: Iterable[Action]) -> list[Action]:
    """The silences that nobody has taken back, in order."""
    said = {}
    for action in actions:
        if action.verb == "silence":
            said[action.id] = action
        elif action.verb == "unsilence":
            said.pop(action.incident_id, None)
    return list(said.values())


def _no_topic(topic: str) -> DriftflowError:
    return DriftflowError(f"topic {topic} does not exist: start `driftflow worker` once, it creates the topics")
