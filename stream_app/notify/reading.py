"""Reads the signals topic in a group of its own, and commits what is in the outbox."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from kafka import KafkaConsumer
from kafka import TopicPartition as Partition
from kafka.errors import AuthorizationError, KafkaError
from kafka.structs import OffsetAndMetadata

from schemas.framing import unframed
from schemas.intake import Refusal, take_in
from schemas.records import record_id
from stream_app.config import Config
from stream_app.kafka.isolation import reading
from stream_app.kafka.stepping import Place, poll_past
from stream_app.kafka.types import ClientSettings, ConsumerRecord, Fetched, TopicPartition
from stream_app.notify.notices import Notice, notice_of
from stream_app.terminal import Seldom

log = logging.getLogger(__name__)

_POLL_MS = 300
_ANSWER_MS = 10_000
_CLOSE_MS = 2_000
_PAUSE_S, _PAUSE_MAX_S = 0.5, 30.0
_RECORDS = 500

Take = Callable[[Sequence[Notice]], None]
"""Takes notices durably, in order; may raise."""


def group_of(config: Config) -> str:
    """The consumer group of those who notify."""
    return f"{config.kafka.group}-notify"


def _instance_of(config: Config) -> str:
    """The name of this process in its group: started again after a kill it has its partitions back at once. There is
    one process for each outbox.
    """
    return record_id("notify", socket.gethostname(), str(config.path(config.notify.spool).resolve()))


class Reader:
    """The loop over the signals topic.

    A partition of which the group has committed nothing is read from its beginning, and what has passed by then is not
    told: of each incident that is still open the newest message is, and nothing else.

    Args:
        config: the stream.
        client: kafka-python connection settings.
        take: where notices go.
        stopping: set to end it.
        beat: called each time it comes round.
    """

    def __init__(
        self,
        config: Config,
        client: ClientSettings,
        take: Take,
        stopping: threading.Event,
        beat: Callable[[], object] = lambda: None,
    ) -> None:
        self._config, self._client, self._take, self._stopping = config, client, take, stopping
        self._known: dict[TopicPartition, int] = {}
        """Partitions to where their history ends; 0 where the group has committed something."""
        self._history: dict[TopicPartition, dict[str, Notice]] = {}
        self._done: dict[TopicPartition, int] = {}
        self._beat, self._say_refused, self._away = beat, Seldom(log.warning), ""

    def run(self) -> None:
        """Read until stopped.

        Raises:
            KafkaError: the broker refuses.
            SinkError: the outbox cannot be written; nothing is committed of what is in hand.
        """
        consumer = KafkaConsumer(
            self._config.topics.signals,
            **self._client,
            **reading(self._config.kafka),
            group_id=group_of(self._config),
            group_instance_id=_instance_of(self._config),
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            max_poll_records=_RECORDS,
            session_timeout_ms=max(int(self._config.kafka.session_timeout), 6_000),
        )
        pause_s = _PAUSE_S
        try:
            while not self._stopping.is_set():
                self._beat()
                try:
                    self._round(consumer)
                except KafkaError as error:
                    if not error.retriable:
                        raise
                    self._say_away(error, pause_s)
                    self._stopping.wait(pause_s)
                    pause_s = min(2 * pause_s, _PAUSE_MAX_S)
                else:
                    pause_s = _PAUSE_S
        finally:
            consumer.close(timeout_ms=_CLOSE_MS)

    def _round(self, consumer: Any) -> None:
        fetched = poll_past(lambda: consumer.poll(timeout_ms=_POLL_MS), consumer, self._client, self._skip)
        try:
            self._handle(consumer, fetched)
        except KafkaError:  # what was fetched is not taken, or not all of it: it has to come again
            for tp, records in fetched.items():
                consumer.seek(tp, records[0].offset)
            raise
        self._commit(consumer)

    def _handle(self, consumer: Any, fetched: Fetched) -> None:
        assigned = consumer.assignment()
        self._known = {tp: end for tp, end in self._known.items() if tp in assigned}
        for tp in sorted(assigned - self._known.keys()):
            self._begin(consumer, tp)
        for tp, records in sorted(fetched.items()):
            notices = [notice for record in records if (notice := self._notice(record)) is not None]
            if self._known.get(tp):
                self._remember(tp, notices)
            elif notices:
                self._take(notices)
            self._done[Partition(*tp)] = records[-1].offset + 1
        for tp in [tp for tp, end in self._known.items() if end]:
            self._end_history(consumer, tp)

    def _begin(self, consumer: Any, tp: TopicPartition) -> None:
        """Find out whether the group has been here before; where it has not, all that is there is history."""
        if consumer.committed(tp, timeout_ms=_ANSWER_MS) is not None:
            self._known[tp] = 0
            return
        end = consumer.highwater(tp)
        if end is None:  # no answer yet; nothing has been handed out of it either
            return
        self._known[tp], self._history[tp] = end, {}
        self._done[Partition(*tp)] = 0

    def _remember(self, tp: TopicPartition, notices: Sequence[Notice]) -> None:
        open_now = self._history.setdefault(tp, {})
        for notice in notices:
            open_now.pop(notice.thread, None)
            if notice.state in ("open", "update"):
                open_now[notice.thread] = notice

    def _end_history(self, consumer: Any, tp: TopicPartition) -> None:
        position = consumer.position(tp, timeout_ms=_ANSWER_MS)
        if position is None or position < self._known[tp]:
            return
        told = list(self._history.pop(tp, {}).values())
        log.info("%s/%d is read for the first time, open there: %d", tp.topic, tp.partition, len(told))
        self._take(told)
        self._known[tp] = 0
        self._done[Partition(*tp)] = position

    def _notice(self, record: ConsumerRecord) -> Notice | None:
        signal = take_in("signals", self._config.stream, record.value, record.headers)
        if isinstance(signal, Refusal):
            return None  # SCORE and the trainer say what is no signal; `driftflow signals` shows it
        place = f"{record.topic}/{record.partition}@{record.offset}"
        return notice_of(signal, unframed(record.value or b""), record.headers, place)

    def _skip(self, place: Place) -> None:
        tp, offset, why = place
        self._say_refused(f"{tp.topic}/{tp.partition}@{offset} cannot be read and is passed over: {why}")

    def _commit(self, consumer: Any) -> None:
        """Commit what is taken, but nothing of a history that has not been read whole."""
        done = {tp: offset for tp, offset in self._done.items() if tp in self._known and not self._known[tp]}
        if not done:
            return
        try:
            consumer.commit({tp: OffsetAndMetadata(offset) for tp, offset in done.items()}, timeout_ms=_ANSWER_MS)
        except AuthorizationError:
            raise
        except KafkaError as error:
            # What was given to another member of the group is read again there, with the same keys.
            self._say_away(error, 0.0)
            if error.retriable:
                return
        self._done = {tp: offset for tp, offset in self._done.items() if tp not in done}
        self._away = ""

    def _say_away(self, error: KafkaError, pause_s: float) -> None:
        text = " ".join(str(error).split()) or type(error).__name__
        if text != self._away:
            log.warning("The broker does not answer, or refuses: %s; tried again in %.1f s", text, pause_s)
        self._away = text
