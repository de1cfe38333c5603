"""What the formats of bodies need of the other settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stream_app.config.event import EventConfig
from stream_app.config.schema_registry import SchemaRegistryConfig

if TYPE_CHECKING:
    from stream_app.config.settings import Config


def fields_in_order(event: EventConfig) -> list[str]:
    """Every field besides the time, each once: numbers, categories, fields of slicings, the id."""
    slicing = [name for fields in event.slicings for name in fields]
    return list(dict.fromkeys([*event.numeric, *event.categorical, *slicing, *filter(None, [event.id_field])]))


def with_layout(event: EventConfig) -> EventConfig:
    """The section with the layout of its float32 bodies written out, so that it stays when columns are reordered."""
    if event.format != "float32" or event.layout:
        return event
    return msgspec.structs.replace(event, layout=fields_in_order(event))


def format_faults(config: Config) -> list[str]:
    """Faults of ``event.format``, of what belongs to one, and of ``[schema_registry]``."""
    event, registry, faults = config.event, config.schema_registry, []
    if event.layout and event.format != "float32":
        faults.append(f'event.layout: only with event.format = "float32", which is {event.format!r}')
    if event.avro_schema and event.format != "avro":
        faults.append(f'event.avro_schema: only with event.format = "avro", which is {event.format!r}')
    if registry.url and event.format != "avro" and not registry.signals:
        faults.append(
            'schema_registry.url: only with event.format = "avro", which is '
            f"{event.format!r}, or with schema_registry.signals = true"
        )
    if event.format == "avro" and not event.avro_schema and not registry.url:
        faults.append("event.avro_schema or schema_registry.url: needed with Avro, which says nothing of its fields")
    if event.avro_schema and (why := _unreadable(Path(config.root) / event.avro_schema)):
        faults.append(f"event.avro_schema: {why}")
    return faults + (_layout_faults(event) if event.format == "float32" else []) + _registry_faults(registry)


def _unreadable(path: Path) -> str:
    try:
        msgspec.json.decode(path.read_bytes())
    except OSError as error:
        return f"{path} cannot be read, {(error.strerror or str(error)).lower()}"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"{path} is no schema in JSON: {error}"
    return ""


def _layout_faults(event: EventConfig) -> list[str]:
    faults, needed = [], fields_in_order(event)
    if event.time_format != "epoch_ms":
        faults.append(f'event.time_format: "epoch_ms" with format = "float32", got {event.time_format!r}')
    if not event.layout:
        return faults
    for name in sorted(set(event.layout) ^ set(needed)):
        what = "is no field named here" if name in event.layout else "is missing"
        faults.append(f"event.layout: {name!r} {what}; it has each of {', '.join(needed)}")
    if len(set(event.layout)) < len(event.layout):
        faults.append("event.layout: each field once")
    return faults


def _registry_faults(registry: SchemaRegistryConfig) -> list[str]:
    faults = []
    if registry.signals and not registry.url:
        faults.append("schema_registry.url: needed with schema_registry.signals = true")
    if registry.url and not re.fullmatch(r"https?://[^/\s?#@]+(/[^\s?#]*)?", registry.url):
        faults.append(f"schema_registry.url: expected http(s)://HOST:PORT without user or query, got {registry.url!r}")
    has_token = bool(registry.token_env or registry.token_file)
    has_password = bool(registry.password_env or registry.password_file)
    if registry.username and not has_password:
        faults.append("schema_registry.password_env or schema_registry.password_file: needed with username")
    if has_password and not registry.username:
        faults.append("schema_registry.username: needed with a password")
    if has_token and (registry.username or has_password):
        faults.append("schema_registry.token_env: a user or a token, not both")
    if not 100 <= registry.timeout <= 60_000:
        faults.append(f'schema_registry.timeout: from "100ms" to "1m", got {int(registry.timeout)} ms')
    return faults
