"""ONNX Runtime, and the same graph with int8 weights where its measured error allows."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from flowlib.engines.base import ROWS, Engine, Padded, example_rows, log_prob_of
from flowlib.engines.members import Members
from flowlib.errors import EngineError
from flowlib.flows import Ensemble, Flow
from flowlib.table import Singles

INT8_NATS = 0.1
"""Largest accepted mean error of a row's log-likelihood with int8 weights, nats (``flowlib/FINDINGS.md``)."""

OPSET = 20
INPUTS, OUTPUTS = ("features", "context"), ("z", "ladj")


def export_onnx(module: nn.Module, d: int, context: int, rows: int | None = ROWS) -> bytes:
    """A module ``(features, context) → (z, ladj)`` as the bytes of an ONNX graph.

    Args:
        module: in evaluation mode.
        d: features.
        context: conditioning columns.
        rows: rows of the fixed shape, or None for any number of rows.

    Raises:
        EngineError: where onnx or onnxscript is not installed.
    """
    example = (torch.zeros(rows or 2, d), torch.zeros(rows or 2, context))
    return graph_of(module, example, INPUTS, OUTPUTS, fixed=rows is not None)


def graph_of(
    module: nn.Module,
    example: tuple[torch.Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    fixed: bool = False,
) -> bytes:
    """A module as the bytes of an ONNX graph.

    Args:
        module: in evaluation mode.
        example: what it takes; the first dimension of each is the rows.
        inputs, outputs: their names.
        fixed: whether the graph takes as many rows as the example has, or any number.

    Raises:
        EngineError: where onnx or onnxscript is not installed.
    """
    _need("onnx", "onnxscript")
    n = torch.export.Dim("n")
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it lists optional packages that are not installed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch's own deprecations inside the exporter
            program = torch.onnx.export(
                module.eval(),
                example,
                dynamo=True,
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                verbose=False,
                external_data=False,
                dynamic_shapes=None if fixed else tuple({0: n} for _ in example),
            )
    finally:
        logger.setLevel(level)
    assert program is not None
    return bytes(_bare(program.model_proto).SerializeToString())


def _bare(model: Any) -> Any:
    """Without what the exporter notes of each node: stack traces with paths of this machine, half of a small file."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("metadata_props")
    graph.ClearField("value_info")  # shapes of what is between, which runtimes infer
    return model


def quantize(graph: bytes) -> bytes:
    """The graph with int8 weights (dynamic quantization, one scale for each output).

    Raises:
        EngineError: no weights are in a matrix product, or the ``edge`` extra is not installed.
    """
    _need("onnx", "onnxruntime")
    import onnx  # optional packages, of the ``edge`` extra
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load_from_string(graph)
    add_pre_process_metadata(model)  # the exporter has folded constants and inferred shapes already
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        after = Path(folder, "int8.onnx")
        quantize_dynamic(
            model,
            after,
            ["MatMul"],  # which Gemm becomes
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_in_doubles(model.graph),
        )
        small = onnx.load(after)
    if not any(array.data_type == onnx.TensorProto.INT8 for array in small.graph.initializer):
        raise EngineError("int8 takes the weights of matrix products, and this flow has none: leave int8 out")
    return bytes(_bare(small).SerializeToString())


def _in_doubles(graph: Any) -> list[str]:
    """Names of the nodes whose weights are float64: what is computed beside the flow."""
    import onnx

    double = onnx.TensorProto.DOUBLE
    wide = {array.name for array in graph.initializer if array.data_type == double}
    return [node.name for node in graph.node if wide & set(node.input)]


def _need(*packages: str) -> None:
    for package in packages:
        try:
            __import__(package)
        except ImportError:
            raise EngineError(f"{package} is not installed: pip install 'driftflow[edge]'") from None


class Onnx(Padded):
    """A graph run by ONNX Runtime on one thread.

    Raises:
        EngineError: where the ``edge`` extra is not installed.
    """

    name = "onnx"

    def __init__(self, flow: Flow, graph: bytes | None = None) -> None:
        super().__init__(flow.d, flow.context)
        self._session = session(graph or export_onnx(flow.bake(), flow.d, flow.context))
        self._inputs = {node.name for node in self._session.get_inputs()}

    def _run(self, x: Singles, context: Singles) -> tuple[Singles, Singles]:
        inputs = {"features": x, "context": context}
        z, ladj = self._session.run(list(OUTPUTS), {name: inputs[name] for name in self._inputs})
        return z, ladj


def session(graph: bytes) -> Any:
    """An ONNX Runtime session on one thread.

    Raises:
        EngineError: where the ``edge`` extra is not installed.
    """
    _need("onnxruntime")
    import onnxruntime  # an optional package, of the ``edge`` extra

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def onnx(flow: Flow) -> Engine:
    """The graph of a flow, or of each member of an ensemble: ONNX Runtime's reductions depend on a row's place."""
    return Members(flow, Onnx) if isinstance(flow, Ensemble) else Onnx(flow)


class Int8(Engine):
    """The graph with int8 weights, one row at a time.

    Activations are quantized by their range over the rows of a call, so rows of one call would change each other's
    bits, and one far-out row would take the precision of all others.

    Raises:
        EngineError: where the ``edge`` extra is not installed.
    """

    name = "int8"

    def __init__(self, flow: Flow, graph: bytes | None = None) -> None:
        super().__init__(flow.d, flow.context)
        self._session = session(graph or quantize(export_onnx(flow.bake(), flow.d, flow.context, rows=1)))
        self._inputs = {node.name for node in self._session.get_inputs()}

    def _score(self, features: Singles, context: Singles) -> tuple[Singles, Singles]:
        z, ladj = np.empty(features.shape, np.float32), np.empty(features.shape, np.float32)
        for i in range(len(features)):
            inputs = {"features": features[i : i + 1], "context": context[i : i + 1]}
            z[i], ladj[i] = self._session.run(list(OUTPUTS), {name: inputs[name] for name in self._inputs})
        return z, ladj


def int8(flow: Flow) -> Engine:
    """The flow with int8 weights; raises EngineError when its mean error is beyond :data:`INT8_NATS`."""
    engine = Int8(flow)
    require_int8(engine, flow)
    return engine


def require_int8(engine: Engine, flow: Flow) -> float:
    """Mean error in nats over rows drawn from the flow itself; raises EngineError where it is beyond the bound."""
    _, context = example_rows(flow.d, flow.context)
    rows = flow.sample(torch.from_numpy(context), torch.Generator().manual_seed(0)).float().numpy()
    ours, eager = log_prob_of(*engine(rows, context)), log_prob_of(*flow.evaluate(rows, context))
    return check_int8(float(np.abs(ours - eager).mean()))


def check_int8(error: float) -> float:
    """The same mean error in nats; raises EngineError where it is beyond the bound."""
    if not error <= INT8_NATS:
        raise EngineError(f"int8 is {error:.3f} nats off on average, more than {INT8_NATS}: it is not used")
    return error
