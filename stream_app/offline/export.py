"""``driftflow export``: a signed model as a file for a device that runs neither driftflow nor PyTorch.

The file is the flow alone, and a JSON file beside it has everything else that a device needs: columns, encoder,
calibration and how to put them together. Or it is the whole model, from raw numbers to p-values, and the JSON file says
what it takes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flowlib import whole as whole_graph
from flowlib.cost import Cost
from flowlib.density import Density
from flowlib.engines import PARITY_NATS
from flowlib.engines.base import Engine, check, example_rows, gap_nats
from flowlib.engines.modules import ModuleEngine
from flowlib.engines.onnx import Onnx, export_onnx
from flowlib.engines.torchscript import archive, script
from flowlib.errors import EngineError
from flowlib.margins import Margins
from stream_app.config import Config
from stream_app.disk import check_writable, write_durably, writing
from stream_app.errors import ModelError
from stream_app.models.keys import trusted_keys
from stream_app.models.loading import read_model, verified
from stream_app.models.registry import Registry
from stream_app.offline.int8 import flow_in_int8, whole_in_int8

_HOW_TO = [
    "features (n, d) and context (n, c), float32: the encoder's output, columns in the order of `columns`; numbers are "
    "centred and scaled in float64 before they become features, for at an offset of 1e9 a float32 has no digits left",
    "log_prob = sum over columns of ladj - z*z/2 - log(2*pi)/2, plus the encoder's own log-Jacobian and category log "
    "probabilities; a value beyond the encoder's limits is unlikely beyond measure: report it without the flow",
    "log probability of a category in column k = level_log_prob.k at its place in levels[k]; of one that is not there "
    "= the last of level_log_prob.k, which is that of each single one of the rare_levels[k] others and of one never "
    "seen",
    "distance i is of beside[i], minus the sum of the category log probabilities; of margins = sum over present "
    "columns of (asinh((x - centre) / spread) / scale)**2 / 2; of gaussians, features within the limits, = log(sum "
    "over k of peak[k]) - log(sum over k of peak[k] * exp(-sum of u*u / 2)), u = (features - means[k]) @ whitening[k], "
    "peak[k] = exp(log_weights[k]) * product of the diagonal of whitening[k]; without any beside there is one distance "
    "= sum over present columns of z*z",
    "rarity(v, ref) = log(1 + max(v - ref[n-1], 0) / (ref[n-1] - ref[n//2])) - log((1 + number of ref above v) / (n + "
    "1)), for n ascending reference values",
    "surprise = sqrt(rarity(-log_prob, nll)**2 + sum over i of (weight[i] * rarity(distance i, distance[i]))**2)",
    "p = (1 + number of scores at or above surprise) / (number of scores + 1); this is the p_value of a slice that is "
    "not among `slices` (of scores that equal the surprise half may count, or a share drawn for the row)",
    "of slice i with h = exp(log_hazard[i]): edges[0] = 0, edges[k + 1] = edges[k] + log(2) / h[k]; for the last k "
    "with edges[k] <= -log(p): p_value = exp(-k * log(2) - (-log(p) - edges[k]) * h[k]), but at least 1 / (number of "
    "scores + 1)",
]

_HOW_TO_WHOLE = [
    "rows (n, d), float64: the raw numbers, columns in the order of `columns`, NaN for missing",
    "levels (n, k), int64, where it is an input: the place of each category in levels[k], or their number for others",
    "beside (n, c), float32, where it is an input: what `context` names, hour and weekday as sines and cosines, the "
    "learnt row of the slice, as driftflow's encoder makes them",
    "log_prob is in nats, -Infinity where a row cannot be scored; p_value is that of all slices together",
]
_SAMPLED = 512
"""Rows drawn from the model that a whole graph is held to it on."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        model_id: of the model.
        file: the flow.
        description: everything else that a device needs, as JSON.
        gap_nats: largest difference from the model on seeded rows, or for int8 the mean one on likely rows.
        cost: of int8; None without it.
    """

    model_id: str
    file: Path
    description: Path
    gap_nats: float
    cost: Cost | None = None


def export_model(config: Config, model: str, kind: str, out: Path, int8: bool = False, whole: bool = False) -> Exported:
    """Verify a model, export it, check the result against the model, write it.

    Args:
        config: the stream, for its registry and trusted keys.
        model: a model file or an id of the registry.
        kind: ``onnx`` or ``torchscript``.
        out: the file to write; its description goes beside it, with ``.json`` added.
        int8: quantize the weights (ONNX only); refused beyond 0.1 nats of mean error.
        whole: encoder and calibration too (ONNX only).

    Raises:
        ModelError: a model that is not accepted, or a file that does not compute what the model does.
        DriftflowError: the file cannot be written there.
    """
    check_writable(out)
    if int8 and kind != "onnx":
        raise ModelError(f"--int8 goes with --format onnx, not {kind}")
    if whole and kind != "onnx":
        raise ModelError(f"--whole goes with --format onnx, not {kind}")
    try:
        density, cost = _load(config, model), None
        if int8:
            blob, gap, cost = (whole_in_int8 if whole else flow_in_int8)(density)
        else:
            blob, gap = _whole(density) if whole else _BUILDERS[kind](density)
    except (ModelError, EngineError) as error:
        raise ModelError(f"model {model} is not exported: {error}") from error
    description = out.with_name(out.name + ".json")
    told = _describe_whole(density, int8, gap) if whole else _describe(density, kind, int8, gap)
    told |= {"cost": cost.to_state()} if cost else {}
    text = json.dumps(told, indent=1, ensure_ascii=False)
    for path, content in ((out, blob), (description, text.encode())):
        with writing(path):
            write_durably(path, content)
    return Exported(density.model_id, out, description, gap, cost)


def _load(config: Config, model: str) -> Density:
    path = Path(model)
    return verified(read_model(path) if path.is_file() else Registry(config).read(model), trusted_keys(config))


def _torchscript(density: Density) -> tuple[bytes, float]:
    scripted = script(density.flow.bake())
    return archive(scripted), _gap(ModuleEngine("torchscript", scripted, density.flow.d, density.flow.context), density)


def _onnx(density: Density) -> tuple[bytes, float]:
    flow = density.flow
    blob = export_onnx(flow.bake(), flow.d, flow.context, rows=None)
    return blob, _gap(Onnx(flow, blob), density)


def _whole(density: Density) -> tuple[bytes, float]:
    graph = whole_graph.export_density(density)
    gap = whole_graph.gap_nats(density, graph, density.sample(_SAMPLED, seed=0))
    if not gap <= PARITY_NATS:
        raise EngineError(f"the graph is {gap:.1e} nats off, more than {PARITY_NATS:.0e}: it is not used")
    return graph, gap


_BUILDERS = {"onnx": _onnx, "torchscript": _torchscript}


def _gap(engine: Engine, density: Density) -> float:
    check(engine, density.flow, PARITY_NATS)
    return float(gap_nats(engine, density.flow, *example_rows(density.flow.d, density.flow.context)).max())


def _describe(density: Density, kind: str, int8: bool, gap: float) -> dict[str, Any]:
    encoder, arrays = density.encoder.to_state()
    calibration = density.calibration
    return {
        "model_id": density.model_id,
        "flow": density.flow_name,
        "format": kind,
        "int8": int8,
        "gap_nats": gap,
        "inputs": {"features": ["n", density.flow.d], "context": ["n", density.flow.context]},
        "rows": 1 if int8 else "any",
        "outputs": ["z", "ladj"],
        "columns": list(density.spec.numeric),
        "categories": list(density.spec.categorical),
        "encoder": encoder | {name: _values(value) for name, value in arrays.items()},
        "calibration": {
            "nll": _values(calibration.nll),
            "distance": _values(calibration.distance),
            "weight": _values(calibration.weights),
            "beside": [
                {"kind": "margins" if isinstance(one, Margins) else "gaussians"}
                | {name: _values(a) for name, a in one.to_state().items()}
                for one in calibration.beside
            ],
            "scores": _values(calibration.scores),
            "slices": list(calibration.tails.names),
            "log_hazard": _values(calibration.tails.log_hazard),
        },
        "how_to": _HOW_TO,
        "about": density.manifest,
    }


def _describe_whole(density: Density, int8: bool, gap: float) -> dict[str, Any]:
    shapes = {name: ["n", width] for name, width in zip(whole_graph.INPUTS, whole_graph.widths(density), strict=True)}
    return {
        "model_id": density.model_id,
        "flow": density.flow_name,
        "format": "onnx",
        "whole": True,
        "int8": int8,
        "gap_nats": gap,
        "inputs": {name: shape for name, shape in shapes.items() if shape[1]},
        "rows": 1 if int8 else "any",
        "outputs": list(whole_graph.OUTPUTS),
        "columns": list(density.spec.numeric),
        "categories": list(density.spec.categorical),
        "levels": [list(of_one) for of_one in density.encoder.levels],
        "context": list(density.encoder.config.context),
        "how_to": _HOW_TO_WHOLE,
        "about": density.manifest,
    }


def _values(value: Any) -> Any:
    return np.asarray(value).tolist()
