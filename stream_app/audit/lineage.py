"""``driftflow audit lineage``: the training of a model as OpenLineage run events, for catalogues that collect them.

A run is a request: it begins when the request was taken in, and ends when it was answered. What goes in is the events
topic, with partitions and offsets, and the model that was trained on; what comes out is the model. The form is that of
https://openlineage.io/spec/2-0-2/OpenLineage.json (Apache-2.0); facets of our own say where they are described.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from schemas.records import NAMESPACE, ModelNotice
from stream_app import __version__
from stream_app.audit.dossier.subject import Subject, find
from stream_app.config import Config

SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
PRODUCER = f"urn:driftflow:{__version__}"
_FACETS = "https://openlineage.io/spec/facets"
_OURS = f"{SCHEMA}#/$defs/BaseFacet"
_FROM = ("rows", "rows_sha256", "first_ms", "last_ms", "left_out", "ranges", "unjudged", "accepted")
_RUN = ("seed", "settings_sha256", "code", "packages", "incidents", "anchor", "approved_by", "shadow", "audit_head")


def lineage_of(config: Config, prefix: str) -> list[dict[str, Any]]:
    """The events of the run that a model comes from, in order: ``START``, and ``COMPLETE``, or ``FAIL`` where its
    request was refused; ``START`` alone where it is not answered yet.

    Raises:
        DriftflowError: no model has that id, or the registry is damaged.
    """
    subject = find(config, prefix)
    request, notice = subject.records.line("request", subject.notice.request_id), subject.notice
    begun_ms = request.at_ms if request else notice.created_ms
    events = [_event(subject, notice, "START", begun_ms)]
    answers = [one for one in subject.records.of_request(notice.request_id) if one.status in ("promoted", "refused")]
    for answer in answers:
        line = next((line for line in subject.records.lines if line.body.get("sequence") == answer.sequence), None)
        kind = "COMPLETE" if answer.status == "promoted" else "FAIL"
        events.append(_event(subject, answer, kind, line.at_ms if line else answer.created_ms))
    return events


def _event(subject: Subject, notice: ModelNotice, kind: str, at_ms: int) -> dict[str, Any]:
    about, stream = notice.provenance, subject.config.stream
    facts = {name: about[name] for name in _RUN if name in about}
    facets = {"driftflow": _own({**facts, "status": notice.status, "reason": notice.reason})}
    return {
        "eventType": kind,
        "eventTime": datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(),
        "producer": PRODUCER,
        "schemaURL": f"{SCHEMA}#/$defs/RunEvent",
        "run": {"runId": str(uuid.uuid5(NAMESPACE, f"run {stream} {notice.request_id}")), "facets": facets},
        "job": {
            "namespace": f"driftflow://{stream}",
            "name": "training",
            "facets": {
                "jobType": _facet(
                    "2-0-4/JobTypeJobFacet", processingType="BATCH", integration="DRIFTFLOW", jobType="JOB"
                ),
                "documentation": _facet("1-1-0/DocumentationJobFacet", description=_DESCRIPTION),
            },
        },
        "inputs": [_topic(subject, about), *_parent(subject, notice)],
        "outputs": [_model(subject, notice, kind)] if kind != "FAIL" else [],
    }


_DESCRIPTION = "Trains a density of the events of a stream, judges it by gates, and compares it on live events."


def _topic(subject: Subject, about: dict[str, Any]) -> dict[str, Any]:
    config = subject.config
    columns = [
        *({"name": name, "type": "double"} for name in config.event.numeric),
        *({"name": name, "type": "string"} for name in config.event.categorical),
        {"name": config.event.time_field, "type": "timestamp"},
    ]
    source = f"kafka://{config.kafka.bootstrap[0]}"
    return {
        "namespace": source,
        "name": about.get("topic", config.topics.events),
        "facets": {
            "schema": _facet("1-2-0/SchemaDatasetFacet", fields=columns),
            "dataSource": _facet("1-0-1/DatasourceDatasetFacet", name=source, uri=source),
        },
        "inputFacets": {
            "dataQualityMetrics": _facet(
                "1-0-3/DataQualityMetricsInputDatasetFacet", rowCount=about.get("rows", 0), columnMetrics={}
            ),
            "driftflow": _own({name: about[name] for name in _FROM if name in about}),
        },
    }


def _parent(subject: Subject, notice: ModelNotice) -> list[dict[str, Any]]:
    """The model that the training went on from."""
    parent = notice.provenance.get("parent") or notice.parent_id
    return [{"namespace": f"driftflow://{subject.config.stream}", "name": f"models/{parent}"}] if parent else []


def _model(subject: Subject, notice: ModelNotice, kind: str) -> dict[str, Any]:
    made = {
        "namespace": f"driftflow://{subject.config.stream}",
        "name": f"models/{subject.id}",
        "facets": {"version": _facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=subject.id)},
    }
    if kind == "COMPLETE":
        gates = {name: gate.get("passed") for name, gate in notice.gates.items() if isinstance(gate, dict)}
        made["outputFacets"] = {"driftflow": _own({"gates": gates, "train_rows": notice.train_rows})}
    return made


def _facet(kind: str, **fields: Any) -> dict[str, Any]:
    """A facet of the standard."""
    version, _, title = kind.partition("/")
    return {"_producer": PRODUCER, "_schemaURL": f"{_FACETS}/{version}/{title}.json#/$defs/{title}", **fields}


def _own(fields: dict[str, Any]) -> dict[str, Any]:
    """A facet that is ours."""
    return {"_producer": PRODUCER, "_schemaURL": _OURS, **fields}
