"""The dead letters of a stream, read from their topic, and which of them are meant."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from schemas.intake import take_in
from schemas.records import DeadLetter
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import reading
from stream_app.kafka.probes import require_reachable
from stream_app.kafka.reading import read_to_end, reader
from stream_app.kafka.types import ConsumerRecord

TAIL = 1_000
"""Records at the end of a partition that say how far it is: its clock is a median of a few."""


class Found(msgspec.Struct, frozen=True):
    """A dead letter, and when it was written, in milliseconds since the epoch (−1 where the broker does not say)."""

    letter: DeadLetter
    at_ms: int

    @property
    def place(self) -> str:
        """Of the message that it is about."""
        return f"{self.letter.topic}/{self.letter.partition}@{self.letter.offset}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters are meant; what is None or empty is no condition.

    Attributes:
        topic: of the refused message, by its name or by what ``[topics]`` calls it.
        partition: of the refused message.
        reason: the code.
        from_ms, to_ms: when the letter was written, half-open.
        first, last: offsets of the refused message, both included.
        name: the first characters of an id, or a place, ``topic/partition@offset``.
    """

    topic: str = ""
    partition: int | None = None
    reason: str = ""
    from_ms: int | None = None
    to_ms: int | None = None
    first: int | None = None
    last: int | None = None
    name: str = ""

    def takes(self, config: Config, found: Found) -> bool:
        """Whether a letter is meant."""
        letter = found.letter
        topic = getattr(config.topics, self.topic, self.topic) if self.topic in TOPICS else self.topic
        return (
            letter.topic == (topic or letter.topic)
            and self.partition in (None, letter.partition)
            and letter.reason == (self.reason or letter.reason)
            and _within(letter.offset, self.first, None if self.last is None else self.last + 1)
            and _within(found.at_ms, self.from_ms, self.to_ms)
            and (not self.name or letter.id.startswith(self.name.lower()) or found.place == self.name)
        )


TOPICS = ("events", "partials", "evidence", "signals", "actions", "models")
"""What ``[topics]`` calls those that dead letters are of."""


def _within(value: int, first: int | None, end: int | None) -> bool:
    return (first is None or value >= first) and (end is None or value < end)


@dataclass(slots=True)
class Letters:
    """Those dead letters that are meant.

    Attributes:
        found: the first or the last ones, as many as were asked for, in the order of their topic.
        counts: all of them, by (topic, reason).
        strange: messages on the topic that are no dead letters of this stream.
        refused: of each source partition, offsets of the last events that were refused, whether they are meant or not.
    """

    found: list[Found] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    strange: int = 0
    refused: dict[int, deque[int]] = field(default_factory=dict)

    @property
    def left_out(self) -> int:
        """How many are meant and not among the ``found``."""
        return self.counts.total() - len(self.found)


def read_letters(config: Config, wanted: Wanted, limit: int, newest: bool) -> Letters:
    """Read the dead letters, each once: whoever starts again after a crash may have sent some twice.

    Args:
        config: the stream.
        wanted: which are meant.
        limit: how many are kept at most.
        newest: keep the last ones, else the first.

    Raises:
        DriftflowError: there is no such topic, the broker does not answer, or a record cannot be read.
    """
    letters, seen = Letters(), set[int]()
    for record in _records(config):
        letter = take_in("dead_letters", config.stream, record.value, record.headers)
        if not isinstance(letter, DeadLetter):
            letters.strange += 1
            continue
        if letter.topic == config.topics.events:
            letters.refused.setdefault(letter.partition, deque(maxlen=TAIL)).append(letter.offset)
        found = Found(letter, record.timestamp if record.timestamp is not None else -1)
        if hash(letter.id) in seen or not wanted.takes(config, found):
            continue
        seen.add(hash(letter.id))
        letters.counts[letter.topic, letter.reason] += 1
        if newest or len(letters.found) < limit:
            letters.found.append(found)
        if len(letters.found) > 2 * limit:
            del letters.found[:-limit]
    del letters.found[:-limit]
    return letters


def one_letter(config: Config, name: str) -> tuple[Found, Letters]:
    """The dead letter with a name, the first characters of its id or a place; and what else is known of all.

    Raises:
        DriftflowError: it is none or several of them.
    """
    letters = read_letters(config, Wanted(name=name), 11, newest=True)
    found = letters.found
    if len(found) == 1:
        return found[0], letters
    remedy = "`driftflow dead-letters list` shows ids and places"
    if not found:
        raise DriftflowError(f"no dead letter has an id that begins with {name!r}, or is about that place: {remedy}")
    lines = [f"  {one.letter.id}  {one.letter.reason} {one.place}" for one in found[:10]]
    head = f"several dead letters are meant by {name!r}: type more of the id"
    raise DriftflowError("\n".join([head, *lines, *(["  and more"] if len(found) > 10 else [])]))


def _records(config: Config) -> Iterator[ConsumerRecord]:
    topic = config.topics.dead_letters
    client = client_settings(config.kafka, config.root) | reading(config.kafka)
    require_reachable(config.kafka)
    with reader(client, topic) as (consumer, partitions):
        if not partitions:
            raise DriftflowError(f"topic {topic} does not exist: start `driftflow worker` once, it creates the topics")
        consumer.assign(partitions)
        yield from read_to_end(consumer)
