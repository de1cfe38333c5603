"""``driftflow audit verify``: is the record of a stream as it was written, and the models as they were signed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from schemas.incidents import Action
from schemas.records import ModelNotice
from stream_app.audit.records import Records, read_registry, read_topics
from stream_app.config import Config
from stream_app.errors import DriftflowError, ModelError
from stream_app.models import audit_lines
from stream_app.models.audit import AuditLog
from stream_app.models.audit import Entry as Line
from stream_app.models.keys.files import present, read_public
from stream_app.models.keys.roles import roles_of
from stream_app.models.registry import Registry

_TRAINER = "where the trainer was stopped just now, start it again, which completes what it has begun"
_OF_SERVICE = ("promotion", "rollback", "pin", "unpin", "extend", "anchor")
_ANSWERS = {"approve": "approval", "reject": "rejection"}
"""Verbs whose lines say what followed from them, where anything did."""
_SAME = ("stream", "request", "topic", "ranges", "rows", "rows_sha256", "settings_sha256", "seed", "code")
"""Of where a model comes from: what its manifest and its notice both say."""


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what is wrong.

    Attributes:
        head: hash of the last line, "" of a log without any: whoever notes it can tell later whether that was cut.
        lines: of the audit log.
        notices: that were compared with their lines.
        signed: notices of the topics that a trusted key has signed.
        models: files whose signatures were verified.
        after: lines after the newest one that a notice carries away: what they say is held to registry and topics, and
            their dates to nothing yet.
        waiting: signed actions that have no line: the trainer writes them down when it runs.
        unasked: what could not be asked, in sentences.
        faults: in sentences; none where all is as it was written.
    """

    head: str
    lines: int
    notices: int
    signed: int
    models: int
    after: int
    waiting: int
    unasked: list[str]
    faults: list[str]

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {"whole": not self.faults, **vars(self)}

    def says(self) -> list[str]:
        """What was looked at, in sentences."""
        lines = [
            f"{self.lines:,} lines of the audit log, {self.notices:,} notices, {self.models:,} models; {self.signed:,} "
            "signed notices were read from the topics"
        ]
        lines += [f"not asked: {why}" for why in self.unasked]
        if self.waiting:
            lines.append(
                f"{self.waiting:,} signed actions of people have no line (the trainer writes one where it takes one in)"
            )
        if self.after:
            lines.append(
                f"the newest {self.after:,} lines are not in the chain of a notice yet: what they say was compared "
                "with registry and topics, and that nothing was cut after them is not known"
            )
        lines.append(f"head of the log: {self.head or 'none'} (note it elsewhere, and give it next time by --head)")
        return lines


def verify(config: Config, noted: Sequence[str] = ()) -> Verified:
    """Look at the hash chain, at the lines that notices carry away, at what registry, topics and log say of each other,
    and at the signature of every model.

    Args:
        config: the stream.
        noted: heads of the log that somebody has noted elsewhere, as an earlier look has told them.

    Raises:
        DriftflowError: the registry is damaged: the sentence says where.
    """
    log, records = AuditLog(config), Records(config)
    read_registry(records)
    read_topics(records, models=True)
    heads = [*noted]
    heads += [str(notice.provenance.get("audit_head", "")) for notice in (*records.signed.values(), *records.notices)]
    faults = log.faults(dict.fromkeys(heads))
    try:
        records.lines = log.entries()
        faults += [*_notices(records), *_service(records), *_people(records), *_keys(records)]
    except DriftflowError:  # a line that is none, of which the faults tell already
        pass
    models = sorted({notice.model_id for notice in records.notices if notice.status == "promoted"})
    faults += _models(records, models)
    head = records.lines[-1].hash if records.lines else ""
    known = [line.n for line in records.lines if line.hash in heads]
    return Verified(
        head,
        len(records.lines),
        len(records.notices),
        len(records.signed),
        len(models),
        len(records.lines) - max(known, default=0),
        sum(_line_of(records, action) is None for action in records.actions.values()),
        records.unasked,
        list(dict.fromkeys(faults)),
    )


