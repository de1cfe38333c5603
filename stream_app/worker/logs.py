"""Whether the log of a partition is the one that its state is of, and what of it is gone.

A topic that was deleted and made again has another id. Its events are new ones: its log is read from its start, and the
offsets of the former one are forgotten, while windows and open panes stay, since they are about event time. This is no
decision: a replay reads the log that there is, and what the former held is in no log any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.logs import Log, look
from stream_app.kafka.types import TopicPartition
from stream_app.monitor.meter import Meter
from stream_app.monitor.metrics import DAMAGED
from stream_app.stages.decisions import Decision, Joined, actions_of, watched_of
from stream_app.stages.outputs import Outputs
from stream_app.terminal import Seldom, utc
from stream_app.worker.damages import PAUSES_S, Damage
from stream_app.worker.losses import Loss, incident_id, told
from stream_app.worker.partitions import Partitions
from stream_app.worker.progress import Progress
from stream_app.worker.supervision import Parts

log = logging.getLogger(__name__)

LOOK_S = 5.0
"""Time between two looks at the logs."""

_SHORT_S = 10.0
"""A high watermark may step back for a moment when another broker takes a partition over."""


class Logs:
    """Compares the logs of the partitions that a worker has with what it has taken of them, and says what is gone.

    Args:
        config: the stream.
        partitions: those that are open here; the id of a topic is kept in the head of each.
        parts: the status says for a while what was found.
        save_later: lets the next checkpoint save a partition.
        meter: counts batches that are damaged.
        decisions: those that are known.
    """

    def __init__(
        self,
        config: Config,
        partitions: Partitions,
        parts: Parts,
        save_later: Callable[[TopicPartition], None],
        meter: Meter,
        decisions: Callable[[], Sequence[Decision]] = tuple,
    ) -> None:
        self._save_later, self._decisions, self._meter = save_later, decisions, meter
        topics = config.topics
        self._topics = [TopicPartition(topic, 0) for topic in (topics.events, topics.partials, topics.evidence)]
        self._out: list[Outputs] = []
        self._damages: deque[Damage] = deque()
        self._passed: dict[TopicPartition, int] = {}
        """Partitions whose reading has gone on behind a gap: at which offset."""
        self._watched: int | None = None
        """Decisions about the first partials partition that were looked at; None where it is not here."""
        self._config, self._partitions, self._parts = config, partitions, parts
        self._unanswered = Seldom(log.warning)
        self._found: dict[TopicPartition, Log] = {}
        self._looks = 0
        self._short: dict[TopicPartition, tuple[float, int]] = {}
        """Partitions whose log ends too early: since when, and the earliest end that was seen."""

    async def follow(self, progress: Callable[[], Progress]) -> None:
        """Look every few seconds, for ever, whether the logs are still those that they were."""
        while True:
            self._parts.beat("logs")
            await asyncio.sleep(LOOK_S)
            # A topic that is gone has no partitions here any more: nothing else would say so.
            number, found = self._looks, await self.look({*progress(), *self._topics})
            self._found = found if number == self._looks else {}  # else it is from before an assignment

    async def look_first(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Log]:
        """:meth:`look`, at partitions that are being taken over: what was seen before counts no more."""
        found = await self.look(partitions)
        self._looks, self._found = self._looks + 1, {}
        return found

    def compare(self, progress: Progress, ends: Mapping[TopicPartition, int | None], now_s: float) -> bool:
        """Compare what was last seen of the logs, and their ends, with the states; whether one of these has moved, so
        that reading has to go there.

        Args:
            progress: of each partition of the worker.
            ends: high watermarks.
            now_s: a monotonic time.
        """
        found, self._found = self._found, {}
        here = [tp for tp in found if tp in progress and tp in self._partitions]
        anew = [self.check(tp, found[tp], progress[tp][0]) for tp in here]
        self._keep_what_was_read(progress)
        moved = self.check_ends(ends, now_s) or any(anew)
        for tp in progress:
            self._end_losses(tp)
        return moved

    def take(self) -> list[Outputs]:
        """Messages that are due since this was last called: they go out before the next checkpoint, which counts the
        decisions as followed.
        """
        self._look_for_growth()
        while self._damages:
            self._say_damaged(self._damages.popleft())
        out, self._out = self._out, []
        return out

    async def look(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Log]:
        """The logs of some partitions; of none where the broker does not answer, which is said."""
        try:
            found = await asyncio.to_thread(look, self._config, partitions)
        except DriftflowError as error:
            self._unanswered(f"{error}; they are compared with the snapshots as soon as it does")
            self._parts.note("offsets", str(error))
            return {}
        gone = {tp.topic for tp in partitions} - {tp.topic for tp in found}
        self._parts.note("offsets", f"no topic {', '.join(sorted(gone))} on the broker any more" if gone else "")
        return found

    def check(self, tp: TopicPartition, found: Log | None, settled: int | None = None) -> bool:
        """Compare an open partition with its log; whether that has to be read from its start.

        Args:
            tp: the partition.
            found: its log; None where it is not known now.
            settled: up to where it was read; the markers of transactions take offsets too.
        """
        if found is None:
            return False
        known = self._partitions.topic_id(tp)
        anew = bool(known and found.topic_id) and known != found.topic_id
        if anew:
            self._read_anew(tp, found, known)
        elif (taken := max(self._partitions.next_offset(tp) or 0, settled or 0)) and found.start > taken:
            self._say_gone(tp, taken, found.start, found.topic_id)
            self._move(tp, found.start, max(found.start, self._partitions.taken_until(tp)))
        if found.topic_id and not known:
            self._partitions.note_topic_id(tp, found.topic_id)
            if self._taken(tp):  # else there is nothing yet that the topic is needed for
                self._save_later(tp)
        return anew

    def note_damage(self, damage: Damage) -> None:
        """A damaged batch was met; may be called from any thread."""
        self._meter.count(DAMAGED, damage.tp.topic, "passed_over" if damage.passed_over else "fetched_again")
        if damage.passed_over:
            self._damages.append(damage)

    def _say_damaged(self, damage: Damage) -> None:
        tp, start, end, why = damage
        if tp not in self._partitions:
            return  # its next owner comes to it too
        if any((loss.what, loss.end) == ("damaged", end) for loss in self._partitions.losses(tp)):
            return  # it was met again
        self._open(
            tp,
            ("damaged", self._partitions.topic_id(tp), start, end, end - start),
            f"the batch at offset {start:,} cannot be taken apart, at {len(PAUSES_S) + 1} tries within "
            f"{sum(PAUSES_S):.0f} s ({why}): reading goes on at {end:,}, and at most {end - start:,} events are in no "
            "window. Look at the disk of the broker that leads the partition; where another one has the batch whole, "
            "let that lead, and send again what was in it",
        )
        self._save_later(tp)

    def note_gone(self, tp: TopicPartition, first: int, start: int) -> None:
        """Retention has deleted what was to be read next, and reading goes on at the start of the log."""
        if tp in self._partitions:
            self._say_gone(tp, first, start, self._partitions.topic_id(tp))
            self._passed[tp] = start
            self._save_later(tp)

    def _keep_what_was_read(self, progress: Progress) -> None:
        """Let the state be kept anew as soon as all is in it that was read before a gap: that cannot be read again."""
        for tp, start in list(self._passed.items()):
            if tp not in self._partitions:
                del self._passed[tp]
            elif (progress.get(tp, (0, 0))[0] or 0) >= start:
                at = max(start, self._partitions.next_offset(tp) or 0)
                self._move(tp, at, max(at, self._partitions.taken_until(tp)))
                del self._passed[tp]

    def _say_gone(self, tp: TopicPartition, taken: int, start: int, topic_id: str) -> None:
        sent = min(max(self._partitions.taken_until(tp) - taken, 0), start - taken)
        before = f", and {sent:,} of them, which had been read, no open pane any more" if sent else ""
        self._open(
            tp,
            ("retention", topic_id, taken, start, start - taken),
            f"retention has deleted the offsets {taken:,} to {start:,} before they were read, at most "
            f"{start - taken:,} events, which no window counts{before}: keep the topic for longer (retention.ms), "
            "and look why the worker was behind",
        )

    def _read_anew(self, tp: TopicPartition, found: Log, known: str) -> None:
        taken = self._taken(tp)
        self._open(
            tp,
            ("made_anew", found.topic_id, taken, found.start, 0),
            f"the topic was deleted and made again (its id was {known}, and is {found.topic_id}): its log is read from "
            f"its start at {found.start:,}, as new events; of the former one {taken:,} offsets were taken, and windows "
            "and open panes stay",
        )
        self._move(tp, 0, 0, found.topic_id)
        self._short.pop(tp, None)

    def check_ends(self, ends: Mapping[TopicPartition, int | None], now_s: float) -> bool:
        """Notice a log that has ended for ten seconds before what was taken of it: its end was lost, or it is another
        one and the broker gives topics no ids. Whether reading has to go back.

        Args:
            ends: high watermarks.
            now_s: a monotonic time.
        """
        short = {tp: end for tp, end in ends.items() if end is not None and end < self._taken(tp)}
        before = {tp: self._short.get(tp, (now_s, end)) for tp, end in short.items()}
        self._short = {tp: (since_s, min(first, short[tp])) for tp, (since_s, first) in before.items()}
        lost = [tp for tp, (since_s, _) in self._short.items() if now_s - since_s > _SHORT_S]
        for tp in lost:
            self._go_back(tp, self._short.pop(tp)[1])
        return bool(lost)

    def _taken(self, tp: TopicPartition) -> int:
        return self._partitions.taken_until(tp)

    def _go_back(self, tp: TopicPartition, end: int) -> None:
        has_id, taken = bool(self._partitions.topic_id(tp)), self._taken(tp)
        what = "the broker has lost the end of its log" if has_id else "the topic was made anew, or has lost its end"
        to = end if has_id else 0
        self._open(
            tp,
            ("lost_end", self._partitions.topic_id(tp), taken, end, 0),
            f"its log ends at {end:,}, and {taken:,} offsets of it were taken: {what}; it is read from {to:,} on",
        )
        self._move(tp, min(to, self._partitions.next_offset(tp) or 0), to)

    def _move(self, tp: TopicPartition, offset: int, done: int, topic_id: str = "") -> None:
        self._partitions.move(tp, offset, done, topic_id)
        self._save_later(tp)

    def _open(self, tp: TopicPartition, found: tuple[str, str, int, int, int], text: str, place: str = "") -> None:
        """Tell of it in an incident: a new one, or the one of that kind which is open. Unless another place is named it
        is a fault, and said.
        """
        if not place:
            self._say(tp, text)
        if tp not in self._partitions:
            return
        (what, topic_id, start, end, lost), now_ms = found, self._partitions.event_time_ms(tp)
        id_ = incident_id(self._config, tp, what, topic_id, end)
        place = place or f"{tp.topic}/{tp.partition}"
        loss = Loss(id=id_, place=place, what=what, start=start, end=end, lost=lost, opened_ms=now_ms, says=text)
        losses = {one.what: one for one in self._partitions.losses(tp)}
        loss = losses[what].and_then(loss) if what in losses else loss
        if loss.is_news:
            loss = loss.next()
            self._out.append(told(self._config, loss, now_ms))
        self._partitions.note_losses(tp, tuple({**losses, what: loss}.values()))

    def _look_for_growth(self) -> None:
        """Partitions that were added, told by whoever has the first partials partition."""
        _, place, _ = self._topics
        if place not in self._partitions:
            self._watched = None
            return
        decisions = watched_of(self._decisions(), place.partition)
        since = self._partitions.decided(place) if self._watched is None else self._watched
        self._watched, topic = len(decisions), self._config.topics.events
        joined = [one for one in decisions[since:] if isinstance(one, Joined)]
        if joined:
            numbers = ", ".join(f"{one.partition}" for one in joined)
            from_ms = max(one.from_ms for one in joined)
            self._open(
                place,
                ("grown", numbers, 0, from_ms, 0),
                f"it has new partitions ({numbers}): they are scored, and in the windows from {utc(from_ms)} on; what "
                "they got for times before is counted, and in no window",
                topic,
            )

    def _end_losses(self, tp: TopicPartition) -> None:
        """Incidents are over that a person has seen, and those of which the longest window holds nothing any more."""
        losses = self._partitions.losses(tp)
        if not losses or tp not in self._partitions:
            return
        now_ms, actions = self._partitions.event_time_ms(tp), [act.action for act in actions_of(self._decisions())]
        seen_by = {action.incident_id: action.by for action in actions if action.verb in ("ack", "accept")}
        left = []
        for loss in losses:
            by = seen_by.get(loss.id, "")
            if by or (loss.opened_ms and now_ms - loss.opened_ms >= int(self._config.windows.spans[-1])):
                self._out.append(told(self._config, loss.next(), now_ms, by))
            else:
                left.append(loss)
        if len(left) < len(losses):
            self._partitions.note_losses(tp, tuple(left))
            self._save_later(tp)

    def _say(self, tp: TopicPartition, text: str) -> None:
        place = f"{tp.topic}/{tp.partition}"
        log.error("%s: %s", place, text)
        self._parts.mention(f"log {place}", text)
