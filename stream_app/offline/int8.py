"""A model with int8 weights as a file, and what that costs on rows drawn from the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from flowlib import whole
from flowlib.cost import Cost, Price, cost_of, seconds
from flowlib.density import Density
from flowlib.engines import ROWS
from flowlib.engines import onnx as form
from stream_app.progress import processor_s

Arrays = Mapping[str, Any]

_DRAWN = 2_000
"""Rows: of p-values of 0.01 about twenty."""


def flow_in_int8(density: Density) -> tuple[bytes, float, Cost]:
    """The flow alone, its mean error in nats and its cost.

    Raises:
        EngineError: the error is beyond 0.1 nats, or nothing in the flow can be quantized.
    """
    flow, table = density.flow, density.sample(_DRAWN, seed=0)
    small = form.quantize(form.export_onnx(flow.bake(), flow.d, flow.context, rows=1))
    engine = form.Int8(flow, small)
    gap = form.require_int8(engine, flow)
    wide = form.export_onnx(flow.bake(), flow.d, flow.context, rows=None)
    encoded = density.encoder.encode(table)
    rows = _first({"features": encoded.features, "context": encoded.context})
    model, other = density.score(table), density.with_engine(engine).score(table)
    ok = model.scorable & other.scorable
    cost = cost_of(
        (model.log_prob[ok], model.p_value[ok]),
        (other.log_prob[ok], other.p_value[ok]),
        _price(_run(small, form.OUTPUTS), rows, len(small), together=False),
        _price(_run(wide, form.OUTPUTS), rows, len(wide)),
    )
    return small, gap, cost


def whole_in_int8(density: Density) -> tuple[bytes, float, Cost]:
    """From raw numbers to p-values, with the flow in int8; raises EngineError as :func:`flow_in_int8` does."""
    given: Arrays = dict(zip(whole.INPUTS, whole.inputs_of(density, density.sample(_DRAWN, seed=0)), strict=True))
    small, wide = whole.export_density(density, int8=True), whole.export_density(density)
    rows, model, other = _first(given), whole.run_whole(wide, **given), whole.run_alone(small, **given)
    ok = np.isfinite(model[0]) & np.isfinite(other[0])
    cost = cost_of(
        (model[0][ok], model[2][ok]),
        (other[0][ok], other[2][ok]),
        _price(_run(small, whole.OUTPUTS), rows, len(small), together=False),
        _price(_run(wide, whole.OUTPUTS), rows, len(wide)),
    )
    return small, cost.nats_mean, cost


def _run(graph: bytes, outputs: Sequence[str]) -> Callable[[Arrays], Any]:
    running = form.session(graph)
    names = [node.name for node in running.get_inputs()]
    return lambda rows: running.run(list(outputs), {name: rows[name] for name in names})


def _first(rows: Arrays) -> Arrays:
    """As many as a batch has."""
    return {name: part[:ROWS] for name, part in rows.items()}


def _price(run: Callable[[Arrays], Any], rows: Arrays, size: int, together: bool = True) -> Price:
    """What takes one row at a time (``together`` false) takes as long for each of many."""
    alone = {name: part[:1] for name, part in rows.items()}
    one = 1e6 * seconds(lambda: run(alone), processor_s)
    return Price(size, one, 1e6 * seconds(lambda: run(rows), processor_s) / ROWS if together else one)