def _notices(records: Records) -> Iterator[str]:
    """Registry, topics and log say the same of every notice."""
    for number, notice in sorted(records.signed.items()):
        kept = records.kept.get(number)
        if kept is None and records.kept:
            yield f"notice {number} was signed and is not in the registry: its file was cut, or is of another trainer"
        elif kept is not None and kept != notice:
            yield f"notice {number} of the registry is not the one that was signed: {_difference(kept, notice)}"
    for number in records.kept.keys() - records.signed.keys():
        if records.signed and number > min(records.signed):
            yield (
                f"notice {number} of the registry is on no topic: it was put in, or it has still to be sent (start the "
                "trainer again, or `driftflow models publish`)"
            )
    numbers = dict[int, Line]()
    for line in records.lines:
        if line.event in audit_lines.OF_STATUS.values() and "sequence" in line.body:
            numbers[line.body["sequence"]] = line
    for notice in records.notices:
        found = numbers.pop(notice.sequence, None)
        if found is None:
            yield f"notice {notice.sequence} ({notice.status}) has no line in the audit log: it was cut; {_TRAINER}"
        elif (found.event, found.about, found.body) != audit_lines.of_notice(notice):
            yield f"line {found.n} ({found.event} {found.about}) does not say what notice {notice.sequence} says"
    for number, line in numbers.items():
        yield f"line {line.n} ({line.event} {line.about}) is about notice {number}, which nobody has"


def _service(records: Records) -> Iterator[str]:
    """What has changed the model in service stands in the log, and what stands there has changed it."""
    named = {audit_lines.of_entry(entry): entry for entry in records.history}
    lines = {(line.event, line.about): line for line in records.lines if line.event in _OF_SERVICE}
    for event, about in named.keys() - lines.keys():
        yield f"the registry's history has {event} {about}, and the audit log has not"
    if records.kept:
        for event, about in lines.keys() - named.keys():
            yield f"the audit log has {event} {about}, and the registry's history has not; {_TRAINER}"
    for (event, about), entry in named.items():
        line = lines.get((event, about))
        if line is not None and line.body.get("model", line.body.get("model_id")) != entry.model_id:
            yield f"line {line.n} ({event} {about}) is of another model than the registry's history says"
        dates = {one.created_ms for one in records.of_model(entry.model_id) if one.status == "promoted"}
        if event == "promotion" and entry.promoted_ms not in dates:
            yield f"the registry's history dates the promotion of {entry.model_id} otherwise than its notice"
    for change in records.changes.values():
        line = lines.get((change.verb, change.id))
        if line is not None and line.body != _plain(change):
            yield f"line {line.n} ({line.event} {line.about}) does not say what the signed change of service says"


def _people(records: Records) -> Iterator[str]:
    """What people have said, word for word."""
    for action in records.actions.values():
        line, body = _line_of(records, action), audit_lines.of_action(action)[2]
        other = [
            name
            for name in ("by", "why", "model")
            if line is not None and line.body.get(name, "") != body.get(name, "")
        ]
        only = line is not None and line.event not in (*_ANSWERS.values(), audit_lines.NOTHING)
        if line is not None and (other or (only and line.body != _plain(body))):
            yield f"line {line.n} ({line.event} {line.about}) does not say what {action.by} has said and signed"


def _line_of(records: Records, action: Action) -> Line | None:
    event, about, _ = audit_lines.of_action(action)
    return records.line(_ANSWERS.get(event, event), about) or records.line(audit_lines.NOTHING, about)


def _keys(records: Records) -> Iterator[str]:
    """A key here that has taken the place of another one has a line."""
    for role in roles_of(records.config):
        if present(role.private) and present(role.public):
            current, *former = read_public(role.public)
            if former and records.line("key change", f"rotated {current}") is None:
                yield f"the {role.name}'s key {current} took the place of {former[0]}, without a line in the audit log"


def _models(records: Records, models: list[str]) -> Iterator[str]:
    """Every promoted model is there, signed, and comes from where its notice says."""
    if not records.kept:
        return
    registry = Registry(records.config)
    for model_id in models:
        try:
            registry.check(model_id)
            about = msgspec.json.decode(registry.read(model_id).manifest)["about"].get("provenance", {})
        except ModelError as error:
            yield str(error)
            continue
        said = next(one.provenance for one in records.of_model(model_id) if one.status == "promoted")
        other = [name for name in _SAME if name in about and about[name] != said.get(name)]
        if other:
            yield f"model {model_id} is signed with other {', '.join(other)} than its notice says"


def _difference(kept: ModelNotice, signed: ModelNotice) -> str:
    names = [name for name in signed.__struct_fields__ if getattr(kept, name) != getattr(signed, name)]
    return f"another {', '.join(names)}"


def _plain(record: Any) -> Any:
    """As it is read from JSON."""
    return msgspec.json.decode(msgspec.json.encode(record))
