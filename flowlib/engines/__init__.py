"""Engines: ways to run a flow, one interface, chosen at load.

Bits differ between engines (by less than 1e-4 nats), so which one scored is for the caller to write down.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from flowlib.engines.base import PARITY_NATS, ROWS, Engine, check, example_rows
from flowlib.errors import EngineError
from flowlib.flows import Flow

__all__ = ["AUTO", "ENGINES", "PARITY_NATS", "ROWS", "Clock", "Engine", "EngineError", "build"]

Builder = Callable[[Flow], Engine]
Clock = Callable[[], float]


def _make_fused(flow: Flow) -> Engine:
    from flowlib.engines.fused import fused

    return check(fused(flow), flow)


def _make_torchscript(flow: Flow) -> Engine:
    from flowlib.engines.torchscript import torchscript

    return check(torchscript(flow), flow)


def _make_exported(flow: Flow) -> Engine:
    from flowlib.engines.exported import exported

    return check(exported(flow), flow)


def _make_onnx(flow: Flow) -> Engine:
    from flowlib.engines.onnx import onnx

    return check(onnx(flow), flow)


def _make_int8(flow: Flow) -> Engine:
    from flowlib.engines.onnx import int8

    return int8(flow)


def _make_cuda(flow: Flow) -> Engine:
    from flowlib.engines.cuda import cuda

    return check(cuda(flow), flow)


ENGINES: dict[str, Builder] = {
    "fused": _make_fused,
    "torchscript": _make_torchscript,
    "exported": _make_exported,
    "onnx": _make_onnx,
    "int8": _make_int8,
    "cuda": _make_cuda,
}
"""Engine name to builder. A builder imports what it needs when it is called, and raises EngineError where it cannot."""

AUTO = ("fused", "torchscript")
"""What ``auto`` chooses from, in the order in which it takes them without a clock."""

_SIZES = (1, ROWS)
_CALLS = 5


def build(flow: Flow, name: str = "auto", clock: Clock | None = None) -> Engine:
    """Make a flow ready for scoring, held to eager PyTorch.

    Args:
        flow: the flow, in evaluation mode.
        name: of :data:`ENGINES`, or ``auto``.
        clock: seconds, to measure what is fastest here at one row and at a full batch. Without one ``auto`` takes the
            first of :data:`AUTO` that works, so that the same installation always takes the same.

    Raises:
        EngineError: when it cannot be had here, or differs from eager PyTorch by more than 1e-4 nats.
    """
    if name != "auto":
        if name not in ENGINES:
            raise EngineError(f"no engine {name!r}: one of auto, {', '.join(ENGINES)}")
        return ENGINES[name](flow)
    works: list[Engine] = []
    dropped: dict[str, str] = {}
    for candidate in AUTO:
        try:
            works.append(ENGINES[candidate](flow))
        except EngineError as error:
            dropped[candidate] = str(error)
            continue
        if clock is None:
            break
    if not works:
        raise EngineError("no engine works: " + "; ".join(dropped.values()))
    chosen = min(works, key=lambda engine: _seconds(engine, clock)) if clock is not None else works[0]
    dropped |= {engine.name: "slower here" for engine in works if engine is not chosen}
    chosen.dropped = dropped
    return chosen


def _seconds(engine: Engine, clock: Clock) -> float:
    """Geometric mean, over the sizes, of the fastest of a few calls: other work on the machine only adds."""
    total = 0.0
    for n in _SIZES:
        features, context = example_rows(engine.d, engine.context, n)
        best = math.inf
        for _ in range(_CALLS):
            began = clock()
            engine(features, context)
            best = min(best, clock() - began)
        total += math.log(max(best, 1e-9))
    return total
