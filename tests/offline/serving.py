"""A small stream with a model in service, without a broker."""

from __future__ import annotations

from pathlib import Path

import msgspec

from flowlib import artifact
from flowlib.density import Density
from stream_app.config import Config
from stream_app.models.history import Entry
from stream_app.models.keys import signing_key
from stream_app.models.registry import Registry
from tests.stages.streams import config


def serving(folder: Path, model: Density) -> Config:
    """The stream, in a folder of its own."""
    cfg = msgspec.structs.replace(config(), root=str(folder))
    signed = artifact.pack(model, signing_key(cfg))
    registry = Registry(cfg)
    registry.save(signed)
    registry.change(Entry(signed.model_id, "r", 0))
    return cfg
