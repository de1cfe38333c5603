"""Publishes the records as JSON Schemas and the topics as an AsyncAPI document.

``python -m schemas.publish`` writes ``schemas/json/``; ``--check`` says what differs and exits 1.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from schemas import asyncapi
from schemas.intake import TYPES

FOLDER = Path(__file__).parent / "json"
_BASE = "urn:driftflow:schema"


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


def files() -> dict[str, str]:
    """Published file name to its text."""
    import yaml  # of the developers' tools only

    texts = {
        name: msgspec.json.format(msgspec.json.encode(s), indent=2).decode() + "\n" for name, s in schemas().items()
    }
    texts["asyncapi.yaml"] = yaml.safe_dump(asyncapi.document(), sort_keys=False, allow_unicode=True, width=110)
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
