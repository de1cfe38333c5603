"""What has been refused of a topic that is read from its beginning at every start: without a note of it, the same would
be said again for ever.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Literal

import msgspec

from schemas.intake import Refusal
from stream_app.config import Config
from stream_app.disk import write_durably
from stream_app.kafka.types import ConsumerRecord
from stream_app.stages.dead_letters import dead_letter
from stream_app.stages.outputs import Outgoing
from stream_app.terminal import Seldom

log = logging.getLogger(__name__)

_DECODER = msgspec.json.Decoder(dict[int, int])


class Reports:
    """The refusals of one worker, each with a line and a dead letter unless a worker of this state folder has reported
    it before.

    Args:
        config: the stream.
        topic: which of its topics.
        what: what a message there should be, and ``so``: what follows from one that is not, for the log.

    Attributes:
        count: messages of the topic that were refused, reported before or not.
    """

    def __init__(self, config: Config, topic: Literal["models", "actions"], what: str, so: str) -> None:
        self._config, self._what, self._so, self.count = config, what, so, 0
        self._topic: str = getattr(config.topics, topic)
        self._path = config.path(config.state.dir) / f"{topic}-reported.json"
        self._until = self._read()
        self._seldom = Seldom(log.error)
        self._before: Counter[str] = Counter()

    def begin(self) -> None:
        """The topic is read from its beginning."""
        self.count = 0
        self._before.clear()

    def ends_at(self, partition: int, end: int | None) -> None:
        """The log of a partition ends there. Where more of it was reported it is another log, made since."""
        if end is not None and self._until.get(partition, 0) > end:
            del self._until[partition]

    def forget(self) -> None:
        """The topic was made anew: nothing of it has been reported."""
        self._until.clear()
        write_durably(self._path, msgspec.json.encode(self._until))

    def letter(self, record: ConsumerRecord, refusal: Refusal) -> Outgoing | None:
        """Count a refusal; its dead letter, or None where it has been reported."""
        self.count += 1
        if record.offset < self._until.get(record.partition, 0):
            self._before[refusal.reason] += 1
            return None
        where = f"{record.topic}/{record.partition}@{record.offset}"
        self._seldom(f"{self._what} at {where} refused: {refusal.detail}. {self._so}")
        self._until[record.partition] = record.offset + 1
        return dead_letter(self._config, record.topic, record.partition, record.offset, refusal, record.value)

    def ack(self) -> None:
        """The dead letters so far are with the broker: write down how far the topic has been reported."""
        theirs = self._read()
        until = {p: max(theirs.get(p, 0), self._until.get(p, 0)) for p in theirs.keys() | self._until.keys()}
        write_durably(self._path, msgspec.json.encode(until))

    def sum_up(self) -> None:
        """Say what was refused again, as before, in one line."""
        if self._before:
            reasons = ", ".join(f"{reason}: {number}" for reason, number in sorted(self._before.items()))
            text = "%d messages on %s are refused as before (%s): see %s"
            log.warning(text, self._before.total(), self._topic, reasons, self._config.topics.dead_letters)

    def _read(self) -> dict[int, int]:
        """Partition to the offset up to which refusals were reported; damaged, it means that they are said again."""
        try:
            return _DECODER.decode(self._path.read_bytes())
        except (OSError, msgspec.DecodeError):
            return {}
