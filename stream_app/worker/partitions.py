"""The partitions that a worker has: their state in the pipeline, and what is kept of it: a base and a head each
(:mod:`stream_app.worker.heads`).

Between the base's offset and the head's ``done`` a partition is *replayed*: its input is taken in once more, and what
comes of it is not sent (:mod:`stream_app.worker.steps`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stream_app.config import Config
from stream_app.errors import DriftflowError, SnapshotError, TakenOver
from stream_app.kafka.types import TopicPartition
from stream_app.stages.batches import PartialMessage
from stream_app.stages.pipeline import Pipeline
from stream_app.stages.snapshot import REMEDY
from stream_app.worker.budget import SHARE, Budget
from stream_app.worker.heads import NOTHING_DONE, NOTHING_TOLD, Head, Mark, Saved, Until, digest, encode_head
from stream_app.worker.losses import Loss
from stream_app.worker.roles import Stage, roles
from stream_app.worker.state import StateStore

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Kept:
    """What is kept of an open partition.

    Attributes:
        mark: how far all that came of its input has been sent.
        head: the one that counts; None before the first.
        topic_id: of the topic that its offsets are of; "" where that is not known.
        replays: whether its state is still behind the mark.
        placed: its offset was set, so that it counts even where it is 0.
        losses: incidents about its log that are open.
        opened_s: when it was opened, a monotonic time.
        budget: when a base is due.
    """

    mark: Mark = NOTHING_DONE
    head: Head | None = None
    topic_id: str = ""
    replays: bool = False
    placed: bool = False
    losses: tuple[Loss, ...] = ()
    opened_s: float = 0.0
    budget: Budget = field(default_factory=Budget)


class Partitions:
    """A partition of the events topic is scored, one of the partials topic is watched, that of the evidence topic is
    judged.

    Args:
        config: the stream.
        store: where bases and heads are kept.
        pipeline: holds the states of the partitions that are open.
        now: a monotonic clock in seconds.

    Attributes:
        written: bytes of bases and heads that were written, by stage.
        taken: rows that SCORE has taken in here, replayed ones left out.
    """

    def __init__(
        self, config: Config, store: StateStore, pipeline: Pipeline, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._pipeline, self._stages, self._now = store, pipeline, roles(config, pipeline), now
        self._width, self._topics = config.topics.partitions, config.topics
        self._said_unused: set[TopicPartition] = set()
        self._kept: dict[TopicPartition, _Kept] = {}
        self._taken_over: dict[TopicPartition, float] = {}
        """Partitions that were found to be another worker's, to when, a monotonic time."""
        self._session_s = config.kafka.session_timeout.seconds
        self._counters_of_closed: dict[int, dict[str, int]] = {}
        self.written: dict[str, int] = {"score": 0, "watch": 0, "judge": 0}
        self.taken = 0

    def stage_of(self, tp: TopicPartition) -> Stage:
        """Which stage takes in a partition of this topic."""
        return self._stages[tp.topic].stage

    def is_spare(self, tp: TopicPartition) -> bool:
        """Whether nobody writes to it and no stage is there for it: the evidence topic has more than its one."""
        return self.stage_of(tp) == "judge" and tp.partition > 0

    def __contains__(self, tp: TopicPartition) -> bool:
        """Whether it is open here."""
        return self._state(tp) is not None

    # Taking over and giving away -----------------------------------------------------------------------------------

    def open(self, tp: TopicPartition) -> None:
        """Start on a partition, from what is kept of it where there is anything.

        Raises:
            SnapshotError: that cannot be read, is damaged, or is of another version or shape.
        """
        if why := self._unused(tp):
            log.warning("Partition %d of %s stays unused: %s", tp.partition, tp.topic, why)
        if self.is_spare(tp):
            return
        began_s = self._now()
        saved = self._store.take(self.name(tp))
        kept = _kept_of(saved, began_s)
        # What was decided just before the former owner ended may have had no effect yet: no message need come for it.
        kept.replays |= self._stages[tp.topic].decided(tp.partition) > kept.mark.decided
        try:
            base, decided = saved.base if saved else None, kept.mark.decided if kept.replays else None
            self._stages[tp.topic].open(tp.partition, base, decided)
        except SnapshotError as error:
            raise SnapshotError(f"{self._store.where(self.name(tp))} cannot be used: {error}") from error
        except (LookupError, TypeError, ValueError, AttributeError) as error:  # whole, but of another shape
            where, what = self._store.where(self.name(tp)), f"{type(error).__name__}: {error}"
            raise SnapshotError(f"{where} cannot be used: it makes no sense here ({what}); {REMEDY}") from error
        self._kept[tp] = kept
        self._taken_over.pop(tp, None)
        if saved is not None:
            log.info("%s/%d: %d bytes of state loaded in %.2f s", *tp, saved.head.size, self._now() - began_s)
        if kept.replays and saved is not None:
            text = "%s/%d: what came of offsets %d to %d was sent before, and is made once more"
            log.info(text, *tp, saved.head.next_offset, kept.mark.done)

    def _unused(self, tp: TopicPartition) -> str:
        """Why nothing comes on a partition, said once; "" where something may."""
        watched_not = tp.topic == self._topics.partials and tp.partition >= self._width
        if tp in self._said_unused or not (watched_not or self.is_spare(tp)):
            return ""
        self._said_unused.add(tp)
        if watched_not:
            return f"slices are spread over the {self._width} that the stream began with"
        return "all evidence is on partition 0"

    def close(self, tp: TopicPartition) -> None:
        """Forget a partition: another worker has it."""
        self._kept.pop(tp, None)
        self._taken_over.pop(tp, None)
        if self.stage_of(tp) == "score":
            self._counters_of_closed = self.counters()
        if tp in self:
            self._stages[tp.topic].close(tp.partition)

    def check_owned(self, assigned: Iterable[TopicPartition]) -> None:
        """See that a partition which another worker has taken over was given to it, as one learns within a session. If
        not, it was taken by one that had been believed dead before it could open it, and nobody has it.

        Raises:
            DriftflowError: so it is; who starts anew takes it back.
        """
        for tp in assigned:
            if tp in self._taken_over and self._now() - self._taken_over[tp] > self._session_s:
                raise DriftflowError(
                    f"another worker has taken {tp.topic}/{tp.partition} over, and the group gives it to this one: "
                    "that one was believed dead; this one ends, to be started again and take it back"
                )

    # Replaying -----------------------------------------------------------------------------------------------------

    def replays_until(self, tp: TopicPartition) -> int | None:
        """What comes of input below this offset was sent before; None where the partition is behind all of that."""
        kept = self._kept.get(tp)
        return kept.mark.done if kept is not None and kept.replays else None

    def replays(self, tp: TopicPartition) -> bool:
        """Whether a partition has not come yet to where it had been before it was taken over."""
        return self.replays_until(tp) is not None

    def replaying(self) -> list[TopicPartition]:
        """Partitions that have not, in order."""
        return sorted(tp for tp, kept in self._kept.items() if kept.replays)

    def end_replay(self, tp: TopicPartition, beyond: bool) -> bool:
        """Whether all that was sent before has been made again by now; it goes on with what was not.

        Args:
            tp: a partition that is replayed.
            beyond: whether there is input at or behind the offset where that ends.
        """
        kept, state = self._kept[tp], self._state(tp)
        if not (beyond or state.next_offset >= kept.mark.done) or not self._stages[tp.topic].settled(tp.partition):
            return False
        kept.replays = False
        log.info("%s/%d: caught up after %.2f s", *tp, self._now() - kept.opened_s)
        return True

    def decided(self, tp: TopicPartition) -> int:
        """How many decisions about an open partition were followed when it last had sent all."""
        return self._kept[tp].mark.decided if tp in self._kept else 0

    def earn(self, tp: TopicPartition, n_bytes: int) -> None:
        """Something was taken in, of which so many bytes may be written."""
        if tp in self._kept:
            self._kept[tp].budget.earn(n_bytes)

    def took(self, tp: TopicPartition, messages: Iterable[PartialMessage]) -> None:
        """Messages between two stages were taken in."""
        self.earn(tp, sum(len(message.value or b"") for message in messages) // SHARE)

    # Saving --------------------------------------------------------------------------------------------------------

    def save(
        self,
        tp: TopicPartition,
        told: Until = NOTHING_TOLD,
        last: bool = False,
        at: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Keep a partition durably, once all that came of its input has been sent; nothing where it is not open here
        any more. Where another worker has it by now it is closed.

        Args:
            tp: the partition.
            told: what JUDGE has told people.
            last: it is given away after this.
            at: called between two writes.
        """
        try:
            if tp in self:
                self._save(tp, told, last, at)
        except TakenOver as error:
            log.warning("%s", error)
            self.close(tp)
            self._taken_over[tp] = self._now()

    def _save(self, tp: TopicPartition, told: Until, last: bool, at: Callable[[str], None]) -> None:
        kept = self._kept.setdefault(tp, _Kept())
        of, state, name = self._stages[tp.topic], self._state(tp), self.name(tp)
        mark = Mark(done=state.next_offset, decided=of.decided(tp.partition), told=told)
        if kept.replays:
            mark = kept.mark
        due = kept.budget.is_due(self._now(), last)
        if due:
            base = of.snapshot(tp.partition)
            self._store.put_base(name, base)
            at("base kept")
            kept.budget.spend(len(base), self._now())
            self._count(tp, len(base))
            # One that is replayed still has to leave out what comes of decisions that had their effect before.
            before = kept.head.decided if kept.head else 0
            decided = before if kept.replays else mark.decided
            head = Head(base=digest(base), size=len(base), next_offset=state.next_offset, decided=decided)
        elif kept.replays or of.settled(tp.partition):
            assert kept.head is not None
            head = kept.head
        else:  # what waits for a model or for a turn has not been sent: nothing may say that it has
            return
        more = {"topic_id": kept.topic_id, "placed": kept.placed, "losses": kept.losses}
        head = msgspec.structs.replace(head, mark=mark, **more)
        if head != kept.head:
            self._store.put_head(name, head)
            self._count(tp, len(encode_head(head)))
            kept.head, kept.mark = head, mark

    def settle(self) -> None:
        """Wait until all that was saved is durable."""
        self._store.settle()

    def _count(self, tp: TopicPartition, n_bytes: int) -> None:
        self.written[self.stage_of(tp)] += n_bytes

    # Offsets -------------------------------------------------------------------------------------------------------

    def next_offset(self, tp: TopicPartition) -> int | None:
        """Records of an open partition below it are in its state; None where none was taken yet, or it is not open:
        what is committed counts then.
        """
        state, kept = self._state(tp), self._kept.get(tp)
        placed = kept is not None and (kept.placed or (kept.replays and kept.mark.done > 0))
        known = state is not None and (state.next_offset > 0 or placed)
        return state.next_offset if state is not None and known else None

    def taken_until(self, tp: TopicPartition) -> int:
        """Records below it have been taken, by this worker or by one before it; 0 where none was."""
        return max(self.next_offset(tp) or 0, self.replays_until(tp) or 0)

    def behind(self, tp: TopicPartition, until: int) -> int:
        """How far an open partition is behind an offset; 0 where it is not open here."""
        state = self._state(tp)
        return max(until - state.next_offset, 0) if state is not None else 0

    def move(self, tp: TopicPartition, offset: int, done: int, topic_id: str = "") -> None:
        """Go on with an open partition from another offset, its windows and open panes stay.

        Args:
            tp: the partition.
            offset: where to go on.
            done: what came of input below it was sent.
            topic_id: of another topic, which is kept with the offset.
        """
        state = self._state(tp)
        if state is not None:
            state.next_offset = offset
            kept = self._kept.setdefault(tp, _Kept())
            kept.mark = msgspec.structs.replace(kept.mark, done=done)
            kept.topic_id, kept.placed, kept.budget.forced = topic_id or kept.topic_id, True, True

    def topic_id(self, tp: TopicPartition) -> str:
        """Which topic the state of an open partition is of, saved yet or not; "" where that is not known."""
        return self._kept[tp].topic_id if tp in self._kept else ""

    def note_topic_id(self, tp: TopicPartition, topic_id: str) -> None:
        """It is known now."""
        self._kept.setdefault(tp, _Kept()).topic_id = topic_id

    def losses(self, tp: TopicPartition) -> tuple[Loss, ...]:
        """Incidents about the log of an open partition that are open."""
        return self._kept[tp].losses if tp in self._kept else ()

    def note_losses(self, tp: TopicPartition, losses: tuple[Loss, ...]) -> None:
        """They stand like that now; the next head says so."""
        self._kept.setdefault(tp, _Kept()).losses = losses

    def event_time_ms(self, tp: TopicPartition) -> int:
        """How far an open partition has come in event time; 0 before the first event."""
        state = self._state(tp)
        time_ms: int = state.timing.clock_ms if self.stage_of(tp) == "score" else state.final_ms
        return max(time_ms, 0)

    def told(self, tp: TopicPartition) -> Until:
        """What JUDGE had told people when the partition was last saved."""
        return self._kept[tp].mark.told if tp in self._kept else NOTHING_TOLD

    def _state(self, tp: TopicPartition) -> Any:
        """Its state, which has a ``next_offset``; None where it is not open here."""
        return self._stages[tp.topic].states().get(tp.partition)

    # Telling -------------------------------------------------------------------------------------------------------

    def missing_models(self, tp: TopicPartition) -> set[str]:
        """Models that an open partition needs and that have not arrived here: another worker put them in service."""
        return self._stages[tp.topic].missing(tp.partition) if tp in self else set()

    def counters(self) -> dict[int, dict[str, int]]:
        """Running totals of rows by source partition; of one that was closed, as they were then."""
        states = self._pipeline.score_states
        return self._counters_of_closed | {partition: dict(state.counters) for partition, state in states.items()}

    def name(self, tp: TopicPartition) -> str:
        """What is kept of it is called."""
        return f"{self._stages[tp.topic].name}-{tp.partition}"


def _kept_of(saved: Saved | None, now_s: float) -> _Kept:
    """What is known of a partition that is being opened."""
    if saved is None:
        return _Kept(opened_s=now_s)
    head = saved.head
    budget = Budget(owed=head.size, size=head.size, since_s=now_s)
    replays = head.mark.done > head.next_offset or head.mark.decided > head.decided
    return _Kept(head.mark, head, head.topic_id, replays, head.placed, head.losses, now_s, budget)
