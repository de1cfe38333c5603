"""The topics of a stream as an AsyncAPI document: each with its messages, their headers and what their keys are."""

from __future__ import annotations

from typing import Any

from schemas.intake import EVIDENCE_KINDS, PARTIAL_KINDS, TYPES
from schemas.signing import KEY_ID, SIGNATURE

VERSION = "3.1.0"
"""Of the specification."""

_SIGNALS = [
    "incident",
    "silenced-incident",
    "strange-events",
    "event-anomaly",
    "retrain-request",
    "service-change",
    "model-notice",
    "activation",
    "health",
]
_INTERNAL = " Internal: it may change from version to version."
_CHANNELS = {
    "events": (
        "{stream}.events",
        "What is watched: topics.events and the sections [event] say which topic and how it is read. driftflow writes"
        " there for `driftflow produce`, and for dead letters that a person sends again.",
        ["event"],
    ),
    "signals": (
        "{stream}.signals",
        "What driftflow has to say. Each partition has one writer. With W partials partitions SCORE of source partition"
        " p < W writes to p, JUDGE to W, the trainer to W + 1; SCORE of source partitions that the events topic got"
        " later, p >= W, to p + 2. Health of processes is on W + 1 too: no replay repeats it. With"
        " schema_registry.signals a value stands behind Confluent's header: a zero byte, and its schema's id in four.",
        _SIGNALS,
    ),
    "actions": (
        "{stream}.actions",
        "What people say of incidents, silences and releases: one partition, kept for good. An action counts once, by"
        " its id, where a key of alerts.trusted_keys has signed it whole.",
        ["action"],
    ),
    "models": (
        "{stream}.models",
        "Compacted, keyed by model id: every model with its gates and, when promoted, its signed bytes.",
        ["model-notice"],
    ),
    "deadLetters": (
        "{stream}.dead-letters",
        "Every event that could not be decoded or scored, and every message of our own topics that could not be used,"
        " with what one needs to find and replay it. One id may come twice.",
        ["dead-letter"],
    ),
    "partials": ("{stream}.partials", f"From SCORE to WATCH: panes by slice.{_INTERNAL}", list(PARTIAL_KINDS)),
    "evidence": (
        "{stream}.evidence",
        f"From WATCH to JUDGE: what speaks for a change; one partition.{_INTERNAL}",
        list(EVIDENCE_KINDS),
    ),
    "decisions": (
        "{stream}.decisions",
        "What depended on the wall clock, written down before it takes effect, and where the state of the group is"
        f" kept; one partition, kept for good.{_INTERNAL}",
        ["decision"],
    ),
    "state": (
        "{stream}.state",
        f'The state of partitions, where state.store is "kafka"; compacted, by partition of W.{_INTERNAL}',
        ["state"],
    ),
}
_READ = ("events", "actions")
"""Channels that somebody else may send to."""

