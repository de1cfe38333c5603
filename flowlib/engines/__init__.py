"""Ways to run a flow: :data:`ENGINES` by name, one interface :class:`Engine`, and :func:`build`, which chooses at load.

Results differ between engines by less than 1e-4 nats, so callers record which engine scored. A new engine is one file
here and one entry of :data:`ENGINES`; :func:`flowlib.checks.check_engine` then tests it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from flowlib.engines import fused
from flowlib.engines.base import PARITY_NATS, ROWS, Engine, Source, check
from flowlib.errors import EngineError
from flowlib.surroundings import undisturbed
from flowlib.weights import Weights

__all__ = ["AUTO", "ENGINES", "PARITY_NATS", "ROWS", "Builder", "Engine", "EngineError", "build"]

Builder = Callable[[Any], Engine]
"""From a :data:`Source` to an engine."""


def _kernel(source: Source) -> Engine:
    return check(fused.fused(source), source)


def _by_pytorch(module: str, name: str, checked: bool = True) -> Builder:
    """An engine of a module that imports PyTorch, once it is asked for."""

    def make(source: Any) -> Engine:
        flow = source.flow if isinstance(source, Weights) else source
        with undisturbed():
            engine: Engine = getattr(importlib.import_module(f"flowlib.engines.{module}"), name)(flow)
            return check(engine, flow) if checked else engine

    return make


ENGINES: dict[str, Builder] = {
    "fused": _kernel,
    "torchscript": _by_pytorch("torchscript", "torchscript"),
    "exported": _by_pytorch("exported", "exported"),
    "onnx": _by_pytorch("onnx", "onnx"),
    "int8": _by_pytorch("onnx", "int8", checked=False),  # held to a bound of its own
    "cuda": _by_pytorch("cuda", "cuda"),
}
"""Engine name to builder. Builders raise EngineError where the engine is not available here, or its results differ."""

AUTO = ("fused", "torchscript")
"""Of these ``auto`` takes the first that works. The kernel is never the slower one (``flowlib/FINDINGS.md``), so that
nothing is measured: an installation always takes the same one, and where it is the kernel PyTorch is not imported.
"""


def build(flow: Source, name: str = "auto") -> Engine:
    """Make a flow ready for scoring, and compare its results with eager PyTorch, or of stored weights with NumPy.

    Args:
        flow: the flow in evaluation mode, or its weights as they are stored.
        name: of :data:`ENGINES`, or ``auto``.

    Raises:
        EngineError: the engine is not available here, or differs from the flow by more than 1e-4 nats.
    """
    if name == "auto":
        return _auto(flow)
    if name not in ENGINES:
        raise EngineError(f"no engine {name!r}: one of auto, {', '.join(ENGINES)}")
    return ENGINES[name](flow)


def _auto(flow: Source) -> Engine:
    """The first of :data:`AUTO` that works."""
    dropped: dict[str, str] = {}
    for name in AUTO:
        try:
            engine = ENGINES[name](flow)
        except EngineError as error:
            dropped[name] = str(error)
            continue
        engine.dropped = dropped
        return engine
    raise EngineError("no engine works: " + "; ".join(dropped.values()))
