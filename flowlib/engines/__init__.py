"""Ways to run a flow: :data:`ENGINES` by name, one interface :class:`Engine`, and :func:`build`, which chooses at load.

Results differ between engines by less than 1e-4 nats, so callers record which engine scored. A new engine is one file
here and one entry of :data:`ENGINES`; :func:`flowlib.checks.check_engine` then tests it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from flowlib.engines import cuda, exported, fused, onnx, torchscript
from flowlib.engines.base import PARITY_NATS, ROWS, Engine, check, example_rows
from flowlib.errors import EngineError
from flowlib.flows import Flow
from flowlib.surroundings import undisturbed

__all__ = ["AUTO", "ENGINES", "PARITY_NATS", "ROWS", "Builder", "Clock", "Engine", "EngineError", "build"]

Builder = Callable[[Flow], Engine]
Clock = Callable[[], float]


def _checked(make: Builder) -> Builder:
    return lambda flow: check(make(flow), flow)


ENGINES: dict[str, Builder] = {
    "fused": _checked(fused.fused),
    "torchscript": _checked(torchscript.torchscript),
    "exported": _checked(exported.exported),
    "onnx": _checked(onnx.onnx),
    "int8": onnx.int8,  # held to a bound of its own
    "cuda": _checked(cuda.cuda),
}
"""Engine name to builder. Builders raise EngineError where the engine is not available here, or its results differ."""

AUTO = ("fused", "torchscript")
"""Engines that ``auto`` chooses from, in the order in which it takes them without a clock."""

_TIMED_ROWS = (1, ROWS)
_TIMED_CALLS = 5


@undisturbed()
def build(flow: Flow, name: str = "auto", clock: Clock | None = None) -> Engine:
    """Make a flow ready for scoring, and compare its results with eager PyTorch.

    Args:
        flow: the flow, in evaluation mode.
        name: of :data:`ENGINES`, or ``auto``.
        clock: seconds, to measure which engine is the fastest here for one row and a full batch. Without one ``auto``
            takes the first of :data:`AUTO` that works: always the same on the same installation.

    Raises:
        EngineError: the engine is not available here, or differs from eager PyTorch by more than 1e-4 nats.
    """
    if name == "auto":
        return _auto(flow, clock)
    if name not in ENGINES:
        raise EngineError(f"no engine {name!r}: one of auto, {', '.join(ENGINES)}")
    return ENGINES[name](flow)


def _auto(flow: Flow, clock: Clock | None) -> Engine:
    """The fastest of :data:`AUTO` by the clock, or without one the first that works."""
    working: list[Engine] = []
    dropped: dict[str, str] = {}
    for name in AUTO:
        try:
            working.append(ENGINES[name](flow))
        except EngineError as error:
            dropped[name] = str(error)
            continue
        if clock is None:
            break
    if not working:
        raise EngineError("no engine works: " + "; ".join(dropped.values()))
    chosen = min(working, key=lambda engine: _log_seconds(engine, clock)) if clock is not None else working[0]
    dropped |= {engine.name: "slower here" for engine in working if engine is not chosen}
    chosen.dropped = dropped
    return chosen


def _log_seconds(engine: Engine, clock: Clock) -> float:
    """Sum over the sizes of the log of the fastest of a few calls: other work on the machine only adds to a call."""
    total = 0.0
    for n in _TIMED_ROWS:
        features, context = example_rows(engine.d, engine.context, n)
        fastest = math.inf
        for _ in range(_TIMED_CALLS):
            start = clock()
            engine(features, context)
            fastest = min(fastest, clock() - start)
        total += math.log(max(fastest, 1e-9))
    return total
