"""``driftflow audit trace``: from anything to all that it hangs together with, step by step.

An incident leads to the model that it was found under and to the requests that named it; a request to what it trained
on, the gates, the shadow, whoever approved, and its answer; a model to its request, to what happened to it in service,
and to all that was said under it.
"""

from __future__ import annotations

from collections.abc import Iterator

from stream_app.audit import steps
from stream_app.audit.records import NAMED_MAX, Records, gather
from stream_app.audit.steps import Step, Traced
from stream_app.config import Config
from stream_app.incident_lines import bounded
from stream_app.operators.reading import chosen

_IDS = "`driftflow signals --all --format json`, `driftflow models list` and `driftflow incidents --all` have ids"

Node = tuple[str, str, str]
"""What an id means: its kind, in a few words what it is, and the id."""


def trace(config: Config, prefix: str) -> Traced:
    """All that something hangs together with.

    Args:
        config: the stream.
        prefix: the first characters of an id.

    Raises:
        DriftflowError: no id, or several begin so; or the registry or the audit log is damaged.
    """
    records = gather(config, prefix.lower())
    nodes = {name: (kind, says, name) for name, (kind, says) in _nodes(records)}
    kind, _, name = chosen(nodes, prefix, "known thing", _words, _IDS)
    return traced(records, kind, name)


def traced(records: Records, kind: str, name: str) -> Traced:
    """The same, of a thing whose kind and id are known."""
    found = Traced(kind, name, unasked=records.unasked)
    for step in _ABOUT[kind](records, name):
        if (step.kind, step.id) not in {(earlier.kind, earlier.id) for earlier in found.steps}:
            found.steps.append(step)
    found.missing = [f"{step.kind} {step.id}: {step.says}" for step in found.steps if step.is_missing]
    return found


def _nodes(records: Records) -> Iterator[tuple[str, tuple[str, str]]]:
    """Everything that has an id; models and incidents first, which people ask for most."""
    for notice in records.notices:
        if notice.status in ("promoted", "candidate", "waiting"):
            yield notice.model_id, ("model", notice.reason)
    for incident in records.incidents.values():
        yield incident.id, ("incident", incident.summary)
    for notice in records.notices:
        yield notice.request_id, ("request", notice.reason)
    for request in records.requests.values():
        yield request.id, ("request", request.reason)
    for change in records.changes.values():
        yield change.id, ("change", change.why)
    for line in records.lines:
        if line.event in ("rollback", "pin", "unpin", "extend"):
            yield line.about, ("change", line.body.get("why", ""))
    for action in records.actions.values():
        yield action.id, ("action", f"{action.verb} {action.why}")
    for strange in records.strange.values():
        yield strange.id, ("strange events", strange.summary)
    for anomaly in records.anomalies.values():
        yield anomaly.id, ("strange event", anomaly.slice)


def _words(node: Node) -> str:
    kind, says, _ = node
    return bounded(f"{kind}: {says}")


# From each kind -------------------------------------------------------------------------------------------------------


def _of_incident(records: Records, name: str) -> Iterator[Step]:
    incident = records.incidents[name]
    yield steps.incident(records, incident)
    yield from (steps.action(action) for action in records.actions.values() if action.incident_id == name)
    yield from _found_under(records, incident.model_id)
    named = [request_id for request_id, named in _named_by(records) if name in named]
    for request_id in named:
        yield from _of_request(records, request_id, with_incidents=False)
    if not named:
        yield Step("request", "none", 0, "no request for a model has named it")
    if incident.successor_id:
        yield from _service(records, incident.successor_id)


def _named_by(records: Records) -> Iterator[tuple[str, set[str]]]:
    """Each request and the incidents that it names, however it names them."""
    for request in records.requests.values():
        spans = (*request.accepted, *request.unjudged)
        yield request.id, {*request.alerts, *(span.incident_id for span in spans)}
    for line in records.lines:
        if line.event == "request" and line.about not in records.requests:
            yield line.about, set(line.body.get("incidents", []))


