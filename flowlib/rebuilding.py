"""From a manifest and tensors that were believed back to a density: numbers go into classes that were reviewed."""

from __future__ import annotations

from typing import Any

import numpy as np
from safetensors.numpy import load

from flowlib.calibration import Calibration
from flowlib.channels import Channels
from flowlib.density import Density
from flowlib.encoder.encoder import Encoder
from flowlib.reference.reference import Reference
from flowlib.weights import Weights


def rebuild(manifest: dict[str, Any], tensors: bytes, model_id: str) -> Density:
    """A density, ready for scoring, of what :func:`flowlib.artifact.pack` wrote.

    Args:
        manifest: facts and sizes, within bounds.
        tensors: safetensors.
        model_id: of the artifact.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError, EngineError: they do not belong together, or to this version.
    """
    arrays = load(tensors)
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are not finite")
    encoder = Encoder.from_state(manifest["encoder"], _part(arrays, "encoder."))
    calibration = Calibration.from_state(manifest["calibration"], _part(arrays, "calibration."))
    if any(width != len(encoder.spec.numeric) for width in calibration.widths):
        raise ValueError("calibration and encoder have different widths")
    weights = _weights(manifest, encoder, _part(arrays, "flow."))
    channels, references = _watched(manifest["references"], encoder, arrays)
    about = manifest["about"]
    return Density(encoder, weights, calibration, about, model_id, channels, references)


def _watched(
    metas: list[dict[str, Any]], encoder: Encoder, arrays: dict[str, Any]
) -> tuple[Channels | None, tuple[Reference, ...]]:
    """Channels and references, none for a model that watches no stream."""
    if not metas:
        return None, ()
    d, levels = len(encoder.spec.numeric), tuple(len(known) for known in encoder.levels)
    channels = Channels.from_state(_part(arrays, "channels."), d, levels)
    references = tuple(
        Reference.from_state(meta, _part(arrays, f"reference{i}."), d, len(levels)) for i, meta in enumerate(metas)
    )
    for name in ("value_centre", "value_scale"):  # values are summed once for all slicings
        if any((getattr(reference, name) != getattr(references[0], name)).any() for reference in references):
            raise ValueError(f"references: {name} differs between slicings")
    return channels, references


def _weights(manifest: dict[str, Any], encoder: Encoder, arrays: dict[str, Any]) -> Weights:
    sizes = manifest["hyperparameters"]
    if sizes["d"] != len(encoder.spec.numeric) or sizes["context"] != encoder.context_width:
        raise ValueError("flow and encoder have different widths")
    return Weights(manifest["flow"], sizes, arrays).check()


def _part(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