_HEADERS: dict[str, dict[str, Any]] = {
    "ce_id": {"description": "Deterministic id: a replay sends the same one. Drop what you have seen.", "minLength": 1},
    "ce_source": {"description": "Who says so, such as /driftflow/beijing-air/judge.", "format": "uri-reference"},
    "ce_type": {"description": "Which record the value is."},
    "ce_specversion": {"description": "Of CloudEvents.", "const": "1.0"},
    "ce_time": {
        "description": "Event time, and the clock's of health alone; 1970-01-01 where none could be read.",
        "format": "date-time",
    },
    "ce_subject": {"description": "What it is about, usually the slice.", "minLength": 1},
    "content-type": {"description": "Of the value.", "const": "application/json"},
}
_SIGNED = {
    SIGNATURE: {
        "description": "Ed25519 signature in hex, of the value and of all headers above (schemas/signing.py).",
        "pattern": "^[0-9a-f]{128}$",
    },
    KEY_ID: {
        "description": "Id of the key: the first 16 hex digits of the SHA-256 of its public half.",
        "pattern": "^[0-9a-f]{16}$",
    },
}
_ARE_SIGNED = (
    "driftflow.retrain-request.v1",
    "driftflow.service-change.v1",
    "driftflow.model-notice.v1",
    "driftflow.action.v1",
)
_REQUIRED = ["ce_id", "ce_source", "ce_type", "ce_specversion", "ce_time", "content-type"]
_KEYS = {
    "incident": "Id of the incident: its messages stay in order.",
    "silenced-incident": "Id of the incident: its messages stay in order.",
    "model-notice": "Id of the model.",
    "action": "Id of the action.",
    "health": "The part that it is about.",
    "dead-letter": "None.",
}
_MSGPACK = "application/vnd.msgpack"
_OTHERS: dict[str, tuple[str, str, dict[str, str], str]] = {
    "event": (
        "An event of yours: JSON, MessagePack, Avro or float32 (event.format).",
        "application/octet-stream",
        {"driftflow_replay_of": "Of an event that a person has sent again: which dead letter it was."},
        "Whatever the producer sets; driftflow does not read it.",
    ),
    "block": ("Statistics of one pane for up to a thousand slices.", _MSGPACK, {"kind": ""}, "None."),
    "closed": ("No block of these panes follows from this source partition.", _MSGPACK, {"kind": ""}, "None."),
    "evidence": ("What of a pane speaks for a change.", _MSGPACK, {"kind": ""}, "None."),
    "judge": ("No evidence of these panes follows from this partials partition.", _MSGPACK, {"kind": ""}, "None."),
    "decision": ("A line of the journal.", "application/json", {"driftflow": "Version of the journal."}, "None."),
    "state": (
        "A chunk of a base, or a head.",
        "application/octet-stream",
        {"slot": "Of a head: which slot its base is in.", "chunks": "Of a head: of how many chunks its base is."},
        "Partition, epoch, and slot and number of the chunk, or head.",
    ),
}
"""Messages that are no CloudEvents: summary, content type, headers, key."""


def document() -> dict[str, Any]:
    """The AsyncAPI document."""
    messages = {short(name): _cloud_event(name) for name in TYPES} | {name: _other(name) for name in _OTHERS}
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "driftflow",
            "version": "1",
            "description": "The topics of a stream. Those that others read hold CloudEvents 1.0 in binary mode.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {key: _channel(key) for key in _CHANNELS},
        "operations": {name: operation for key in _CHANNELS for name, operation in _operations(key)},
        "components": {"messages": messages},
    }


def short(name: str) -> str:
    """A CloudEvents type without what all have."""
    return name.removeprefix("driftflow.").removesuffix(".v1")


def _channel(key: str) -> dict[str, Any]:
    address, description, names = _CHANNELS[key]
    return {
        "address": address,
        "description": description,
        "parameters": {"stream": {"description": "Name of the stream."}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
    }


def _operations(key: str) -> list[tuple[str, dict[str, Any]]]:
    name, channel = f"{key[0].upper()}{key[1:]}", {"$ref": f"#/channels/{key}"}
    sent = (f"send{name}", {"action": "send", "channel": channel})
    return [sent, (f"receive{name}", {"action": "receive", "channel": channel})] if key in _READ else [sent]


def _header(about: dict[str, Any]) -> dict[str, Any]:
    return {"type": "string", **about}


def _keyed(description: str) -> dict[str, Any]:
    """What the key of a message is; where there is none it says so."""
    return {"kafka": {"key": {"type": "string", "description": description}}}


def _cloud_event(name: str) -> dict[str, Any]:
    headers = {key: _header(about) for key, about in _HEADERS.items()}
    headers["ce_type"]["const"] = name
    required = list(_REQUIRED)
    if name in _ARE_SIGNED:
        headers |= {key: _header(about) for key, about in _SIGNED.items()}
        required += list(_SIGNED)
    return {
        "name": name,
        "summary": (TYPES[name].__doc__ or "").strip().splitlines()[0],
        "headers": {"type": "object", "properties": headers, "required": required},
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./{short(name)}.v1.json"},
        },
        "bindings": _keyed(_KEYS.get(short(name), "Its subject.")),
    }


def _other(name: str) -> dict[str, Any]:
    summary, content_type, headers, key = _OTHERS[name]
    told = {header: _header({"description": text} if text else {"const": name}) for header, text in headers.items()}
    required = {"required": ["kind"]} if "kind" in headers else {}
    return {
        "name": name,
        "summary": summary,
        "contentType": content_type,
        "headers": {"type": "object", "properties": told, **required},
        "payload": {},
        "bindings": _keyed(key),
    }
