"""The steps of a story: each says what happened in a sentence, and carries the facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from schemas.incidents import Action, Incident, StrangeEvents
from schemas.records import EventAnomaly, ModelNotice, ServiceChange
from stream_app.audit.records import NAMED_MAX, Records
from stream_app.incident_lines import KINDS, bounded, is_over, short
from stream_app.terminal import utc

_PARTITIONS_MAX = 20


@dataclass(frozen=True)
class Step:
    """Something that happened.

    Attributes:
        kind: such as ``training``.
        id: of what it is about; with the kind its name.
        at_ms: when, event time; 0 where there is none.
        says: a sentence.
        facts: JSON.
        is_missing: whether it ought to have a record, and has none.
        written_ms: when it was written down or said, by the clock; 0 where that is not known.
    """

    kind: str
    id: str
    at_ms: int
    says: str
    facts: dict[str, Any] = field(default_factory=dict)
    is_missing: bool = False
    written_ms: int = 0


@dataclass
class Traced:
    """A story.

    Attributes:
        kind, id: what was asked for.
        steps: in the order of the story.
        missing: what ought to have a record and has none; none where the story is complete.
        unasked: what could not be asked.
    """

    kind: str
    id: str
    steps: list[Step] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """All of it; ``complete`` where nothing is missing and everything could be asked."""
        return {**asdict(self), "complete": not self.missing and not self.unasked}

    def says(self) -> Iterator[str]:
        """A line a step; its event time, or in brackets when it was written down, by the clock."""
        yield f"{self.kind} {self.id}"
        for step in self.steps:
            yield f"  {_when(step):<20}  {step.kind:<14}  {bounded(step.says)}"
        yield from (f"  not asked: {why}" for why in self.unasked)
        if self.missing:
            yield f"  without a record: {len(self.missing):,} steps"


def _when(step: Step) -> str:
    if step.at_ms:
        return utc(step.at_ms)
    return f"({utc(step.written_ms)})" if step.written_ms else "–"


# What was told --------------------------------------------------------------------------------------------------------


def incident(records: Records, record: Incident) -> Step:
    """An incident, as people were told last."""
    opened = records.opened[record.id]
    state = f"over ({record.state})" if is_over(record) else "open"
    what = f"{short(record.id)}, {record.severity} {KINDS[record.kind]}, {state}, under {record.model_id}"
    facts = {"model": record.model_id, "state": record.state, "opened_ms": opened.opened_pane_ms}
    facts |= {"slices": record.slice_count, "events": record.events, "share": record.share}
    facts |= {"rules": record.rules, "successor": record.successor_id, "since_ms": record.since_ms}
    return Step("incident", record.id, opened.opened_pane_ms, f"{what}: {record.summary}", facts)


def strange(record: StrangeEvents) -> Step:
    """A message about single events."""
    places = [f"{one.topic}/{one.partition}@{one.offset}" for one in record.events]
    says = f"{short(record.id)}, {record.count:,} strange events under {record.model_id}: {record.summary}"
    return Step(
        "strange events", record.id, record.pane_end_ms, says, {"model": record.model_id, "events": places[:NAMED_MAX]}
    )


def anomaly(record: EventAnomaly) -> Step:
    """A single event."""
    place = f"{record.topic}/{record.partition}@{record.offset}"
    says = (
        f"{short(record.id)}: {place} ({record.slice}), p = {record.p_value:.2g} at {record.threshold:.2g}, "
        f"under {record.model_id}"
    )
    facts = {"model": record.model_id, "place": place, "p_value": record.p_value, "threshold": record.threshold}
    return Step("strange event", record.id, record.event_time_ms, says, facts)


def action(record: Action) -> Step:
    """What a person has said."""
    about = record.incident_id or record.model or ", ".join(record.slices)
    says = " ".join(filter(None, [f"{record.by}: {record.verb}", record.verdict, short(about), record.why]))
    facts = {"by": record.by, "verb": record.verb, "about": about, "verdict": record.verdict, "why": record.why}
    return Step("action", record.id, 0, says, facts, written_ms=record.at_ms)


# From a request to its answer -----------------------------------------------------------------------------------------


def request(records: Records, name: str) -> Step:
    """A request: signed on its topic, or as the audit log has it."""
    made, line = records.requests.get(name), records.line("request", name)
    if made is not None:
        facts: dict[str, Any] = {
            "reason": made.reason,
            "model": made.model_id,
            "incidents": made.alerts,
            "accepted": [span.incident_id for span in made.accepted],
            "unjudged": [span.incident_id for span in made.unjudged],
            "audit_line": line.n if line else None,
        }
        says = f"{name[:8]} asks for a model ({made.reason}), names {len(made.alerts):,} incidents{_aside(facts)}"
        return Step("request", name, made.requested_pane_ms, says, facts)
    if line is not None:
        says = f"{name[:8]} asks for a model ({line.body.get('reason', '')}), by {line.body.get('by', '')}"
        return Step("request", name, line.body.get("pane_ms", 0), says, {**line.body, "audit_line": line.n})
    return Step("request", name, 0, "neither its topic nor the audit log has it", is_missing=True)


def _aside(facts: dict[str, Any]) -> str:
    parts = [f"{len(facts[name]):,} {name} spans" for name in ("accepted", "unjudged") if facts[name]]
    return f"; {', '.join(parts)}" if parts else ""


def training(records: Records, name: str) -> Iterator[Step]:
    """What a model was trained on."""
    line = records.line("training", name)
    about = line.body if line else _provenance(records, name)
    if not about.get("ranges"):
        if _was_trained(records, name):
            yield Step("training", name, 0, "no record says what it was trained on", is_missing=True)
        return
    names = ("topic", "ranges", "first_ms", "last_ms", "rows", "rows_sha256", "left_out", "parts", "code", "seed")
    facts = {key: about.get(key) for key in (*names, "settings_sha256", "parent", "anchor", "packages")}
    says = (
        f"{about['rows']:,} rows of {about['topic']}, {offsets(about['ranges'])}, from {utc(about['first_ms'])} to "
        f"{utc(about['last_ms'])}, SHA-256 {about['rows_sha256'][:16]}…; code {about.get('code', '')}"
    )
    facts["audit_line"] = line.n if line else None
    yield Step("training", name, 0, says, facts, written_ms=line.at_ms if line else 0)


def offsets(ranges: Iterable[dict[str, Any]]) -> str:
    """Partitions and offsets, in words."""
    ranges = list(ranges)
    said = ", ".join(f"{part['partition']} [{part['start']:,}, {part['end']:,})" for part in ranges[:_PARTITIONS_MAX])
    more = len(ranges) - _PARTITIONS_MAX
    return f"partition {said}" + (f" and {more:,} more" if more > 0 else "")


def gates(records: Records, name: str) -> Iterator[Step]:
    """What the gates found."""
    line = records.line("gates", name)
    notices = [notice for notice in records.of_request(name) if notice.gates]
    found: dict[str, Any] = line.body["gates"] if line else (notices[-1].gates if notices else {})
    if not found:
        if _was_trained(records, name):
            yield Step("gates", name, 0, "no record says what the gates found", is_missing=True)
        return
    failed = [gate for gate, figures in found.items() if not figures.get("passed")]
    verdict = line.body.get("verdict", "") if line else ""
    says = f"{len(found) - len(failed)} of {len(found)} passed" + (f" ({verdict})" if verdict else "")
    if failed:
        says += "; failed: " + "; ".join(f"{gate}: {found[gate].get('says', '')}" for gate in failed)
    yield Step("gates", name, 0, says, {"verdict": verdict, "gates": found}, written_ms=line.at_ms if line else 0)


def shadow(records: Records, name: str) -> Iterator[Step]:
    """What live events said of the candidate."""
    notices = [notice for notice in records.of_request(name) if notice.provenance.get("shadow")]
    lines = [line for line in records.lines if line.event == "shadow end" and line.body.get("request") == name]
    figures = lines[-1].body if lines else (notices[-1].provenance["shadow"] if notices else None)
    if figures is None:
        return
    gate = notices[-1].gates.get("shadow", {}) if notices else {}
    says = gate.get("says") or f"{figures.get('verdict')} after {figures.get('events', 0):,} live events"
    yield Step("shadow", name, 0, says, figures, written_ms=lines[-1].at_ms if lines else 0)


def answers_of_people(records: Records, models: list[str]) -> Iterator[Step]:
    """Who has approved or rejected models."""
    for line in records.lines:
        if line.event in ("approval", "rejection", "anchor") and line.body.get("model") in models:
            says = f"{line.body.get('by', '')} ({line.event} of {line.body['model']}): {line.body.get('why', '')}"
            yield Step(line.event, line.about, 0, says, line.body, written_ms=line.at_ms)


def notice(records: Records, record: ModelNotice) -> Step:
    """What was decided."""
    line = next((line for line in records.lines if line.body.get("sequence") == record.sequence), None)
    signed = record.sequence in records.signed
    facts = {
        "model": record.model_id,
        "status": record.status,
        "sequence": record.sequence,
        "parent": record.parent_id,
        "approved_by": record.provenance.get("approved_by", ""),
        "signed_notice_read": signed,
        "audit_line": line.n if line else None,
    }
    by = f", approved by {facts['approved_by']}" if facts["approved_by"] else ""
    says = f"model {record.model_id} {record.status}{by}: {record.reason}"
    kinds = {"promoted": "promotion", "refused": "refusal"}
    name = f"{record.model_id} {record.sequence}"
    return Step(kinds.get(record.status, record.status), name, record.created_ms, says, facts, is_missing=line is None)


# In service -----------------------------------------------------------------------------------------------------------


def activation(records: Records, model_id: str) -> Iterator[Step]:
    """From when on a model has scored."""
    under = records.under.get(model_id)
    if under is not None and under.from_ms is not None:
        says = f"model {model_id} scores, on {len(under.partitions):,} source partitions"
        yield Step("activation", model_id, under.from_ms, says, {"partitions": sorted(under.partitions)[:1_000]})


def changes(records: Records) -> Iterator[Step]:
    """Roll-backs, pins and their ends: signed on their topic, or as the audit log has them."""
    known = dict(records.changes)
    for line in records.lines:
        if line.event in ("rollback", "pin", "unpin", "extend"):
            known.setdefault(line.about, msgspec.convert(line.body, ServiceChange))
    for one in known.values():
        says = f"{one.verb} {one.model_id} by {one.by}: {one.why}"
        says += f"; {one.returns_to} is in service then" if one.returns_to else ""
        facts: dict[str, Any] = {"verb": one.verb, "model": one.model_id, "returns_to": one.returns_to, "by": one.by}
        missing = records.line(one.verb, one.id) is None
        facts |= {"figures": one.figures, "audit_line": not missing}
        yield Step("change", one.id, one.pane_end_ms, says, facts, is_missing=missing)


def said_under(records: Records, model_id: str) -> Iterator[Step]:
    """All that was said under a model: counted, and the first ones by name."""
    found = [one for one in records.incidents.values() if one.model_id == model_id]
    found.sort(key=lambda one: (one.opened_pane_ms, one.id))
    under = records.under.get(model_id)
    strange_ones = [one for one in records.strange.values() if one.model_id == model_id]
    anomalies = under.anomalies if under else 0
    says = f"{len(found):,} incidents, {len(strange_ones):,} messages about single events, {anomalies:,} strange events"
    facts = {"incidents": len(found), "messages": len(strange_ones), "strange_events": anomalies}
    yield Step("said under it", model_id, 0, says, facts)
    yield from (incident(records, one) for one in found[:NAMED_MAX])
    yield from (strange(one) for one in strange_ones[:NAMED_MAX])
    yield from (anomaly(one) for one in (under.first if under else ()))


def _provenance(records: Records, name: str) -> dict[str, Any]:
    found = [notice.provenance for notice in records.of_request(name) if notice.provenance.get("ranges")]
    return found[-1] if found else {}


def _was_trained(records: Records, name: str) -> bool:
    """Whether a model has come of a request: then there has to be a record of how."""
    return any(notice.status in ("promoted", "candidate", "waiting") for notice in records.of_request(name))
