"""From a model's signed bytes to a density that this stream may be scored by."""

from __future__ import annotations

import logging

from flowlib.artifact import Artifact, ArtifactError
from flowlib.density import Density
from flowlib.engines import Clock, EngineError
from schemas.records import ModelNotice
from stream_app.config.settings import Config

log = logging.getLogger(__name__)


def artifact_of(notice: ModelNotice) -> Artifact:
    """The signed bytes that a notice carries."""
    return Artifact(
        model_id=notice.model_id,
        manifest=notice.manifest,
        tensors=notice.tensors,
        signature=notice.signature,
        key_id=notice.key_id,
    )


def check_stream(density: Density, config: Config) -> None:
    """Raise ArtifactError unless a verified model was made for this stream: a signature says who made it, not for what."""
    if density.manifest.get("stream") != config.stream:
        raise ArtifactError(f"it was made for stream {density.manifest.get('stream')!r}, not {config.stream!r}")
    spec, event = density.encoder.spec, config.event
    if (list(spec.numeric), list(spec.categorical)) != (event.numeric, event.categorical):
        raise ArtifactError("its features are not those of event.numeric and event.categorical")


def scored_by(config: Config, density: Density, clock: Clock | None = None) -> Density:
    """A model with the engine of the configuration; where that cannot be had, it keeps the one it has and says so."""
    if config.model.engine == "auto" and clock is None:
        return density
    try:
        return density.with_engine(config.model.engine, clock)
    except EngineError as error:
        log.warning(
            "Model %s is scored by %s instead of model.engine: %s", density.model_id, density.engine.name, error
        )
        return density