def _of_request(records: Records, name: str, with_incidents: bool = True) -> Iterator[Step]:
    yield steps.request(records, name)
    if with_incidents:
        named = dict(_named_by(records)).get(name, set())
        found = [records.incidents[one] for one in sorted(named) if one in records.incidents]
        yield from (steps.incident(records, incident) for incident in found[:NAMED_MAX])
    notices = records.of_request(name)
    if not any(notice.status == "covered" for notice in notices):
        yield from steps.training(records, name)
        yield from steps.gates(records, name)
    yield from steps.shadow(records, name)
    models = list(dict.fromkeys(notice.model_id for notice in notices))
    yield from steps.answers_of_people(records, models)
    yield from (steps.notice(records, notice) for notice in notices)
    if not notices:
        yield Step("answer", name, 0, "it has no answer yet", is_missing=False)
    for model_id in models:
        yield from _service(records, model_id)


def _of_model(records: Records, name: str) -> Iterator[Step]:
    for request_id in dict.fromkeys(notice.request_id for notice in records.of_model(name)):
        yield from _of_request(records, request_id)
    yield from _service(records, name)
    yield from steps.said_under(records, name)


def _found_under(records: Records, model_id: str) -> Iterator[Step]:
    """The model that something was found under, and how it came into service."""
    notices = records.of_model(model_id)
    if not notices:
        yield Step("model", model_id, 0, "no notice of this model is known", is_missing=records.asked)
        return
    for request_id in dict.fromkeys(notice.request_id for notice in notices):
        yield from _of_request(records, request_id, with_incidents=False)


def _service(records: Records, model_id: str) -> Iterator[Step]:
    yield from steps.activation(records, model_id)
    yield from (step for step in steps.changes(records) if model_id in (step.facts["model"], step.facts["returns_to"]))


def _of_change(records: Records, name: str) -> Iterator[Step]:
    step = next(step for step in steps.changes(records) if step.id == name)
    yield step
    for model_id in (step.facts["model"], step.facts["returns_to"]):
        if model_id:
            yield from _found_under(records, model_id)


def _of_action(records: Records, name: str) -> Iterator[Step]:
    action = records.actions[name]
    yield steps.action(action)
    line = next((line for line in records.lines if line.about == name), None)
    if line is not None:
        says = f"line {line.n} of the audit log: {line.event}"
        yield Step("audit line", str(line.n), 0, says, line.body, written_ms=line.at_ms)
    if action.incident_id in records.incidents:
        yield from _of_incident(records, action.incident_id)
    elif action.incident_id in records.strange:
        yield from _of_strange(records, action.incident_id)
    elif action.incident_id in records.actions:
        yield steps.action(records.actions[action.incident_id])
    if action.model:
        yield from _found_under(records, action.model)


def _of_strange(records: Records, name: str) -> Iterator[Step]:
    strange = records.strange[name]
    yield steps.strange(strange)
    yield from (steps.action(action) for action in records.actions.values() if action.incident_id == name)
    yield from _found_under(records, strange.model_id)


def _of_anomaly(records: Records, name: str) -> Iterator[Step]:
    anomaly = records.anomalies[name]
    yield steps.anomaly(anomaly)
    place = (anomaly.topic, anomaly.partition, anomaly.offset)
    for strange in records.strange.values():
        if place in {(one.topic, one.partition, one.offset) for one in strange.events}:
            yield steps.strange(strange)
    for incident in records.incidents.values():
        if place in {(one.topic, one.partition, one.offset) for one in incident.examples}:
            yield steps.incident(records, incident)
    yield from _found_under(records, anomaly.model_id)


_ABOUT = {
    "incident": _of_incident,
    "request": _of_request,
    "model": _of_model,
    "change": _of_change,
    "action": _of_action,
    "strange events": _of_strange,
    "strange event": _of_anomaly,
}
