"""Sends events again that were refused and that the present configuration can read: to the partition that they came on,
with their key and headers, and one header that says which dead letter they are of.

None counts twice. Where events have an id SCORE drops a second one as a duplicate, or as late once its pane is closed.
Where they have none, what was sent again before is found by its header, from the refused record to the end of its
partition, and is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from schemas.intake import header_map
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import reading
from stream_app.kafka.preflight import preflight, require
from stream_app.kafka.reading import read_to_end, reader
from stream_app.kafka.retrying import told
from stream_app.kafka.types import Consumer, TopicPartition
from stream_app.operators.letters.originals import Gone, Original, originals
from stream_app.operators.letters.present import Present
from stream_app.operators.letters.reading import Found, Wanted, read_letters

REPLAY_OF = "driftflow_replay_of"
"""Header of an event that was sent again: the id of its dead letter."""

_FLUSH_S = 60.0
_BATCH = 2_000
_MESSAGE_BYTES_MAX = 8 * 1024 * 1024
_REASONS_MAX = 3


@dataclass(slots=True)
class Plan:
    """What a replay would do, or has done.

    Attributes:
        letters: how many dead letters are meant.
        left: dead letters that are meant and are for another call: more than ``--limit``.
        others: those about other topics, by topic: they are not sent again.
        fates: of the events that can be read now, ``on time``, ``late``, ``duplicate``, ``held``.
        refused: those that would be refused again, by reason.
        gone: those whose message nobody has any more, by place; some reasons.
        before: those that were sent again before.
        sent: how many were sent by this call.
    """

    letters: int = 0
    left: int = 0
    others: Counter[str] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    gone: int = 0
    why_gone: list[str] = field(default_factory=list)
    before: int = 0
    sent: int = 0

    @property
    def events(self) -> int:
        """How many are sent, or would be."""
        return self.fates.total()


_Ready = tuple[Found, Original]


def replay(config: Config, wanted: Wanted, limit: int, really: bool) -> Plan:
    """Send again what can be read now, the oldest letters first; or say what would come of it.

    Args:
        config: the stream, as it is now.
        wanted: which dead letters are meant.
        limit: how many at most.
        really: send them.

    Raises:
        DriftflowError: the broker does not answer, or did not take an event: those before it were sent.
    """
    if really:
        require(preflight(config, "produce"))
    letters = read_letters(config, wanted, limit, newest=False)
    plan = Plan(letters=len(letters.found), left=letters.left_out)
    ours = [found for found in letters.found if found.letter.topic == config.topics.events]
    plan.others = Counter(found.letter.topic for found in letters.found if found.letter.topic != config.topics.events)
    client = client_settings(config.kafka, config.root)
    present = Present(config)
    with reader(client | reading(config.kafka), config.topics.events) as (consumer, partitions):
        places = {tp.partition: tp for tp in partitions}
        for number, group in groupby(sorted(ours, key=_place), key=lambda found: found.letter.partition):
            found = list(group)
            if number not in places:
                plan.gone += len(found)
                plan.why_gone.append(f"{config.topics.events} has no partition {number} any more")
                continue
            ready = list(_readable(config, consumer, places[number], found, present, plan))
            if ready:
                values = [original.value for _, original in ready]
                verdicts = present.in_time(consumer, places[number], values, letters.refused[number])
                plan.fates += Counter(verdict.fate for verdict in verdicts)
            if really and ready:
                _send(config, number, ready, plan)
    return plan


def _place(found: Found) -> tuple[int, int]:
    return found.letter.partition, found.letter.offset


def _readable(
    config: Config, consumer: Consumer, tp: TopicPartition, found: Sequence[Found], present: Present, plan: Plan
) -> Iterator[_Ready]:
    """Those that can be read now and were not sent before."""
    before = set() if config.event.id_field else _sent_before(consumer, tp, found[0].letter.offset)
    new = [one for one in found if one.letter.id not in before]
    plan.before += len(found) - len(new)
    there = originals(config, consumer, tp, [one.letter for one in new])
    for one, original in zip(new, there, strict=True):
        if isinstance(original, Gone):
            plan.gone += 1
            plan.why_gone += [original.why] if len(plan.why_gone) < _REASONS_MAX else []
            continue
        (verdict,) = present.read(tp.topic, tp.partition, [original.value])
        if verdict.fate == "refused":
            plan.refused[verdict.reason] += 1
        else:
            yield one, original


def _sent_before(consumer: Consumer, tp: TopicPartition, offset: int) -> set[str]:
    """Ids of the dead letters whose events were sent again, behind an offset."""
    consumer.assign([tp])
    consumer.seek(tp, offset)
    ids = (header_map(record.headers).get(REPLAY_OF) for record in read_to_end(consumer) if record.headers)
    return {letter_id.decode("utf-8", "replace") for letter_id in ids if letter_id is not None}


def _send(config: Config, partition: int, ready: Sequence[_Ready], plan: Plan) -> None:
    topic = config.topics.events
    try:
        producer = KafkaProducer(
            **client_settings(config.kafka, config.root), acks="all", max_request_size=_MESSAGE_BYTES_MAX
        )
        try:
            for start in range(0, len(ready), _BATCH):
                batch = ready[start : start + _BATCH]
                pending = [_hand(producer, topic, partition, one, original) for one, original in batch]
                for sent in pending:
                    sent.get(timeout=_FLUSH_S)
                    plan.sent += 1
        finally:
            producer.close(timeout=5)
    except KafkaError as error:
        raise DriftflowError(
            f"topic {topic} cannot be written: {told(error)}; {plan.sent:,} events were sent before: give the command "
            "again once the broker answers, none of them counts twice"
        ) from error


def _hand(producer: Any, topic: str, partition: int, one: Found, original: Original) -> Any:
    headers = [(name, value) for name, value in original.headers if name != REPLAY_OF]
    headers.append((REPLAY_OF, one.letter.id.encode()))
    return producer.send(topic, key=original.key, value=original.value, partition=partition, headers=headers)
