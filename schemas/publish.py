"""Publishes the records as JSON Schemas and the topics as an AsyncAPI document.

``python -m schemas.publish`` writes ``schemas/json/``; ``--check`` says what differs and exits 1.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from schemas.intake import TYPES
from schemas.signing import KEY_ID, SIGNATURE

FOLDER = Path(__file__).parent / "json"
_BASE = "urn:driftflow:schema"

_CHANNELS = {
    "signals": (
        "{stream}.signals",
        "What driftflow has to say. Each partition has one writer. With W partials partitions SCORE of source partition"
        " p < W writes to p, JUDGE to W, the trainer to W + 1; SCORE of source partitions that the events topic got"
        " later, p >= W, to p + 2. Health of processes is on W + 1 too: no replay repeats it.",
        [
            "incident",
            "silenced-incident",
            "strange-events",
            "event-anomaly",
            "retrain-request",
            "service-change",
            "model-notice",
            "activation",
            "health",
        ],
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
}
_HEADERS = {
    "ce_id": "Deterministic id: a replay sends the same one. Drop what you have seen.",
    "ce_source": "Who says so, such as /driftflow/beijing-air/judge.",
    "ce_type": "Which record the value is.",
    "ce_specversion": "1.0",
    "ce_time": "Event time, and the clock's of health alone; 1970-01-01 where none could be read.",
    "ce_subject": "What it is about, usually the slice.",
    "content-type": "application/json",
}
_SIGNED = {
    SIGNATURE: "Ed25519 signature in hex, of the value and of all headers above (schemas/signing.py).",
    KEY_ID: "Id of the key: the first 16 hex digits of the SHA-256 of its public half.",
}
_ARE_SIGNED = (
    "driftflow.retrain-request.v1",
    "driftflow.service-change.v1",
    "driftflow.model-notice.v1",
    "driftflow.action.v1",
)
_REQUIRED = ["ce_id", "ce_source", "ce_type", "ce_specversion"]


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema (2020-12) by file name; bytes are base64 strings."""
    by_file = {}
    for name, kind in TYPES.items():
        file = f"{name.removeprefix('driftflow.')}.json"
        (schema,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
        schema = parts.pop(kind.__name__) if "$ref" in schema else schema
        by_file[file] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"{_BASE}:{file.removesuffix('.json')}",
            **schema,
            **({"$defs": parts} if parts else {}),
        }
    return by_file


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document."""
    messages = {_short(name): _message(name) for name in TYPES}
    channels = {
        key: {
            "address": address,
            "description": description,
            "parameters": {"stream": {"description": "Name of the stream."}},
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        }
        for key, (address, description, names) in _CHANNELS.items()
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "driftflow",
            "version": "1",
            "description": "Topics that driftflow writes. Records are CloudEvents 1.0 in binary mode. The partials"
            " and evidence topics are internal: MessagePack, and may change from version to version.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            f"send{key[0].upper()}{key[1:]}": {"action": "send", "channel": {"$ref": f"#/channels/{key}"}}
            for key in channels
        },
        "components": {"messages": messages},
    }


def _short(name: str) -> str:
    return name.removeprefix("driftflow.").removesuffix(".v1")


def _message(name: str) -> dict[str, Any]:
    headers = {key: {"type": "string", "description": text} for key, text in _HEADERS.items()}
    headers["ce_type"] |= {"const": name}
    if name in _ARE_SIGNED:
        headers |= {key: {"type": "string", "description": text} for key, text in _SIGNED.items()}
    return {
        "name": name,
        "summary": (TYPES[name].__doc__ or "").strip().splitlines()[0],
        "headers": {"type": "object", "properties": headers, "required": _REQUIRED},
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./{_short(name)}.v1.json"},
        },
    }


def files() -> dict[str, str]:
    """Published file name to its text."""
    import yaml  # of the developers' tools only

    texts = {
        name: msgspec.json.format(msgspec.json.encode(s), indent=2).decode() + "\n" for name, s in schemas().items()
    }
    texts["asyncapi.yaml"] = yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=110)
    return texts


def stale() -> list[str]:
    """Files that are not what the records say now, or that belong to no record any more."""
    wanted = files()
    have = {path.name: path.read_text() for path in FOLDER.glob("*")}
    return sorted(name for name in wanted.keys() | have.keys() if wanted.get(name) != have.get(name))


def main() -> None:
    """See the module."""
    if "--check" in sys.argv[1:]:
        names = stale()
        if names:
            sys.exit(f"schemas/json is not up to date: {', '.join(names)}; run `make schemas`")
        return
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*"):
        path.unlink()
    for name, text in files().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
