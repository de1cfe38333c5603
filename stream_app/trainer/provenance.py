"""Where a model comes from, as its manifest and its notice say it, signed: rows, settings, code.

All of it is a function of the request, the rows and what is installed: asked again, a model has the same bytes.
"""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib import metadata
from typing import Any

import msgspec

from stream_app.config import Config
from stream_app.trainer.data.admit import Prepared
from stream_app.trainer.data.rows import Rows
from stream_app.trainer.data.sheet import DataSheet
from stream_app.trainer.outcome import Retrain

PACKAGES = ("driftflow", "torch", "numpy", "scipy", "scikit-learn", "msgspec")
"""Whose versions can change a model."""

SECTIONS = ("event", "event_rule", "model", "privacy", "retrain", "trainer", "windows")
"""What of the settings makes and judges a model."""

_FINDINGS_MAX = 30


def provenance(retrain: Retrain, rows: Rows, prepared: Prepared, sheet: DataSheet, anchor: str) -> dict[str, Any]:
    """Facts about a training, JSON.

    Args:
        retrain: the request.
        rows: what it names.
        prepared: what was made of them.
        sheet: of the training set.
        anchor: id of the model that none may leave far behind, "" for none.
    """
    config, request = retrain.config, retrain.request
    settings = settings_of(config)
    said = sheet.to_json()
    held = prepared.split.held_out.time_ms
    return {
        "stream": config.stream,
        "request": request.id,
        "incidents": list(request.alerts),
        "topic": config.topics.events,
        "ranges": [
            {name: getattr(part, name) for name in ("partition", "start", "end", "start_ms", "end_ms")}
            for part in request.train
        ],
        "rows": len(rows),
        "rows_sha256": rows_sha256(rows),
        "first_ms": sheet.from_ms,
        "last_ms": sheet.to_ms,
        "held_out_from_ms": int(held[0]) if len(held) else sheet.to_ms,
        "left_out": [{"reason": reason.name, "field": reason.field, "rows": reason.rows} for reason in rows.rejected],
        "unjudged": len(request.unjudged),
        "accepted": len(request.accepted),
        "accepted_incidents": sorted({span.incident_id for span in request.accepted}),
        "parts": said["rows"],
        "blocks": {"unit": said["block"], **said["blocks"]},
        "sheet": said["findings"][:_FINDINGS_MAX],
        "seed": retrain.seed,
        "parent": retrain.in_service.model_id if retrain.in_service else "",
        "anchor": anchor,
        "settings": settings,
        "settings_sha256": settings_sha256(settings),
        "code": versions()["driftflow"],
        "packages": versions(),
    }


def settings_of(config: Config) -> dict[str, Any]:
    """The sections that make and judge a model, as plain values; lengths of time in milliseconds."""
    return {name: msgspec.to_builtins(getattr(config, name), enc_hook=int) for name in SECTIONS}


def settings_sha256(settings: dict[str, Any]) -> str:
    """Hash of :func:`settings_of`, in hex."""
    return hashlib.sha256(msgspec.json.encode(settings, order="deterministic")).hexdigest()


@cache
def versions() -> dict[str, str]:
    """Of the packages that can change a model, and of Python."""
    found = {name: metadata.version(name) for name in PACKAGES}
    return {**found, "python": platform.python_version()}


def rows_sha256(rows: Rows) -> str:
    """Hash of rows, in hex: place, time, numbers, categories and slices of each, in their order."""
    table, digest = rows.table, hashlib.sha256()
    for array in (rows.partitions, rows.offsets, table.time_ms, table.numeric):
        digest.update(array.tobytes())
    for texts in (table.categories, table.slices, table.others):
        digest.update(msgspec.json.encode(None if texts is None else texts.tolist()))
    return digest.hexdigest()
