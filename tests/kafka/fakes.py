"""A broker that answers what a test wants: an admin client, a consumer and a clock without waiting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError, UnknownMemberIdError

from stream_app.config import Config
from stream_app.kafka.topics import topic_sizes

OK, UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, NOT_CONTROLLER, ALREADY_EXISTS, POLICY = 0, 3, 5, 41, 36, 44


class Clock:
    """Stands in for the ``time`` module: sleeping is what moves it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.now_s += seconds


class NoText(str):
    """A name that is encoded as bytes which are no UTF-8."""

    def encode(self, *_: Any) -> bytes:
        """As a client of another language may send it."""
        return b"\xff\xfe"


def forever(answer: Any) -> Iterator[Any]:
    """The same answer to every question."""
    while True:
        yield answer


class Admin:
    """An admin client of a broker whose topics exist, unless it is told to answer otherwise.

    Attributes:
        topic_codes, create_codes, group_errors: the next answers, each used once: an error code for the first topic, or
            an error to raise. After the last one all is well. A class in place of an error of the group is what the
            answer holds for the member.
        missing: topics that the broker does not know; creating them works.
        asked: names of the requests that were made.
        groups: groups that were asked about.
    """

    def __init__(self, config: Config) -> None:
        self.sizes = topic_sizes(config, config.topics.partitions, config.topics.partitions)
        self.topic_codes: Iterator[Any] = iter(())
        self.create_codes: Iterator[Any] = iter(())
        self.group_errors: Iterator[BaseException | type[KafkaError]] = iter(())
        self.missing: set[str] = set()
        self.asked: list[str] = []
        self.groups: list[str] = []
        self.closed = False

    def describe_topics(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Rights on everything."""
        self.asked.append("describe")
        code = _code(next(self.topic_codes, OK))
        rows = [self._row(name, UNKNOWN_TOPIC if name in self.missing else OK) for name in names]
        return [self._row(rows[0]["name"], code), *rows[1:]] if code else rows

    def _row(self, name: str, code: int) -> dict[str, Any]:
        partitions = [{}] * self.sizes[name] if code == OK else []
        rights = ["READ", "WRITE"] if code == OK else None
        return {"name": name, "error_code": code, "partitions": partitions, "authorized_operations": rights}

    def describe_cluster(self) -> dict[str, Any]:
        """A broker that keeps rights."""
        return {"authorized_operations": ["CREATE"]}

    def create_topics(self, new: Iterable[Any], validate_only: bool, raise_errors: bool) -> dict[str, Any]:
        """Create, or answer with the next code for every topic."""
        assert not raise_errors
        self.asked.append("validate" if validate_only else "create")
        code = _code(next(self.create_codes, OK))
        names = [topic.name for topic in new]
        if code == OK and not validate_only:
            self.missing -= set(names)
        return {"topics": [{"name": name, "error_code": code, "error_message": None} for name in names]}

    def wait_for_topics(self, names: Iterable[str]) -> None:
        """They are there."""
        assert not self.missing & set(names)

    def remove_group_members(self, group: str, members: Iterable[Any]) -> dict[Any, Any]:
        """The right to join the group."""
        self.asked.append("group")
        self.groups.append(group)
        for error in self.group_errors:
            if isinstance(error, type):
                return {"driftflow-check-no-such-member": error}
            raise error
        return {"driftflow-check-no-such-member": UnknownMemberIdError}

    def close(self) -> None:
        """Once."""
        self.closed = True


def _code(answer: Any) -> int:
    if isinstance(answer, Exception):
        raise answer
    return int(answer)


class Consumer:
    """A kafka-python consumer of topics that a test makes up; every poll takes a second of the clock.

    Attributes:
        polls: records that each poll brings, by partition; after the last one nothing comes.
        ends: high watermarks that the broker tells with the fetches; None where it tells none.
        partitions: answers to the question for a topic's partitions, each used once; the last one stays.
        damaged: partitions whose next record cannot be read, and what a poll then raises.
        lost: partitions whose position is not known.
        there: whether the broker is there, answer by answer.
        closed: it was.
    """

    def __init__(self, clock: Clock, polls: Iterable[dict[TopicPartition, list[Any]]] = ()) -> None:
        self._clock, self.polls = clock, list(polls)
        self.ends: dict[TopicPartition, int | None] = {}
        self.partitions: list[Any] = [{0}]
        self.damaged: dict[TopicPartition, Exception] = {}
        self.lost: set[TopicPartition] = set()
        self.there: list[bool] = []
        self.closed = False
        self._positions: dict[TopicPartition, int] = {}
        self._known: dict[TopicPartition, int] = {}
        self.polled = 0

    def partitions_for_topic(self, topic: str) -> set[int]:
        """The next answer."""
        answer = self.partitions.pop(0) if len(self.partitions) > 1 else self.partitions[0]
        if isinstance(answer, Exception):
            raise answer
        return set(answer)

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Read these from now on; what is read already goes on."""
        self._positions = {tp: self._positions.get(tp, 0) for tp in partitions}

    def assignment(self) -> set[TopicPartition]:
        """What is read."""
        return set(self._positions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on there."""
        self._positions[partition] = offset

    def position(self, partition: TopicPartition, timeout_ms: int | None = None) -> int | None:
        """The next offset; None where the broker does not say."""
        return None if partition in self.lost else self._positions[partition]

    def beginning_offsets(self, partitions: Iterable[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        """The next answer to the question whether the broker is there; after the last one it is."""
        if self.there and not self.there.pop(0):
            self._clock.sleep(timeout_ms / 1_000)
            raise KafkaTimeoutError
        return dict.fromkeys(partitions, 0)

    def highwater(self, partition: TopicPartition) -> int | None:
        """As told with the last fetch."""
        return self._known.get(partition)

    def poll(self, timeout_ms: int, max_records: int | None = None) -> dict[TopicPartition, list[Any]]:
        """The next records."""
        self.polled += 1
        self._clock.sleep(1.0)
        for error in (error for tp, error in self.damaged.items() if tp in self._positions):
            raise error
        answer = self.polls.pop(0) if self.polls else {}
        if isinstance(answer, BaseException):
            raise answer
        self._known |= {tp: end for tp, end in self.ends.items() if tp in self._positions and end is not None}
        for tp, records in answer.items():
            self._positions[tp] = records[-1].offset + 1
        return answer

    def close(self) -> None:
        """Let go."""
        self.closed = True
