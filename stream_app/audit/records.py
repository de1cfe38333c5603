"""All that is known of a stream's models, gathered from where it stands: registry, audit log, and the topics of
signals, models and actions. Who has signed a message is checked; where no broker answers, it is said that the topics
were not asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.incidents import Action, Incident, StrangeEvents
from schemas.intake import TYPES, Topic, header_map, take_in
from schemas.records import Activation, EventAnomaly, ModelNotice, Record, RetrainRequest, ServiceChange
from stream_app.config import Config
from stream_app.errors import DriftflowError
from stream_app.kafka.actions import read_actions
from stream_app.kafka.clients import client_settings
from stream_app.kafka.isolation import reading
from stream_app.kafka.reading import read_to_end, reader
from stream_app.kafka.signals import read_signals
from stream_app.kafka.types import ConsumerRecord
from stream_app.models import audit
from stream_app.models.audit import AuditLog
from stream_app.models.history import Entry
from stream_app.models.marks import Marks
from stream_app.models.registry import Registry, without_bytes

NAMED_MAX = 20
"""Things of one kind that are named; the others are counted."""
_FOUND_MAX = 1_000
"""Single events that a prefix may mean."""
_KINDS = (Incident, StrangeEvents, EventAnomaly, RetrainRequest, ModelNotice, ServiceChange, Activation)
_WANTED = {name.encode() for name, kind in TYPES.items() if issubclass(kind, _KINDS)}


@dataclass(slots=True)
class Under:
    """What was said under a model.

    Attributes:
        anomalies: single events that it found strange, all of them.
        first: the first :data:`NAMED_MAX` of these.
        from_ms: start of the first pane that it scored, None where that is not known.
        partitions: source partitions that it has scored.
    """

    anomalies: int = 0
    first: list[EventAnomaly] = field(default_factory=list)
    from_ms: int | None = None
    partitions: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Records:
    """What is known of a stream.

    Attributes:
        config: the stream.
        lines: of the audit log.
        kept: notices of the registry, by number.
        signed: notices of the topics that a trusted key has signed, by number.
        history: what has changed the model in service, oldest first.
        requests, changes, actions, incidents, opened, strange: by id; of an incident the last and the first message.
        under: model to what was said under it.
        anomalies: single events whose id begins as was asked, by id.
        asked: whether the topics were read.
        unasked: what could not be asked, in sentences.
    """

    config: Config
    lines: list[audit.Entry] = field(default_factory=list)
    kept: dict[int, ModelNotice] = field(default_factory=dict)
    signed: dict[int, ModelNotice] = field(default_factory=dict)
    history: list[Entry] = field(default_factory=list)
    requests: dict[str, RetrainRequest] = field(default_factory=dict)
    changes: dict[str, ServiceChange] = field(default_factory=dict)
    actions: dict[str, Action] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    opened: dict[str, Incident] = field(default_factory=dict)
    strange: dict[str, StrangeEvents] = field(default_factory=dict)
    under: dict[str, Under] = field(default_factory=dict)
    anomalies: dict[str, EventAnomaly] = field(default_factory=dict)
    asked: bool = False
    unasked: list[str] = field(default_factory=list)

    @property
    def notices(self) -> list[ModelNotice]:
        """Every notice, oldest first; what is signed counts where the registry says something else."""
        return [notice for _, notice in sorted((self.kept | self.signed).items())]

    def of_model(self, model_id: str) -> list[ModelNotice]:
        """Notices about a model, oldest first."""
        return [notice for notice in self.notices if notice.model_id == model_id]

    def of_request(self, request_id: str) -> list[ModelNotice]:
        """Notices about a request, oldest first."""
        return [notice for notice in self.notices if notice.request_id == request_id]

    def line(self, event: str, about: str) -> audit.Entry | None:
        """A line of the audit log by its name."""
        return next((line for line in self.lines if (line.event, line.about) == (event, about)), None)


def gather(config: Config, prefix: str = "") -> Records:
    """Read all of it.

    Args:
        config: the stream.
        prefix: of single events only those are kept whose id begins so; of none where it is empty.

    Raises:
        DriftflowError: the registry or the audit log is damaged.
    """
    records = Records(config, lines=AuditLog(config).entries())
    read_registry(records)
    read_topics(records, prefix)
    return records


def read_registry(records: Records) -> None:
    """Notices and history of the registry, where there is one; raises DriftflowError where it is damaged."""
    folder = records.config.path(records.config.trainer.registry)
    if not folder.is_dir():
        records.unasked.append(f"there is no registry here ({folder})")
        return
    registry = Registry(records.config)
    records.kept = {notice.sequence: notice for notice in registry.notices()}
    records.history = registry.history()


def read_topics(records: Records, prefix: str = "", models: bool = False) -> None:
    """The topics, as far as the broker answers.

    Args:
        records: takes what is there.
        prefix: see :func:`gather`.
        models: also the models topic, which carries the notices of promoted models with their weights.
    """
    config, marks = records.config, Marks(records.config)

    def signals() -> None:
        for message in read_signals(config):
            if header_map(message.headers).get("ce_type") in _WANTED:
                _take(records, marks, message, "signals", prefix)

    def notices() -> None:
        for message in _messages(config, config.topics.models):
            _take(records, marks, message, "models", prefix)

    def actions() -> None:
        records.actions = {action.id: action for action in read_actions(config, marks.is_trusted)}

    for step in (signals, notices, actions) if models else (signals, actions):
        try:
            step()
        except DriftflowError as error:
            records.unasked.append(str(error))
            if step is signals:
                return
        records.asked = True


def _messages(config: Config, topic: str) -> Iterator[ConsumerRecord]:
    client = client_settings(config.kafka, config.root) | reading(config.kafka)
    with reader(client, topic) as (consumer, partitions):
        if not partitions:
            raise DriftflowError(f"topic {topic} does not exist: start `driftflow worker` once, it creates the topics")
        consumer.assign(partitions)
        yield from read_to_end(consumer)


def _take(records: Records, marks: Marks, message: ConsumerRecord, topic: Topic, prefix: str) -> None:
    record = take_in(topic, records.config.stream, message.value, message.headers)
    if isinstance(record, Record) and marks.is_trusted(record, message.value or b"", message.headers):
        _enter(records, record, prefix)


def _enter(records: Records, record: Record, prefix: str) -> None:
    match record:
        case Incident():
            last, first = records.incidents.get(record.id), records.opened.get(record.id)
            if last is None or record.number >= last.number:
                records.incidents[record.id] = record
            if first is None or record.number < first.number:
                records.opened[record.id] = record
        case StrangeEvents():
            records.strange[record.id] = record
        case RetrainRequest():
            records.requests.setdefault(record.id, record)
        case ModelNotice():
            records.signed.setdefault(record.sequence, without_bytes(record))
        case ServiceChange():
            records.changes.setdefault(record.id, record)
        case Activation():
            under = records.under.setdefault(record.model_id, Under())
            under.partitions.add(record.partition)
            under.from_ms = min(record.pane_start_ms, under.from_ms or record.pane_start_ms)
        case EventAnomaly():
            _count(records, record, prefix)


def _count(records: Records, record: EventAnomaly, prefix: str) -> None:
    under = records.under.setdefault(record.model_id, Under())
    under.anomalies += 1
    if len(under.first) < NAMED_MAX:
        under.first.append(record)
    if prefix and record.id.startswith(prefix) and len(records.anomalies) < _FOUND_MAX:
        records.anomalies[record.id] = record
