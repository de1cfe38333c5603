"""What has become of logs, as incidents: events that retention has deleted unread, batches that are damaged, an end
that the broker has lost, a topic that was deleted and made again, partitions that were added.

It depends on the broker, so no replay repeats it: it is told on the partition of processes of the signals topic. What
is open is kept in the head of the partition, with the offset that follows from it, so that a crash neither hides an
incident nor opens it a second time.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from schemas.codecs import Envelope, encode_event
from schemas.incidents import Finding, Incident
from schemas.records import record_id
from stream_app.config import Config
from stream_app.kafka.types import TopicPartition
from stream_app.stages.links import links
from stream_app.stages.outputs import Outgoing, Outputs, Points
from stream_app.stages.partitioning import trainer_signals
from stream_app.stages.points import incident_point

RULE = "log"
"""Rule of these incidents; no rule of a configuration has its name."""

SEVERITIES = {
    "retention": "critical",
    "damaged": "critical",
    "lost_end": "warning",
    "made_anew": "warning",
    "grown": "info",
}
"""What has happened, the ``detector`` of the incident, and how grave that is."""

_AGAIN = 2
"""It is told again when so many times as many offsets are lost: seldom, however often retention deletes."""

Offset = Annotated[int, msgspec.Meta(ge=0)]


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """An incident about a partition's log that is open.

    Attributes:
        id: of the incident.
        place: topic, or topic and partition, for people.
        what: one of :data:`SEVERITIES`.
        start, end: offsets that it is about, the first and the one after the last.
        lost: offsets in all that were not read, at most so many events.
        told: those of the last message.
        number: of the last message.
        opened_ms: event time of the partition when it opened.
        says: the last message in words.
    """

    id: str
    place: str
    what: str
    start: int
    end: int
    lost: Offset
    told: Offset = 0
    number: Offset = 0
    opened_ms: int = 0
    says: str = ""

    def and_then(self, later: Loss) -> Loss:
        """With what was lost of the same log later."""
        lost = self.lost + later.lost
        in_all = f" ({lost:,} offsets in all since this incident opened)" if lost > later.lost else ""
        return msgspec.structs.replace(self, end=later.end, lost=lost, says=f"{later.says}{in_all}")

    @property
    def is_news(self) -> bool:
        """Whether people have to be told again."""
        return not self.number or not self.told or self.lost >= _AGAIN * self.told

    def next(self) -> Loss:
        """As it stands once its next message is sent."""
        return msgspec.structs.replace(self, told=self.lost, number=self.number + 1)


def incident_id(config: Config, tp: TopicPartition, what: str, topic_id: str, end: int) -> str:
    """The same whoever finds it, and however often, since it is made of what the broker says.

    Args:
        config: the stream.
        tp: where.
        what: as :class:`Loss` has it.
        topic_id: of the topic that there is.
        end: the first offset that is there again; of partitions that were added, the time from which on they count.
    """
    return record_id(RULE, config.stream, *tp, what, topic_id, end)


def told(config: Config, loss: Loss, now_ms: int, by: str | None = None) -> Outputs:
    """The message of an incident, and its point.

    Args:
        config: the stream.
        loss: as :meth:`Loss.next` has it.
        now_ms: event time of the partition.
        by: who has taken note of it, which ends it; "" where it has ended by itself; None as long as it is open.
    """
    record = _incident(config, loss, now_ms, by)
    event_id = record_id("incident-event", record.id, record.number, loss.start, loss.end)
    message = encode_event(Envelope(record, event_id, f"/driftflow/{config.stream}/worker", record.pane_end_ms))
    partition = trainer_signals(config.topics.partitions)
    out = Outgoing("signals", partition, record.id.encode(), message.value, message.headers)
    return Outputs([out], Points([incident_point(record)]))


def _incident(config: Config, loss: Loss, now_ms: int, by: str | None) -> Incident:
    pane = int(config.windows.pane)
    start_ms, opened_ms = (max(time_ms, 0) // pane * pane for time_ms in (now_ms, loss.opened_ms))
    first = loss.number == 1
    finding = Finding(
        detector=loss.what,
        feature="",
        weight=1.0,
        direction="",
        measure="offsets lost",
        seen=float(loss.lost),
        events=loss.lost,
        says=loss.says,
    )
    return Incident(
        id=loss.id,
        stream=config.stream,
        number=loss.number,
        state=("open" if first else "update") if by is None else "accepted" if by else "resolve",
        reason=("opened" if first else "severity") if by is None else "action" if by else "ended",
        kind="fault",
        severity=SEVERITIES[loss.what],
        rules=[RULE],
        detector=loss.what,
        feature="",
        members=[],
        member_count=0,
        slice_count=0,
        since_ms=max(loss.opened_ms, 0),
        opened_pane_ms=opened_ms,
        pane_start_ms=start_ms,
        pane_end_ms=start_ms + pane,
        events=loss.lost,
        share=0.0,
        statistic=float(loss.lost),
        threshold=0.0,
        evidence="offsets that are gone, as the broker says: at most so many events",
        promise="it is a fact, and no estimate",
        findings=[finding],
        examples=[],
        marks=[],
        model_id="",
        links=links(config, loss.id, opened_ms, start_ms + pane),
        acked_by=by or "",
        next=""
        if by is not None
        else "It ends when somebody says `driftflow ack` or `driftflow accept`, or when the "
        "longest window has gone by; no model is asked for.",
        summary=f"{loss.place}: {loss.says}",
    )
