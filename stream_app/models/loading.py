"""From a model's signed bytes to a density that may score this stream; errors of flowlib become ModelError."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from flowlib import artifact
from flowlib.artifact import Artifact, Ed25519PublicKey
from flowlib.errors import EngineError, FlowlibError
from schemas.records import ModelNotice
from stream_app.config import Config
from stream_app.errors import ModelError
from stream_app.stages.columns import check_columns

if TYPE_CHECKING:  # what computes comes with it, and is needed once a model is built
    from flowlib.density import Density

log = logging.getLogger(__name__)

TrustedKeys = Mapping[str, Ed25519PublicKey]
"""Public keys by their id."""


class _Columns(msgspec.Struct):
    numeric: list[str]
    categorical: list[str]


class _Head(msgspec.Struct):
    """What is read of a model's manifest before it is built."""

    encoder: _Columns


_HEAD = msgspec.json.Decoder(_Head)


def artifact_of(notice: ModelNotice) -> Artifact:
    """The signed bytes that a notice carries."""
    return Artifact(
        model_id=notice.model_id,
        manifest=notice.manifest,
        tensors=notice.tensors,
        signature=notice.signature,
        key_id=notice.key_id,
    )


def read_model(path: Path) -> Artifact:
    """The bytes of a model file, not yet verified.

    Raises:
        ModelError: the file is missing, cannot be read, or is no model file.
    """
    try:
        return artifact.read(path)
    except FlowlibError as error:
        raise ModelError(str(error)) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error


def columns_of(model: Artifact) -> tuple[list[str], list[str]]:
    """Numeric and categorical columns that a model's bytes name, in order, not to be believed."""
    try:
        head = _HEAD.decode(model.manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [], []
    return head.encoder.numeric, head.encoder.categorical


def verified(model: Artifact, trusted: TrustedKeys) -> Density:
    """A model, verified and ready to score.

    Raises:
        ModelError: it is not signed by a trusted key, or its bytes are not those that were signed.
    """
    try:
        return artifact.load(model, trusted)
    except FlowlibError as error:
        raise ModelError(str(error)) from error


def check_stream(density: Density, config: Config) -> None:
    """Raise ModelError unless a verified model was made for this stream: a signature says who made it, not for what."""
    if density.manifest.get("stream") != config.stream:
        raise ModelError(f"it was made for stream {density.manifest.get('stream')!r}, not {config.stream!r}")
    check_columns(density.spec, config)
    event = config.event
    if density.channels is None or len(density.references) != len(event.slicings):
        raise ModelError(
            f"it says what is normal in {len(density.references)} slicings, event.slicings has {len(event.slicings)}"
        )
    if density.manifest.get("slicings") != event.slicings:
        raise ModelError(f"it was made for the slicings {density.manifest.get('slicings')}, not {event.slicings}")
    made_for, pane_ms = density.references[0].pane_ms, int(config.windows.pane)
    if made_for != pane_ms:
        raise ModelError(
            f"it says what is normal in panes of {made_for / 1000:,g} s, windows.pane is {pane_ms / 1000:,g} s"
        )


def scored_by(config: Config, density: Density) -> Density:
    """A model with the engine of the configuration; where that is not available it keeps its own, and a warning is
    logged."""
    if config.model.engine == "auto":
        return density
    try:
        return density.with_engine(config.model.engine)
    except EngineError as error:
        log.warning(
            "Model %s is scored by %s instead of model.engine: %s", density.model_id, density.engine.name, error
        )
        return density
